//! NvPCRs in reports: which certifications are accepted, and when a verdict asks for them.

use pawl_evidence::appraise::NvPcrs;
use pawl_evidence::appraise::policy::{NvIndex, NvPcrSection};
use pawl_evidence::attest::{AttestError, AttestationKey};
use pawl_evidence::tpm::{NvPublic, Public};
use pawl_proto::limits;
use pawl_proto::message::{CertifiedNvPcr, TpmStructure};

use super::*;

const HARDWARE: u32 = 0x01d1_0200;

#[test]
fn a_certified_nvpcr_counts_for_its_own_evidence_in_the_boot_of_the_quote() {
    let mut paired = Paired::new();
    let report = paired.certifying(1);
    let quoted = paired.verify(&report).unwrap();
    assert_eq!((quoted.nvpcrs.len(), quoted.nvpcrs[0].value().as_bytes()), (1, &[5; 32][..]));

    // Certified for the evidence of another report.
    let mut other = report.clone();
    let evidence = Evidence { boot_id: Text::lossy("other"), ..paired.evidence(None) };
    other.nvpcrs = paired.certify(&evidence, 1).nvpcrs;
    let error = paired.verify(&other).err();
    assert!(matches!(error, Some(QuotedError::Attest(AttestError::Stale))), "{error:?}");

    // The public area of another index.
    let mut other = report.clone();
    other.nvpcrs[0].public = TpmStructure::new(public(HARDWARE + 1).as_bytes().to_vec()).unwrap();
    let error = paired.verify(&other).err();
    assert!(matches!(error, Some(QuotedError::Attest(AttestError::Name { .. }))), "{error:?}");
}

#[test]
fn a_certification_before_a_reset_does_not_count_after_it() {
    let mut paired = Paired::new();
    let before = paired.certifying(1);
    paired.tpm.reset_count += 1;
    // A device can prepare the evidence before a reboot: the digest is the same.
    let after = Report { nvpcrs: before.nvpcrs, ..paired.certifying(1) };
    assert_eq!(before.evidence, after.evidence);
    let error = paired.verify(&after).err();
    assert!(matches!(error, Some(QuotedError::OtherBoot)), "{error:?}");
}

#[test]
fn a_report_with_more_nvpcrs_than_a_verdict_asks_for_is_refused() {
    let mut paired = Paired::new();
    let most = paired.certifying(limits::NVPCRS);
    assert_eq!(paired.verify(&most).unwrap().nvpcrs.len(), limits::NVPCRS);
    let more = paired.certifying(limits::NVPCRS + 1);
    assert!(matches!(paired.verify(&more).err(), Some(QuotedError::TooManyNvPcrs)));

    let present = Some(vec![1; limits::NVPCRS_PRESENT + 1]);
    let report = paired.report(&Evidence { nvpcrs: present, ..paired.evidence(None) });
    assert!(matches!(paired.verify(&report).err(), Some(QuotedError::TooManyNvPcrs)));
}

#[test]
fn a_report_is_challenged_while_no_verdict_has_asked_for_the_nvpcrs_of_the_policy() {
    let mut paired = Paired::new();
    paired.set_policy(naming(HARDWARE));
    let evidence = paired.evidence(None);
    for asked in [vec![], vec![HARDWARE + 1]] {
        paired.basis.nvpcrs_asked = asked;
        let outcome = paired.outcome(&evidence);
        assert!(matches!(outcome, ReportOutcome::Challenge { whole: false }), "{outcome:?}");
    }
    // The device was asked, and its TPM certified nothing.
    paired.basis.nvpcrs_asked = vec![HARDWARE, HARDWARE + 1];
    let ReportOutcome::Appraised(appraised) = paired.outcome(&evidence) else { panic!() };
    assert_eq!(appraised.judgement.result, TrustTier::Contraindicated);
}

#[test]
fn a_device_that_was_not_asked_gets_no_lease_and_reports_again_at_once() {
    let mut paired = Paired::new();
    for (policy, expected) in [(Policy::default(), 300), (naming(HARDWARE), 0)] {
        paired.set_policy(policy);
        let report = paired.report(&paired.evidence(None));
        let quoted = paired.verify(&report).unwrap();
        let quote = quoted.composite(&paired.tpm.pcrs).unwrap();
        let context = AppraisalContext {
            policy: paired.policy.as_ref(),
            lease: &paired.lease,
            pairing: None,
            accepted: &paired.basis.accepted,
            trust_first: false,
            highest: None,
            epoch: paired.basis.pairing.epoch,
            attestation_key: &paired.basis.pairing.attestation_key,
            age: 0,
            nvpcrs: NvPcrs::NotAsked,
            now: CHALLENGED_AT,
        };
        let mut judgement = Appraised::new(&quoted, &quote, None, context).unwrap().judgement;
        // Only the NvPCRs are tested here, so the policy's other results are overwritten.
        judgement.result = TrustTier::Affirming;
        let draft = judgement.into_draft(Standing::Active, None, quoted.digest, 300);
        assert_eq!((draft.interval, draft.lease.is_none()), (expected, expected == 0));
    }
}

#[test]
fn kept_evidence_has_the_certified_nvpcrs_and_which_ones_were_asked_for() {
    let mut paired = Paired::new();
    paired.set_policy(naming(HARDWARE));
    paired.basis.nvpcrs_asked = vec![HARDWARE];
    let report = paired.certifying(1);
    let ReportOutcome::Appraised(appraised) = paired.decide_report(&report).unwrap().outcome else {
        panic!()
    };
    let kept = serde_json::to_string(&appraised.kept.unwrap()).unwrap();
    let kept: KeptEvidence = serde_json::from_str(&kept).unwrap();
    let nvpcrs = kept.nvpcrs().unwrap();
    assert_eq!((nvpcrs.len(), nvpcrs[0].public().index()), (1, HARDWARE));
    assert_eq!(kept.nvpcrs_asked(), [HARDWARE]);
}

impl Paired {
    /// Returns a report that certifies this many NvPCRs, each with the value 5.
    fn certifying(&mut self, nvpcrs: usize) -> Report {
        self.certify(&self.evidence(None), nvpcrs)
    }

    fn certify(&mut self, evidence: &Evidence, nvpcrs: usize) -> Report {
        let mut report = self.report(evidence);
        let digest = Digest::of(report.evidence.as_bytes());
        report.nvpcrs = (HARDWARE..)
            .take(nvpcrs)
            .map(|index| {
                let public = public(index);
                let (attest, signature) = self.tpm.certify_nv(&public, &[5; 32], digest.as_bytes());
                CertifiedNvPcr {
                    public: TpmStructure::new(public.as_bytes().to_vec()).unwrap(),
                    attest,
                    signature,
                }
            })
            .collect();
        report
    }

    fn verify(&self, report: &Report) -> Result<QuotedEvidence, QuotedError> {
        let public = Public::unmarshal(&self.tpm.ak_public()).unwrap();
        QuotedEvidence::verify(&AttestationKey::from_public(public).unwrap(), report)
    }
}

fn naming(index: u32) -> Policy {
    let section = NvPcrSection::default();
    Policy { nvpcr: [(NvIndex::new(index).unwrap(), section)].into(), ..Policy::default() }
}

/// Returns the public area of an NV index of type extend, for SHA-256.
fn public(index: u32) -> NvPublic {
    let header = [&index.to_be_bytes()[..], &[0, 0x0b], &0x2806_0048_u32.to_be_bytes()].concat();
    NvPublic::unmarshal(&[&header[..], &[0, 32], &[7; 32], &[0, 32]].concat()).unwrap()
}
