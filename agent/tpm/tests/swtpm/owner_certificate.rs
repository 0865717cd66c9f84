//! Endorsement certificates whose NV index the owner alone may read: OWNERREAD without AUTHREAD.

use pawl_tpm::{EndorsementKind, Identity, Options, Tpm};
use zeroize::Zeroizing;

use crate::rig::Rig;

const P384: &str = "0x01c00016";

/// Defines the index of the P-384 key's certificate again, so that the owner alone may read it.
fn hide_certificate(rig: &Rig) {
    rig.tool(&format!("tpm2_nvread -C o {P384} -o certificate"));
    let size = rig.read("certificate").len();
    rig.tool(&format!("tpm2_nvundefine -C p {P384}"));
    rig.tool(&format!("tpm2_nvdefine -C p {P384} -s {size} -a ppwrite|ownerread|no_da|platformcreate"));
    rig.tool(&format!("tpm2_nvwrite -C p {P384} -i certificate"));
}

async fn assert_identity_is(rig: &Rig, options: Options, expected: &Identity) {
    let tpm = Tpm::start(options).unwrap();
    let identity = tpm.identity().await.unwrap();
    assert_eq!(identity.endorsement, expected.endorsement);
    assert_eq!(identity.ek_certificates, expected.ek_certificates);
    // Once more, with the endorsement key's name pinned.
    assert_eq!(tpm.identity().await.unwrap().ek_name, expected.ek_name);
    assert_eq!(tpm.certificate_needs_owner(identity.endorsement).await.ok(), Some(true));
    tpm.close();
    drop(rig.proxy.take());
}

#[tokio::test]
async fn a_certificate_that_the_owner_alone_may_read_is_read_as_the_owner() {
    let rig = Rig::certified();
    let tpm = rig.open();
    let expected = tpm.identity().await.unwrap();
    assert_eq!(expected.endorsement, EndorsementKind::EccP384);
    assert_eq!(tpm.certificate_needs_owner(EndorsementKind::EccP384).await.ok(), Some(false));
    assert_eq!(
        tpm.certificate_needs_owner(EndorsementKind::EccP256).await.ok(),
        Some(false),
        "there is none"
    );
    tpm.close();

    hide_certificate(&rig);
    assert_identity_is(&rig, rig.options(), &expected).await;
    rig.tool("tpm2_changeauth -c owner secret");
    let owner_auth = Some(Zeroizing::new(b"secret".to_vec()));
    assert_identity_is(&rig, Options { owner_auth, ..rig.options() }, &expected).await;
}
