//! The one mechanism: the TPM itself checks a lease.

use pawl_tpm::{Error, KeyBlob, LeaseGrant, LeaseStep};

use crate::rig::{ControlPlane, Paired, Rig, assert_signed, command};

const DIGEST: [u8; 32] = [0x42; 32];

async fn sign(paired: &Paired, lease: &LeaseGrant) -> Result<[u8; 64], Error> {
    paired.tpm.sign_with_device(&paired.keys.device, lease, DIGEST).await
}

fn assert_good(key: &KeyBlob, signature: &[u8; 64]) {
    assert_signed(key, &DIGEST, signature);
}

#[track_caller]
fn assert_refused<T>(result: Result<T, Error>, step: LeaseStep) {
    let Err(error) = result else { panic!("the TPM did not refuse") };
    assert_eq!(error.lease_step(), Some(step), "{error}");
    assert!(error.response_code().is_some(), "not the TPM's refusal: {error}");
}

#[tokio::test]
async fn the_seven_steps() {
    let rig = Rig::new();
    let mut paired = Paired::new(&rig).await;

    let lease = paired.lease().await;
    assert_good(&paired.keys.device, &sign(&paired, &lease).await.unwrap());

    let over = paired.control.grant(paired.control.terms(&paired.tpm, &paired.counter).await);
    assert_refused(sign(&paired, &over).await, LeaseStep::Deadline);

    let renewed = paired.lease().await;
    assert_good(&paired.keys.device, &sign(&paired, &renewed).await.unwrap());

    rig.drift(4);
    assert_refused(sign(&paired, &renewed).await, LeaseStep::Pcrs);

    let for_new_state = paired.lease().await;
    assert_good(&paired.keys.device, &sign(&paired, &for_new_state).await.unwrap());

    paired.tpm.revoke().await.unwrap();
    assert_refused(sign(&paired, &for_new_state).await, LeaseStep::Epoch);

    let old_epoch = paired.counter.epoch;
    rig.tool("tpm2_nvundefine -C o 0x01805041");
    paired.counter = paired.tpm.provision_counter().await.unwrap();
    assert!(paired.counter.epoch > old_epoch, "{} is not above {old_epoch}", paired.counter.epoch);
    assert_refused(sign(&paired, &for_new_state).await, LeaseStep::Epoch);
}

#[tokio::test]
async fn a_reboot_too_many() {
    let mut rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let none = paired.lease().await;
    let mut one = none.terms.clone();
    one.reset_count_max += 1;
    let one = paired.control.grant(one);

    rig.reset();
    assert_refused(sign(&paired, &none).await, LeaseStep::Reboots);
    assert_good(&paired.keys.device, &sign(&paired, &one).await.unwrap());
}

#[tokio::test]
async fn a_lease_of_another_hand_or_pairing() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let lease = paired.lease().await;

    let mut forged = lease.clone();
    forged.terms.clock_before += 1;
    assert_refused(sign(&paired, &forged).await, LeaseStep::Signature);

    let stranger = ControlPlane::new(2).grant(lease.terms.clone());
    assert_refused(sign(&paired, &stranger).await, LeaseStep::Use);
    let mut swapped = stranger;
    swapped.lease_public = lease.lease_public.clone();
    assert_refused(sign(&paired, &swapped).await, LeaseStep::Signature);

    let mut elsewhere = ControlPlane::new(1);
    elsewhere.policy_ref = [9; 32];
    assert_refused(sign(&paired, &elsewhere.grant(lease.terms.clone())).await, LeaseStep::Use);

    let mut other_counter = lease.terms.clone();
    other_counter.counter_name = pawl_evidence::tpm::NvPublic::epoch_counter(0x0180_0001).name();
    assert_refused(sign(&paired, &paired.control.grant(other_counter)).await, LeaseStep::Authorize);
}

#[tokio::test]
async fn a_lease_is_checked_without_a_key() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let lease = paired.lease().await;
    paired.tpm.check_lease(&lease).await.unwrap();
    rig.drift(7);
    assert_refused(paired.tpm.check_lease(&lease).await, LeaseStep::Pcrs);
}

#[tokio::test]
async fn the_vault_opens_under_a_lease_alone() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let lease = paired.lease().await;
    let secret = paired.tpm.unseal(&paired.keys.vault, &lease).await.unwrap();
    assert_ne!(*secret, [0; 32]);
    assert_eq!(secret, paired.tpm.unseal(&paired.keys.vault, &lease).await.unwrap());

    paired.tpm.revoke().await.unwrap();
    assert_refused(paired.tpm.unseal(&paired.keys.vault, &lease).await, LeaseStep::Epoch);
    // Nor is a lease of the next pairing good for it, though the same lease key signs it.
    let mut next = Paired::new(&rig).await;
    next.control.policy_ref = [2; 32];
    let next = next.lease().await;
    paired.tpm.check_lease(&next).await.unwrap();
    assert_refused(paired.tpm.unseal(&paired.keys.vault, &next).await, LeaseStep::Use);
}

#[tokio::test]
async fn the_link_key_works_in_its_epoch_alone_and_without_a_lease() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (link, epoch) = (&paired.keys.link, paired.counter.epoch);
    rig.drift(4);
    assert_good(link, &paired.tpm.sign_with_link(link, epoch, DIGEST).await.unwrap());
    // A TLS library calls from inside the runtime.
    assert_good(link, &paired.tpm.sign_with_link_blocking(link, epoch, DIGEST).unwrap());

    paired.tpm.revoke().await.unwrap();
    for asked in [epoch, epoch + 1] {
        let error = paired.tpm.sign_with_link(link, asked, DIGEST).await.unwrap_err();
        assert!(matches!(error, Error::Epoch { code: Some(_), .. }), "{error}");
    }
}

/// IMA extends PCR 10 all the time, which voids every PolicyPCR, whatever its PCRs.
#[tokio::test]
async fn an_unrelated_extend_under_way_does_not_fail_a_signature() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let lease = paired.lease().await;
    rig.proxy.take();
    rig.proxy.interject(0, command::SIGN, command::pcr_extend(10));
    rig.proxy.interject(0, command::SIGN, command::pcr_extend(10));
    assert_good(&paired.keys.device, &sign(&paired, &lease).await.unwrap());
    let rounds = rig.proxy.take().iter().filter(|exchange| exchange.code() == command::POLICY_PCR).count();
    assert_eq!(rounds, 3);

    rig.proxy.interject(0, command::SIGN, command::pcr_extend(4));
    assert_refused(sign(&paired, &lease).await, LeaseStep::Pcrs);
}
