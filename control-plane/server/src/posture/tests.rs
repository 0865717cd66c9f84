use std::sync::Arc;

use pawl_proto::message::{Area, EventKind, ImaLog, Report, ShortText, Standing, TrustTier, Verdict};
use pawl_proto::{Blob, Digest, EventId, Nonce};

use super::receive;
use crate::control_plane::ControlPlane;
use crate::orders;
use crate::testing::{Device, Rig, decode_verdict};

/// A paired device, its last evidence and its last nonce.
struct Paired {
    rig: Rig,
    device: Device,
    base: Digest,
    nonce: Nonce,
}

impl Paired {
    async fn new() -> Self {
        let rig = Rig::new();
        let mut device = Device::enrolled(&rig.plane).await;
        let grant = device.pair(&rig.plane).await.unwrap();
        let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
        Self { rig, device, base: verdict.answers.unwrap(), nonce: verdict.nonce }
    }

    fn plane(&self) -> &Arc<ControlPlane> {
        &self.rig.plane
    }

    async fn send(&self, report: &Report) -> Option<Verdict> {
        let message = pawl_proto::encode(report).unwrap();
        receive(self.plane(), self.device.id(), message).await.unwrap();
        self.device.next_verdict(self.plane()).await
    }

    /// Returns the orders that are not published.
    async fn unpublished(&self) -> Vec<EventId> {
        let waiting = self.plane().store.transaction(|tx| tx.unpublished_events(9)).await.unwrap();
        waiting.into_iter().map(|(_, id, _)| id).collect()
    }

    /// Accepts the boot state that the device last reported.
    async fn accept(&self) {
        let state = self.rig.reported(self.device.id()).await;
        orders::accept(self.plane(), self.device.id(), state).await.unwrap();
    }

    async fn steady(&mut self) -> Verdict {
        let report = self.device.report(self.nonce, Some(self.base));
        self.send(&report).await.unwrap()
    }
}

#[tokio::test]
async fn a_steady_report_brings_the_next_lease() {
    let mut paired = Paired::new().await;
    let verdict = paired.steady().await;
    assert_eq!((verdict.result, verdict.sequence), (Some(TrustTier::Warning), 2));
    assert_eq!(verdict.interval, 300);
    assert_eq!(verdict.lease.unwrap().clock, paired.device.tpm.clock + 900_000);
}

#[tokio::test]
async fn a_device_that_goes_on_reporting_in_a_pairing_that_has_ended_gets_the_order_again() {
    let mut paired = Paired::new().await;
    let ordered =
        orders::order(paired.plane(), paired.device.id(), EventKind::Revoke, ShortText::lossy("stolen"))
            .await
            .unwrap();
    let id = ordered.event.id;
    paired.plane().store.transaction(move |tx| tx.set_event_published(id, 1, 2)).await.unwrap();
    assert!(paired.unpublished().await.is_empty(), "the broker has it");

    let report = paired.device.report(paired.nonce, Some(paired.base));
    assert_eq!(paired.send(&report).await, None);
    assert_eq!(paired.unpublished().await, [id]);
}

#[tokio::test]
async fn a_replayed_report_gets_a_nonce_and_nothing_else() {
    let mut paired = Paired::new().await;
    let report = paired.device.report(paired.nonce, Some(paired.base));
    let first = paired.send(&report).await.unwrap();
    let second = paired.send(&report).await.unwrap();
    assert_eq!((second.result, second.lease, second.interval), (None, None, 0));
    assert!(second.sequence > first.sequence && second.nonce != first.nonce && !second.whole);
}

#[tokio::test]
async fn after_a_report_on_an_unknown_base_the_device_is_asked_for_a_whole_one() {
    let mut paired = Paired::new().await;
    let report = paired.device.report(paired.nonce, Some(Digest([0; 32])));
    let verdict = paired.send(&report).await.unwrap();
    assert!(verdict.whole && verdict.lease.is_none());
    let whole = paired.device.report(verdict.nonce, None);
    assert!(paired.send(&whole).await.unwrap().lease.is_some());
}

#[tokio::test]
async fn drift_that_is_reported_ends_the_lease_and_names_the_pcr() {
    let mut paired = Paired::new().await;
    paired.device.tpm.pcrs.insert(9, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let mut evidence = paired.device.evidence(paired.nonce, Some(paired.base));
    evidence.pcrs.insert(9, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let report = paired.device.quoted(&evidence);
    let verdict = paired.send(&report).await.unwrap();
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Contraindicated), None));
    assert!(verdict.reasons[0].as_str().contains("PCR 9"), "{:?}", verdict.reasons);
}

#[tokio::test]
async fn a_report_that_omits_drift_gets_no_lease() {
    let mut paired = Paired::new().await;
    paired.device.tpm.pcrs.insert(9, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let verdict = paired.steady().await;
    assert!(verdict.whole && verdict.lease.is_none());
}

#[tokio::test]
async fn pcr_values_that_are_not_quoted_are_not_stored() {
    let mut paired = Paired::new().await;
    let mut evidence = paired.device.evidence(paired.nonce, Some(paired.base));
    evidence.pcrs.insert(20, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let report = paired.device.quoted(&evidence);
    assert!(paired.send(&report).await.unwrap().lease.is_some());
    let device = paired.device.id();
    let stored = paired.plane().store.transaction(move |tx| tx.newest_pairing(device)).await.unwrap();
    assert!(!stored.unwrap().base.unwrap().pcrs.contains_key(&20));
}

#[tokio::test]
async fn a_forged_report_and_one_of_another_device_are_not_answered() {
    let mut paired = Paired::new().await;
    let mut forged = paired.device.report(paired.nonce, Some(paired.base));
    let mut stranger = Device::new();
    stranger.pairing = paired.device.pairing;
    forged.signature = stranger.report(paired.nonce, Some(paired.base)).signature;
    assert_eq!(paired.send(&forged).await, None);
    let foreign = stranger.report(paired.nonce, None);
    assert_eq!(paired.send(&foreign).await, None);
}

#[tokio::test]
async fn a_tpm_whose_clock_went_back_gets_no_lease() {
    let mut paired = Paired::new().await;
    let before = paired.device.tpm.clock;
    let verdict = paired.steady().await;
    paired.device.tpm.clock = before - 1_000;
    (paired.base, paired.nonce) = (verdict.answers.unwrap(), verdict.nonce);
    let verdict = paired.steady().await;
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Contraindicated), None));
    assert!(verdict.reasons[0].as_str().contains("went back in time"), "{:?}", verdict.reasons);
}

#[tokio::test]
async fn a_tpm_whose_clock_fell_at_a_reset_gets_a_lease() {
    let mut paired = Paired::new().await;
    paired.device.tpm.reset_count += 1;
    paired.device.tpm.clock = 5;
    assert!(paired.steady().await.lease.is_some());
}

#[tokio::test]
async fn suspension_ends_leases_and_resuming_brings_them_back() {
    let mut paired = Paired::new().await;
    let id = paired.device.id();
    orders::suspend(paired.plane(), id, "audit".to_owned()).await.unwrap();
    let told = paired.device.next_verdict(paired.plane()).await.unwrap();
    assert_eq!((told.entitlement.standing, told.lease), (Standing::Suspended, None));
    assert_eq!(told.reasons[0].as_str(), "audit");
    // The device sent a report before it received that verdict. The answer has the same reason.
    let stale = paired.device.report(paired.nonce, Some(paired.base));
    let told = paired.send(&stale).await.unwrap();
    assert_eq!((told.result, told.entitlement.standing), (None, Standing::Suspended));
    assert_eq!(told.reasons[0].as_str(), "audit");
    paired.nonce = told.nonce;
    let verdict = paired.steady().await;
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Warning), None));

    paired.base = verdict.answers.unwrap();
    orders::resume(paired.plane(), id, 1).await.unwrap();
    let told = paired.device.next_verdict(paired.plane()).await.unwrap();
    assert_eq!((told.entitlement.standing, told.interval), (Standing::Active, 0));
    paired.nonce = told.nonce;
    assert!(paired.steady().await.lease.is_some());
}

/// A policy for devices without an event log, which compares their boot states with the accepted ones.
const LOGLESS: &str =
    "boot-log.required = false\nsecure-boot.required = false\nfirmware.accept-any-version = true\n";

#[tokio::test]
async fn under_a_policy_a_first_pairing_is_not_trusted_and_an_accepted_state_is() {
    let mut paired = Paired::new().await;
    paired.rig.set_policy(LOGLESS);
    let verdict = paired.steady().await;
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Contraindicated), None));
    assert_eq!(verdict.areas[&Area::Boot], TrustTier::Contraindicated);
    let reason = verdict.reasons[0].as_str();
    assert!(reason.starts_with("boot (boot-state.accepted): no boot state"), "{reason}");
    assert_eq!(verdict.policy, Some(Digest::of(LOGLESS.as_bytes())));

    paired.accept().await;
    let told = paired.device.next_verdict(paired.plane()).await.unwrap();
    (paired.base, paired.nonce) = (verdict.answers.unwrap(), told.nonce);
    let verdict = paired.steady().await;
    assert_eq!(verdict.result, Some(TrustTier::Warning), "no log: {:?}", verdict.reasons);
    assert!(verdict.lease.is_some());
}

#[tokio::test]
async fn stale_evidence_is_answered_with_a_new_challenge() {
    let mut paired = Paired::new().await;
    paired.rig.set_policy(&format!("freshness.max-age = 100\n{LOGLESS}"));
    paired.rig.clock.advance(101);
    let verdict = paired.steady().await;
    assert_eq!((verdict.result, verdict.lease, verdict.interval), (None, None, 0));
    paired.nonce = verdict.nonce;
    paired.rig.clock.advance(100);
    assert_eq!(paired.steady().await.areas[&Area::Freshness], TrustTier::Affirming);
}

#[tokio::test]
async fn with_rules_on_files_no_lease_is_issued_before_the_whole_ima_log_was_appraised() {
    let mut paired = Paired::new().await;
    paired.accept().await;
    let told = paired.device.next_verdict(paired.plane()).await.unwrap();
    paired.rig.set_policy(&format!("{LOGLESS}[ima]\n"));
    let mut evidence = paired.device.evidence(told.nonce, None);
    let piece = ImaLog { offset: 0, size: 9, bytes: Blob::new(vec![10, 0, 0]).unwrap() };
    evidence.ima_log = Some(piece);
    let report = paired.device.quoted(&evidence);
    let verdict = paired.send(&report).await.unwrap();
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Warning), None), "{:?}", verdict.reasons);
    assert_eq!((verdict.areas[&Area::Runtime], verdict.interval), (TrustTier::Warning, 0));
}

#[tokio::test]
async fn a_state_is_accepted_only_while_it_is_the_one_that_was_reported_last() {
    let mut paired = Paired::new().await;
    paired.device.tpm.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xbb; 32]));
    let looked_at_report = paired.device.report(paired.nonce, None);
    let verdict = paired.send(&looked_at_report).await.unwrap();
    let looked_at = paired.rig.reported(paired.device.id()).await;
    // The device boots something else before the operator acts.
    paired.device.tpm.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xcc; 32]));
    let report = paired.device.report(verdict.nonce, None);
    paired.send(&report).await.unwrap();
    let refused = orders::accept(paired.plane(), paired.device.id(), looked_at).await;
    let Err(orders::OrderError::OtherState { seen, reported }) = refused else { panic!("{refused:?}") };
    assert_eq!((seen, reported), (looked_at, paired.rig.reported(paired.device.id()).await));
    let id = paired.device.id();
    let accepted = paired.plane().store.transaction(move |tx| tx.boot_states(id)).await.unwrap();
    assert_eq!(accepted.len(), 1, "{accepted:?}");
}
