mod kept;
mod nvpcr;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pawl_evidence::appraise::policy::Policy;
use pawl_proto::message::{BootLog, Evidence, MeasureLog, Report, Standing, TrustTier};
use pawl_proto::{Blob, DeviceId, Digest, Nonce, Text, limits};

use super::*;
use crate::boot_state::AcceptedState;
use crate::lease::LeasePolicy;
use crate::pairing::PairingState;
use crate::policy::DevicePolicy;
use crate::testing::SoftTpm;

const CHALLENGED_AT: u64 = 1_000;

/// A paired device, and the state that a control plane stores about it.
struct Paired {
    tpm: SoftTpm,
    basis: ReportBasis,
    lease: LeasePolicy,
    policy: Option<DevicePolicy>,
}

impl Paired {
    fn new() -> Self {
        let tpm = SoftTpm::new();
        let pairing = crate::receipt::tests::pairing(&tpm);
        let lease = LeasePolicy::default();
        let boot = lease.pcrs.iter().map(|pcr| (*pcr, tpm.pcrs[pcr])).collect();
        let accepted = vec![AcceptedState::at_first_pairing(boot, 900)];
        let basis =
            ReportBasis { pairing, accepted, challenged_at: Some(CHALLENGED_AT), nvpcrs_asked: Vec::new() };
        Self { tpm, basis, lease, policy: None }
    }

    fn set_policy(&mut self, policy: Policy) {
        let policy = Arc::new(policy);
        self.policy =
            Some(DevicePolicy { file: "test.toml".into(), digest: Digest([6; 32]), policy, ima: None });
    }

    fn evidence(&self, since: Option<Digest>) -> Evidence {
        let pairing = &self.basis.pairing;
        Evidence {
            version: Default::default(),
            device: pairing.device,
            pairing: pairing.id,
            epoch: pairing.epoch,
            nonce: pairing.nonce,
            since,
            boot_id: Text::lossy("c0ffee"),
            run: None,
            pcrs: if since.is_none() { self.tpm.pcrs.clone() } else { Default::default() },
            boot_log: None,
            measure_log: None,
            nvpcrs: None,
            ima_log: None,
            host: None,
            health: None,
            audit: None,
        }
    }

    fn decide(&mut self, evidence: &Evidence) -> Result<ReportDecision, ReportError> {
        let report = self.report(evidence);
        self.decide_report(&report)
    }

    fn report(&mut self, evidence: &Evidence) -> Report {
        let bytes = pawl_proto::encode(evidence).unwrap();
        let (attest, signature) = self.tpm.quote(Digest::of(&bytes).as_bytes());
        Report {
            version: Default::default(),
            evidence: Blob::new(bytes).unwrap(),
            attest,
            signature,
            nvpcrs: Vec::new(),
        }
    }

    fn decide_report(&self, report: &Report) -> Result<ReportDecision, ReportError> {
        let message = pawl_proto::encode(report).unwrap();
        let terms = Terms { policy: self.policy.as_ref(), lease: &self.lease };
        appraise_report(&self.basis, None, self.basis.pairing.device, &message, terms, CHALLENGED_AT + 5)
    }

    fn outcome(&mut self, evidence: &Evidence) -> ReportOutcome {
        self.decide(evidence).unwrap().outcome
    }
}

#[test]
fn a_report_on_the_nonce_is_appraised_and_the_next_one_builds_on_it() {
    let mut paired = Paired::new();
    let ReportOutcome::Appraised(first) = paired.outcome(&paired.evidence(None)) else { panic!() };
    // Without a boot log, the PCRs can be compared with known values but not explained.
    assert_eq!(first.judgement.result, TrustTier::Warning, "{:?}", first.judgement.reasons);
    let draft = first.judgement.clone().into_draft(Standing::Active, None, Digest([4; 32]), 300);
    assert_eq!((draft.interval, draft.lease.is_some()), (300, true));
    let suspended = first.judgement.into_draft(Standing::Suspended, None, Digest([4; 32]), 300);
    assert!(suspended.lease.is_none());

    let since = Some(first.base.evidence);
    paired.basis.pairing.base = Some(first.base);
    let outcome = paired.outcome(&paired.evidence(since));
    assert!(matches!(outcome, ReportOutcome::Appraised(_)), "{outcome:?}");
}

#[test]
fn a_stale_report_and_one_on_unknown_evidence_are_challenged() {
    let mut paired = Paired::new();
    let stale = Evidence { nonce: Nonce([8; 32]), ..paired.evidence(None) };
    assert!(matches!(paired.outcome(&stale), ReportOutcome::Challenge { whole: false }));
    let unknown = paired.evidence(Some(Digest([7; 32])));
    assert!(matches!(paired.outcome(&unknown), ReportOutcome::Challenge { whole: true }));
}

#[test]
fn drift_is_contraindicated() {
    let mut paired = Paired::new();
    paired.tpm.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xee; 32]));
    let ReportOutcome::Appraised(appraised) = paired.outcome(&paired.evidence(None)) else { panic!() };
    assert_eq!(appraised.judgement.result, TrustTier::Contraindicated);
    let draft = appraised.judgement.into_draft(Standing::Active, None, Digest([4; 32]), 300);
    assert!(draft.lease.is_none());
}

#[test]
fn values_that_the_quote_does_not_cover_contradict_a_whole_report() {
    let mut paired = Paired::new();
    let mut evidence = paired.evidence(None);
    evidence.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xee; 32]));
    assert!(matches!(paired.outcome(&evidence), ReportOutcome::Contradiction { .. }));
}

#[test]
fn a_report_of_an_ended_pairing_has_an_outcome_and_one_of_another_device_is_refused() {
    let mut paired = Paired::new();
    let evidence = paired.evidence(None);
    paired.basis.pairing.state = PairingState::Revoking;
    let ReportOutcome::Ended { time } = paired.outcome(&evidence) else { panic!() };
    assert_eq!(time.epoch, paired.tpm.epoch);
    let other = Evidence { device: DeviceId::from_digest([5; 32]), ..evidence };
    assert!(paired.decide(&other).is_err());
}

const CUT: &str = "longer than what the control plane keeps";

#[test]
fn the_reason_says_when_systemds_log_is_longer_than_what_is_kept() {
    let mut paired = Paired::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/forky-good");
    let boot_log = fs::read(fixture.join("binary_bios_measurements")).unwrap();
    let boot = fs::read(fixture.join("tpm2-measure.log")).unwrap();
    let log = boot.repeat(limits::MEASURE_LOG / boot.len() + 1);
    let size = u64::try_from(log.len()).unwrap();
    let mut offset = 0;
    for piece in log.chunks(limits::MEASURE_PIECE) {
        let since = paired.basis.pairing.base.as_ref().map(|base| base.evidence);
        let bytes = Some(Blob::new(boot_log.clone()).unwrap());
        let outcome = paired.outcome(&Evidence {
            boot_log: Some(BootLog { digest: Digest::of(&boot_log), bytes }),
            measure_log: Some(MeasureLog { offset, size, bytes: Blob::new(piece.to_vec()).unwrap() }),
            ..paired.evidence(since)
        });
        let ReportOutcome::Appraised(appraised) = outcome else { panic!("{outcome:?}") };
        offset += u64::try_from(piece.len()).unwrap();
        let is_cut = offset > u64::try_from(limits::MEASURE_LOG).unwrap();
        let reasons = &appraised.judgement.reasons;
        assert_eq!(appraised.judgement.result, TrustTier::Contraindicated, "{reasons:?}");
        assert_eq!(reasons.iter().any(|reason| reason.contains(CUT)), is_cut, "{offset}: {reasons:?}");
        assert_eq!(appraised.kept.unwrap().is_measure_log_cut(), is_cut);
        paired.basis.pairing.base = Some(appraised.base);
    }
    assert!(offset > u64::try_from(limits::MEASURE_LOG).unwrap());
}
