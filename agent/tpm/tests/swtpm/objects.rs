//! What the control plane asks of the keys, and that the TPM attests it.

use pawl_evidence::{
    assurance::action_policy,
    attest::{KeyRole, check_device_bound},
    lease::{key_policy, link_policy},
    tpm::{HashAlgorithm, Name, NvPublic, PcrSelection, Public},
};
use pawl_tpm::{Class, Error, KeyBlob};

use crate::rig::{Paired, Rig, command, selection, verify};

#[tokio::test]
async fn every_key_is_bound_to_the_device_and_certified() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let counter_name = Name::from_bytes(&paired.counter.name).unwrap();
    let leased = key_policy(&paired.control.lease_key.name(), &paired.control.policy_ref);
    let linked = link_policy(&counter_name, paired.counter.epoch);
    let authority = paired.control.authorization_key.name();
    let authorized =
        action_policy(&counter_name, paired.counter.epoch, &authority, &paired.control.policy_ref);
    let keys = &paired.keys;
    for (key, role, policy) in [
        (&keys.link, KeyRole::Link, linked),
        (&keys.device, KeyRole::Device, leased),
        (&keys.vault, KeyRole::Vault, leased),
        (&keys.action, KeyRole::Action, authorized),
    ] {
        let public = Public::unmarshal(&key.public).unwrap();
        check_device_bound(&public, role, &policy).unwrap();
        let attestation = paired.tpm.certify(key, [3; 32]).await.unwrap();
        verify(&paired.tpm, &attestation, [3; 32]).await.certify(&public.name()).unwrap();
    }
}

#[tokio::test]
async fn the_counter_is_certified_under_the_name_that_policies_use() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let public = NvPublic::unmarshal(&paired.counter.public).unwrap();
    public.check_epoch_counter().unwrap();
    assert_eq!(public.name().as_bytes(), paired.counter.name);
    for epoch in [paired.counter.epoch, paired.counter.epoch + 1] {
        let attestation = paired.tpm.certify_counter([4; 32]).await.unwrap();
        let attested = verify(&paired.tpm, &attestation, [4; 32]).await;
        assert_eq!(attested.nv_counter(&public.name()).unwrap(), epoch);
        paired.tpm.revoke().await.unwrap();
    }
    let tools = rig.tool("tpm2_nvread -C 0x01805041 0x01805041 -o counter.bin");
    assert_eq!(tools, "");
    assert_eq!(rig.read("counter.bin"), (paired.counter.epoch + 2).to_be_bytes());
}

#[tokio::test]
async fn a_quote_covers_the_pcrs_that_are_read() {
    let rig = Rig::new();
    let tpm = rig.open();
    rig.drift(8);
    // More than one command can bring.
    let all = PcrSelection::new(HashAlgorithm::Sha256, 0..24).unwrap();
    for selection in [selection(), all] {
        let values = tpm.read_pcrs(&selection).await.unwrap();
        let attestation = tpm.quote(&selection, [5; 32]).await.unwrap();
        let quote = verify(&tpm, &attestation, [5; 32]).await.quote(&values).unwrap();
        assert_eq!(quote.pcrs().iter().count(), selection.iter().count());
        let clock = tpm.clock().await.unwrap();
        assert_eq!(
            (quote.clock().reset_count, quote.clock().restart_count),
            (clock.reset_count, clock.restart_count)
        );
        assert!(quote.clock().clock_ms <= clock.clock_ms);
    }
}

#[tokio::test]
async fn pcrs_are_of_one_moment() {
    let rig = Rig::new();
    let tpm = rig.open();
    let all = PcrSelection::new(HashAlgorithm::Sha256, 0..24).unwrap();
    // Between the first and the second of the three reads: together they would mix two moments.
    rig.proxy.interject(1, command::PCR_READ, command::pcr_extend(0));
    rig.proxy.take();
    let values = tpm.read_pcrs(&all).await.unwrap();
    assert_eq!(rig.proxy.take().len(), 5);
    let attestation = tpm.quote(&all, [6; 32]).await.unwrap();
    verify(&tpm, &attestation, [6; 32]).await.quote(&values).unwrap();
}

#[tokio::test]
async fn a_bank_that_is_not_there_is_told() {
    let rig = Rig::certified();
    let sha1 = PcrSelection::new(HashAlgorithm::Sha1, [0]).unwrap();
    let error = rig.open().read_pcrs(&sha1).await.unwrap_err();
    assert!(matches!(error, Error::Pcrs(_)), "{error}");
}

#[tokio::test]
async fn keys_of_another_tpm_and_damaged_ones_are_refused() {
    let (here, there) = (Rig::new(), Rig::new());
    let (here, there) = (Paired::new(&here).await, Paired::new(&there).await);
    let error = here.tpm.certify(&there.keys.device, [0; 32]).await.unwrap_err();
    assert_eq!(error.response_code().unwrap().class(), Class::Input, "{error}");

    let good = &here.keys.device;
    let mut longer = good.clone();
    longer.public.push(0);
    let mut shorter = good.clone();
    shorter.public.truncate(20);
    let huge = KeyBlob { private: vec![0; 100_000], ..good.clone() };
    for key in [longer, shorter, huge] {
        let error = here.tpm.certify(&key, [0; 32]).await.unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{error}");
    }
    let mut damaged = good.clone();
    damaged.private[40] ^= 1;
    let error = here.tpm.certify(&damaged, [0; 32]).await.unwrap_err();
    assert!(error.remedy().contains("pair the device again"), "{error}");
}
