//! The stored evidence of a report can be appraised again.

use pawl_evidence::appraise::{ImaProgress, NvPcrs};
use pawl_evidence::ima::Outcome;

use super::*;
use crate::LeasePcrs;
use crate::record::Fact;

#[test]
fn stored_evidence_can_be_verified_and_appraised_again() {
    let mut paired = Paired::new();
    let evidence = paired.evidence(None);
    let ReportDecision { quoted, outcome } = paired.decide(&evidence).unwrap();
    let ReportOutcome::Appraised(appraised) = outcome else { panic!() };
    let kept = appraised.kept.unwrap();
    assert_eq!((kept.at, kept.age, kept.evidence), (CHALLENGED_AT + 5, 5, quoted.digest));
    assert_eq!(kept.pcrs(), &paired.tpm.pcrs);
    assert_eq!(kept.pcr(4), paired.tpm.pcrs.get(&4).copied());
    assert!(kept.measure_log().is_none() && kept.nvpcrs().unwrap().is_empty());
    assert!(matches!(kept.ima_log(None), ImaProgress::Absent));

    // Appraises it again by the quote in it.
    let quote = kept.quote().unwrap();
    let pairing = &paired.basis.pairing;
    let lease_pcrs = LeasePcrs::of(&paired.lease, Some(pairing), None, None, quote.pcrs());
    assert_eq!(lease_pcrs, LeasePcrs::of_pairing(&paired.lease, pairing));
    let state = lease_pcrs.state(&quoted_values(quote.pcrs())).unwrap();
    assert_eq!(crate::check_coverage(&state, &kept, None).ok(), Some(()));
    assert!(crate::check_coverage(&state, &kept, Some(b"no log")).is_ok());
    for ima in [
        ImaProgress::Behind,
        followed(Outcome::Anchored { consumed: 0, padded: false }),
        followed(Outcome::Anchored { consumed: 0, padded: true }),
        followed(Outcome::Unanchored),
        followed(Outcome::Inactive),
        followed(Outcome::Diverged),
    ] {
        let input = AppraisalInput {
            policy: None,
            quote: &quote,
            lease_pcrs: &lease_pcrs,
            epoch: pairing.epoch,
            age: 5,
            boot_log: None,
            measure_log: None,
            measure_log_cut: false,
            measure_log_behind: false,
            nvpcrs: NvPcrs::NotAsked,
            ima,
        };
        let again = KeptEvidence::new(&input, &quoted, &pairing.attestation_key, 9).unwrap();
        let stored = pawl_proto::encode(&again).unwrap();
        let read: KeptEvidence = pawl_proto::decode(&stored, 1 << 20).unwrap();
        assert_eq!(read, again);
        assert_eq!(format!("{:?}", read.ima_log(None)), format!("{ima:?}"));
        assert!(KeptEvidence::new(&input, &quoted, &[0; 4096], 9).is_err());
    }
}

fn followed(outcome: Outcome) -> ImaProgress<'static> {
    ImaProgress::Followed { outcome, findings: None }
}

#[test]
fn the_record_of_a_verdict_contains_its_quote() {
    let mut paired = Paired::new();
    let ReportDecision { quoted, outcome } = paired.decide(&paired.evidence(None)).unwrap();
    let ReportOutcome::Appraised(appraised) = outcome else { panic!() };
    let verdict = pawl_proto::message::Verdict {
        version: Default::default(),
        device: paired.basis.pairing.device,
        pairing: paired.basis.pairing.id,
        epoch: paired.basis.pairing.epoch,
        sequence: 4,
        time: 9,
        answers: Some(quoted.digest),
        entitlement: pawl_proto::message::Entitlement {
            standing: Standing::Active,
            scopes: Vec::new(),
            audiences: Vec::new(),
        },
        result: Some(appraised.judgement.result),
        areas: Default::default(),
        reasons: vec![Text::lossy("boot: no boot log")],
        policy: Some(Digest([6; 32])),
        nonce: Nonce([1; 32]),
        whole: false,
        nvpcrs: Vec::new(),
        interval: 300,
        records: 0,
        lease: None,
        ahead: Vec::new(),
    };
    let fact = verdict_fact(&verdict, &quoted, None, "test");
    let Fact::Verdict { sequence, result, reasons, quote, policy, at, .. } = fact else { panic!() };
    assert_eq!((sequence, result.as_str()), (4, "warning"));
    assert_eq!(
        (reasons.as_slice(), policy),
        (["boot: no boot log".to_owned()].as_slice(), Some("06".repeat(32)))
    );
    assert_eq!((quote, at), (hex::encode(quoted.attest.as_bytes()), Some(quoted.clock().into())));
}
