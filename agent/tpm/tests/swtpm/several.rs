//! Several TPMs in one device: the one that was paired is found, wherever it is.

use pawl_tpm::{Error, Options, Tcti, Tpm};

use crate::rig::Rig;

fn tcti(rig: &Rig) -> Tcti {
    rig.options().tcti
}

/// Opens the TPM with this attestation key, of these places.
fn open(places: &[Tcti], attestation_name: &[u8]) -> Result<Tpm, Error> {
    let options = Options::new(Tcti::any_of(places));
    Tpm::start(Options { attestation_name: Some(attestation_name.to_vec()), ..options })
}

async fn attestation_name(rig: &Rig) -> Vec<u8> {
    let tpm = rig.open();
    let name = tpm.identity().await.unwrap().ak_name;
    tpm.close();
    name
}

#[tokio::test]
async fn the_tpm_that_was_paired_is_found_behind_another_one() {
    let (other, paired) = (Rig::new(), Rig::new());
    let name = attestation_name(&paired).await;
    let places = [tcti(&other), tcti(&paired)];
    let tpm = open(&places, &name).unwrap();
    assert_eq!(*tpm.tcti(), tcti(&paired));
    assert_eq!(tpm.identity().await.unwrap().ak_name, name);
    tpm.close();

    // A device that was never paired uses the first.
    let tpm = Tpm::start(Options::new(Tcti::any_of(&places))).unwrap();
    assert_eq!(*tpm.tcti(), tcti(&other));
}

#[tokio::test]
async fn another_tpm_is_not_taken_for_the_paired_one() {
    let (other, paired) = (Rig::new(), Rig::new());
    let name = attestation_name(&paired).await;
    paired.unplug();
    for places in [vec![tcti(&other), tcti(&paired)], vec![tcti(&paired), tcti(&other)]] {
        let error = open(&places, &name).map(drop).unwrap_err();
        assert!(matches!(error, Error::OtherTpm { .. }), "{error}");
    }
    let error = open(&[tcti(&paired)], &name).map(drop).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    paired.plug();
    assert_eq!(*open(&[tcti(&other), tcti(&paired)], &name).unwrap().tcti(), tcti(&paired));
}

#[tokio::test]
async fn a_connection_that_broke_finds_the_paired_tpm_again_and_no_other() {
    let (other, mut paired) = (Rig::new(), Rig::new());
    let name = attestation_name(&paired).await;
    let tpm = open(&[tcti(&paired), tcti(&other)], &name).unwrap();
    paired.unplug();
    paired.reset();
    // The first failure shows that the connection is gone.
    tpm.clock().await.unwrap_err();
    let error = tpm.clock().await.unwrap_err();
    assert!(matches!(error, Error::OtherTpm { .. }), "{error}");
    paired.plug();
    tpm.clock().await.unwrap();
    assert_eq!(tpm.identity().await.unwrap().ak_name, name);
}
