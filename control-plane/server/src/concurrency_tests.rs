//! Tests that the result of an appraisal, which runs outside transactions, is committed only if the state that it was
//! based on is unchanged. Between appraisal and commit, other transactions change that state here, twice.

use std::collections::BTreeMap;

use pawl_proto::message::{Finding, PairingRequest, RefusalCode, ShortText};
use pawl_proto::{DeviceId, PcrValue};
use pawl_verifier::incident::IncidentKind;
use pawl_verifier::{AcceptedBy, AcceptedState, BootState, boot_digest};

use crate::orders::{self, OrderError};
use crate::pairing;
use crate::refusal::RequestError;
use crate::store::{ChainError, NewReport, StoreError, Tx};
use crate::testing::{Reporting, Rig};
use crate::update::{Update, UpdateError, pre_approve};

/// Returns the boot state that a device last reported, with this value in PCR 4.
async fn state_with(rig: &Rig, device: DeviceId, value: u8) -> BootState {
    let state = rig.plane.store.transaction(move |tx| tx.reported_state(device)).await.unwrap();
    let mut state: BootState = state.unwrap();
    state.insert(4, PcrValue::Sha256([value; 32]));
    state
}

fn accepts(device: DeviceId, pcrs: BootState) -> impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send {
    let name = "accepted meanwhile".to_owned();
    let state = AcceptedState { name, by: AcceptedBy::Operator, pcrs, ahead: false, accepted_at: 1 };
    move |tx| tx.accept_boot_state(device, &state).map(drop)
}

/// Stores a report that differs from the last one in this PCR.
fn reports(device: DeviceId, pcr: u8, value: u8) -> impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send {
    move |tx| {
        let pairing = tx.live_pairing(device)?.unwrap();
        let mut base = pairing.base.unwrap();
        base.pcrs.insert(pcr, PcrValue::Sha256([value; 32]));
        let report = NewReport { at: 1, bytes: 0, whole: false, host: None, health: None };
        tx.store_report(pairing.id, &base, report)
    }
}

/// Returns how many records of this kind the device has.
async fn records(rig: &Rig, device: DeviceId, kind: &str) -> usize {
    let records = rig.plane.store.transaction(move |tx| tx.records(device)).await;
    let records = records.unwrap_or_else(|error: ChainError| panic!("{error}"));
    records.iter().filter(|(record, _)| record.fact.kind() == kind).count()
}

#[tokio::test]
async fn a_report_is_appraised_again_for_each_change_of_its_state() {
    let rig = Rig::new();
    let (mut reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let (other, booted) = (state_with(&rig, id, 0x55).await, state_with(&rig, id, 0x44).await);
    reporting.device.tpm.pcrs.insert(4, PcrValue::Sha256([0x44; 32]));
    rig.plane.appraisals.change(accepts(id, other));
    rig.plane.appraisals.change(accepts(id, booted));
    let (appraised, verdicts) = (rig.plane.appraisals.count(), records(&rig, id, "verdict").await);
    let verdict = reporting.report().await;
    assert!(verdict.lease.is_some(), "it was appraised with an outdated state: {:?}", verdict.reasons);
    assert_eq!(rig.plane.appraisals.count(), appraised + 3);
    assert_eq!(records(&rig, id, "verdict").await, verdicts + 1);
}

#[tokio::test]
async fn a_pairing_request_that_is_appraised_again_counts_its_sign_of_an_incident_once() {
    let rig = Rig::new();
    let (reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    for value in [0x44, 0x55] {
        rig.plane.appraisals.change(accepts(id, state_with(&rig, id, value).await));
    }
    let appraised = rig.plane.appraisals.count();
    let request = PairingRequest { finding: Finding::NewDisk, ..reporting.device.request() };
    let (reporting, verdict) = Reporting::pair(&rig, reporting.device, request).await;
    assert!(verdict.lease.is_some());
    assert_eq!(rig.plane.appraisals.count(), appraised + 4, "three for the opening, one for the proof");
    let open = rig.plane.store.transaction(move |tx| tx.open_incidents(id)).await.unwrap();
    let seen: Vec<(IncidentKind, u64)> =
        open.iter().map(|incident| (incident.kind, incident.times)).collect();
    assert_eq!(seen, [(IncidentKind::Reimaged, 1)]);
    assert_eq!(records(&rig, reporting.device.id(), "session-opened").await, 2);
}

#[tokio::test]
async fn a_pairings_proof_is_appraised_again_for_each_change_of_its_state() {
    let rig = Rig::new();
    let (reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let mut device = reporting.device;
    let request = device.request();
    let (asked, progress) = device.ask(&rig.plane, request).await.unwrap();
    let proof = device.proof(asked.id, &progress.approved());
    for value in [0x44, 0x55] {
        rig.plane.appraisals.change(accepts(id, state_with(&rig, id, value).await));
    }
    let appraised = rig.plane.appraisals.count();
    pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
    assert_eq!(rig.plane.appraisals.count(), appraised + 3);
    assert_eq!(records(&rig, id, "paired").await, 2);
}

#[tokio::test]
async fn a_session_that_is_spent_meanwhile_grants_no_other_pairing() {
    let rig = Rig::new();
    let (reporting, _) = Reporting::paired(&rig).await;
    let mut device = reporting.device;
    let request = device.request();
    let (asked, progress) = device.ask(&rig.plane, request).await.unwrap();
    let proof = device.proof(asked.id, &progress.approved());
    rig.plane.appraisals.change(|tx| tx.execute("UPDATE session SET state = 'spent'").map(drop));
    let refused = pairing::prove(&rig.plane, asked.id, proof).await;
    assert!(
        matches!(&refused, Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::Stale),
        "{refused:?}"
    );
    assert_eq!(records(&rig, device.id(), "paired").await, 1);
}

#[tokio::test]
async fn a_state_that_is_accepted_is_checked_again_when_the_device_sent_other_evidence() {
    let rig = Rig::new();
    let (reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let seen = rig.reported(id).await;
    let later = move |tx: &Tx<'_>| {
        let mut kept = tx.kept_evidence(id)?.unwrap();
        kept.at += 1;
        tx.set_kept_evidence(id, &kept, None)
    };
    rig.plane.appraisals.change(later);
    rig.plane.appraisals.change(later);
    let checked = rig.plane.appraisals.count();
    orders::accept(&rig.plane, id, seen).await.unwrap();
    assert_eq!(rig.plane.appraisals.count(), checked + 3);

    let other = state_with(&rig, id, 0x44).await;
    let reported = boot_digest(&other);
    rig.plane.appraisals.change(move |tx| tx.set_reported_state(id, &other));
    let refused = orders::accept(&rig.plane, id, seen).await;
    assert!(matches!(refused, Err(OrderError::OtherState { reported: now, .. }) if now == reported));
}

#[tokio::test]
async fn a_state_that_is_approved_ahead_is_computed_again_from_the_last_report() {
    let rig = Rig::new();
    let (reporting, _) = Reporting::paired(&rig).await;
    let id = reporting.device.id();
    let update = Update {
        name: ShortText::lossy("6.2"),
        boot: None,
        databases: Vec::new(),
        present: None,
        pcrs: BTreeMap::from([(4, PcrValue::Sha256([0x44; 32]))]),
        state: Some(rig.reported(id).await),
        dry_run: false,
    };
    // Leases do not name PCR 10: the boot state is the same, but the report has changed.
    rig.plane.appraisals.change(reports(id, 10, 1));
    rig.plane.appraisals.change(reports(id, 10, 2));
    let (computed, accepted) = (rig.plane.appraisals.count(), records(&rig, id, "accepted").await);
    pre_approve(&rig.plane, id, update.clone()).await.unwrap();
    assert_eq!(rig.plane.appraisals.count(), computed + 3);
    assert_eq!(records(&rig, id, "accepted").await, accepted + 1);

    rig.plane.appraisals.change(reports(id, 9, 0x99));
    let refused = pre_approve(&rig.plane, id, update).await;
    assert!(matches!(refused, Err(UpdateError::OtherState { .. })), "{refused:?}");
    assert_eq!(records(&rig, id, "accepted").await, accepted + 1);
}
