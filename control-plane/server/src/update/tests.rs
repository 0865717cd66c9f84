use std::collections::BTreeMap;
use std::sync::Arc;

use pawl_proto::message::{Lease, ShortText};
use pawl_proto::{Digest, PcrBank, PcrValue};

use super::{PreApproved, Update, UpdateError, pre_approve, withdraw};
use crate::bundle;
use crate::orders;
use crate::testing::{Device, Reporting, Rig};

fn by_hand(name: &str, pcrs: &[(u8, u8)]) -> Update {
    let pcrs = pcrs.iter().map(|(index, value)| (*index, PcrValue::Sha256([*value; 32]))).collect();
    Update {
        name: ShortText::lossy(name),
        boot: None,
        databases: Vec::new(),
        present: None,
        pcrs,
        state: None,
        dry_run: false,
    }
}

async fn approve(rig: &Rig, reporting: &Reporting, update: Update) -> Result<PreApproved, UpdateError> {
    let state = Some(rig.reported(reporting.device.id()).await).filter(|_| update.state.is_none());
    pre_approve(&rig.plane, reporting.device.id(), Update { state: state.or(update.state), ..update }).await
}

fn is_for(lease: &Lease, pcrs: &BTreeMap<u8, PcrValue>) -> bool {
    let values: Vec<u8> = pcrs.values().flat_map(|value| value.as_bytes().to_vec()).collect();
    lease.pcr_digest == Digest::of(&values) && pcrs.keys().eq(&lease.pcrs)
}

#[tokio::test]
async fn a_state_approved_ahead_gets_a_lease_until_the_device_reaches_it() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let approved = approve(&rig, &reporting, by_hand("6.2", &[(4, 0x44), (9, 0x99)])).await.unwrap();
    let verdict = reporting.steady().await;
    let present = verdict.lease.unwrap();
    let [ahead] = &verdict.ahead[..] else { panic!("{:?}", verdict.ahead) };
    assert!(is_for(&present, &approved.present) && is_for(ahead, &approved.coming));
    assert_eq!(ahead.reset_count, present.reset_count + 1, "the boot into that state is one more reset");
    assert_eq!(ahead.clock - reporting.device.tpm.clock, 604_800_000);

    // Each verdict contains the lease, but it is not signed again each time.
    assert_eq!(&reporting.steady().await.ahead[..], std::slice::from_ref(ahead));
    // It is signed again after half its time and after a reboot.
    reporting.device.tpm.clock += 302_500_000;
    let renewed = reporting.steady().await.ahead.remove(0);
    assert!(renewed.clock > ahead.clock && renewed.pcr_digest == ahead.pcr_digest);
    reporting.device.tpm.reset_count += 1;
    assert_eq!(reporting.steady().await.ahead[0].reset_count, renewed.reset_count + 1);

    reporting.device.tpm.pcrs.extend(approved.coming.clone());
    let arrived = reporting.report().await;
    assert!(is_for(&arrived.lease.unwrap(), &approved.coming) && arrived.ahead.is_empty());

    // The records contain every signed lease, and the check verifies them.
    let (plane, id) = (Arc::clone(&rig.plane), reporting.device.id());
    let contents = rig.plane.store.transaction(move |tx| bundle::collect(&plane, tx, id)).await.unwrap();
    let checked = bundle::check(&contents);
    assert_eq!((checked.failures, checked.leases), (vec![], 9));
}

#[tokio::test]
async fn the_last_four_approved_states_get_leases() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let mut states = Vec::new();
    for number in 0..6 {
        rig.clock.advance(1);
        states.push(approve(&rig, &reporting, by_hand("next", &[(4, 0x40 + number)])).await.unwrap().coming);
    }
    let ahead = reporting.steady().await.ahead;
    assert_eq!(ahead.len(), 4);
    for (lease, state) in ahead.iter().zip(states.iter().rev()) {
        assert!(is_for(lease, state));
    }
    assert_eq!(withdraw(&rig.plane, reporting.device.id()).await.unwrap(), 6);
    assert!(reporting.steady().await.ahead.is_empty());
}

#[tokio::test]
async fn a_suspended_device_gets_no_leases_ahead() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    approve(&rig, &reporting, by_hand("6.2", &[(4, 0x44)])).await.unwrap();
    orders::suspend(&rig.plane, reporting.device.id(), "audit".to_owned()).await.unwrap();
    let verdict = reporting.steady().await;
    assert!(verdict.lease.is_none() && verdict.ahead.is_empty());
}

#[tokio::test]
async fn a_state_that_cannot_be_approved_ahead_is_refused_with_the_reason() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let same = approve(&rig, &reporting, by_hand("same", &[(4, 4)])).await;
    assert!(matches!(same, Err(UpdateError::Same)), "{same:?}");
    let elsewhere = approve(&rig, &reporting, by_hand("ima", &[(10, 1)])).await;
    assert!(matches!(elsewhere, Err(UpdateError::NotInLease(10))), "{elsewhere:?}");
    let dry = approve(&rig, &reporting, Update { dry_run: true, ..by_hand("dry", &[(4, 0x44)]) }).await;
    assert_eq!(dry.unwrap().coming[&4], PcrValue::Sha256([0x44; 32]));
    assert!(reporting.steady().await.ahead.is_empty());

    // The approval would cover every PCR that the update does not change.
    reporting.device.tpm.pcrs.insert(0, PcrValue::Sha256([0xee; 32]));
    assert!(reporting.report().await.lease.is_none());
    let drifted = approve(&rig, &reporting, by_hand("6.2", &[(4, 0x44)])).await;
    assert!(matches!(drifted, Err(UpdateError::Contraindicated)), "{drifted:?}");
}

#[tokio::test]
async fn an_update_builds_only_on_the_state_that_the_operator_has_seen() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let unnamed = pre_approve(&rig.plane, id, by_hand("6.2", &[(4, 0x44)])).await;
    assert!(matches!(unnamed, Err(UpdateError::NoState)), "{unnamed:?}");
    let seen = rig.reported(id).await;
    // Another state, which an operator has accepted.
    reporting.device.tpm.pcrs.insert(9, PcrValue::Sha256([0x99; 32]));
    reporting.report().await;
    let state = rig.reported(id).await;
    orders::accept(&rig.plane, id, state).await.unwrap();
    reporting.report().await;
    let update = Update { state: Some(seen), ..by_hand("6.2", &[(4, 0x44)]) };
    let refused = pre_approve(&rig.plane, id, update).await;
    assert!(
        matches!(refused, Err(UpdateError::OtherState { reported, .. }) if reported == state),
        "{refused:?}"
    );
    let update = Update { state: Some(state), ..by_hand("6.2", &[(4, 0x44)]) };
    pre_approve(&rig.plane, id, update).await.unwrap();
}

#[tokio::test]
async fn a_device_that_quotes_its_sha384_bank_gets_leases_of_that_bank() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.tpm.pcrs = (0..=14).map(|index| (index, PcrValue::Sha384([index; 48]))).collect();
    let request = device.request();
    let (mut reporting, _) = Reporting::pair(&rig, device, request).await;
    let id = reporting.device.id();
    let other = approve(&rig, &reporting, by_hand("6.2", &[(4, 0x44)])).await;
    assert!(matches!(other, Err(UpdateError::Bank { index: 4, bank: PcrBank::Sha384 })), "{other:?}");
    let update = Update { pcrs: [(4, PcrValue::Sha384([0x44; 48]))].into(), ..by_hand("6.2", &[]) };
    let approved = approve(&rig, &reporting, update).await.unwrap();
    let verdict = reporting.steady().await;
    let present = verdict.lease.unwrap();
    let [ahead] = &verdict.ahead[..] else { panic!("{:?}", verdict.ahead) };
    assert!(is_for(&present, &approved.present) && is_for(ahead, &approved.coming));
    assert_eq!((present.bank, ahead.bank), (PcrBank::Sha384, PcrBank::Sha384));

    // The check verifies the records: the signed policy is for that bank.
    let plane = Arc::clone(&rig.plane);
    let contents = rig.plane.store.transaction(move |tx| bundle::collect(&plane, tx, id)).await.unwrap();
    let checked = bundle::check(&contents);
    assert_eq!((checked.failures, checked.leases > 1), (vec![], true));

    // The same boot in another bank is another state.
    reporting.device.tpm.pcrs = (0..=14).map(|index| (index, PcrValue::Sha256([index; 32]))).collect();
    assert!(reporting.report().await.lease.is_none());
}
