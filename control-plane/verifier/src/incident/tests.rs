use pawl_evidence::appraise::TpmTime;
use pawl_proto::message::{Area, Evidence, Finding, RefusalCode, Standing, TrustTier};
use pawl_proto::{DeviceId, Epoch, Nonce, PairingId, Text};

use super::*;
use crate::record::Fact;
use crate::refusal::Refusal;
use crate::verdict::VerdictDraft;

fn evidence(run: u8) -> Evidence {
    Evidence {
        version: Default::default(),
        device: DeviceId::from_digest([1; 32]),
        pairing: PairingId::from_random([2; 16]),
        epoch: Epoch(7),
        nonce: Nonce([0; 32]),
        since: None,
        boot_id: Text::lossy("boot"),
        run: Some(Nonce([run; 32])),
        pcrs: Default::default(),
        boot_log: None,
        measure_log: None,
        nvpcrs: None,
        ima_log: None,
        host: None,
        health: None,
        audit: None,
    }
}

/// Follows a report of a run, with the TPM's clock and the wall clock in seconds.
fn follow(history: &TpmHistory, run: u8, clock: u64, now: u64) -> HistoryUpdate {
    let evidence = evidence(run);
    let time = TpmTime { epoch: 7, reset_count: 3, clock_ms: clock * 1000 };
    let sighting = TpmSighting { device: evidence.device, time, evidence: &evidence, now_ms: now * 1000 };
    let was_set_back = history.runs.iter().any(|run| run.fell);
    history.follow(&sighting, was_set_back)
}

#[test]
fn a_tpm_that_was_set_back_is_reported_until_it_has_caught_up() {
    let first = follow(&TpmHistory::default(), 1, 5_000, 10_000);
    assert!(first.is_forward && first.sign.is_none());
    let back = follow(&first.history, 1, 4_000, 10_300);
    assert_eq!(back.sign.map(|sign| sign.kind), Some(IncidentKind::SetBack));
    assert_eq!((back.is_forward, back.history.highest), (false, first.history.highest));
    let on = follow(&back.history, 1, 4_300, 10_600);
    assert!(!on.is_forward, "it has not passed its highest known time");
    let past = follow(&on.history, 1, 5_001, 11_301);
    assert!(past.is_forward);
    assert_eq!(past.resolved.map(|resolution| resolution.kinds), Some(&[IncidentKind::SetBack][..]));
}

#[test]
fn a_run_that_continued_beside_another_is_in_two_places() {
    let first = follow(&TpmHistory::default(), 1, 100, 1_000);
    let second = follow(&first.history, 2, 500, 2_000);
    let copy = follow(&second.history, 1, 1_150, 2_050);
    assert_eq!(copy.sign.map(|sign| sign.kind), Some(IncidentKind::TwoPlaces));
    assert!(!copy.is_forward);
}

#[test]
fn eight_runs_are_stored() {
    let mut history = TpmHistory::default();
    for run in 0..20_u8 {
        history = follow(&history, run, 100 + u64::from(run), 1_000 + u64::from(run)).history;
    }
    assert_eq!(history.runs.len(), 8);
    assert_eq!(history.runs.last().map(|run| run.id), Some(Nonce([19; 32])));
}

#[test]
fn a_new_pairing_ends_earlier_runs_and_no_tpm_begins_one_in_its_past() {
    let history = follow(&TpmHistory::default(), 1, 9_000, 1_000).history;
    let evidence = evidence(2);
    let sighting = |clock_ms| TpmSighting {
        device: evidence.device,
        time: TpmTime { epoch: 7, reset_count: 3, clock_ms },
        evidence: &evidence,
        now_ms: 2_000_000,
    };
    assert_eq!(history.begin(&sighting(9_500_000)).unwrap().runs.len(), 1);
    assert_eq!(history.begin(&sighting(1_000)), None);
}

#[test]
fn incidents_about_the_disk_stay_open_unless_a_person_approved() {
    let request = |finding| crate::pairing::tests::request(finding);
    let disk = |resolution: Resolution| resolution.kinds.contains(&IncidentKind::Reimaged);
    assert!(disk(resolved_by_pairing(&request(Finding::NewDisk), true)));
    assert!(!disk(resolved_by_pairing(&request(Finding::NewDisk), false)));
    assert!(disk(resolved_by_pairing(&request(Finding::NothingChanged), false)));
}

#[test]
fn a_disk_of_another_device_is_reported_on_both() {
    let former = DeviceId::from_digest([6; 32]);
    let mut request = crate::pairing::tests::request(Finding::NewTpm);
    request.former = Some(former);
    let signs = |is_former_enrolled| {
        signs_of_request(&request, PairingSubject { live: None, is_former_enrolled })
            .into_iter()
            .map(|sign| (sign.device, sign.kind))
            .collect::<Vec<_>>()
    };
    let here = (request.device, IncidentKind::DiskOfAnother);
    assert_eq!(signs(true), [here, (former, IncidentKind::DiskElsewhere)]);
    assert_eq!(signs(false), [here]);
}

fn incident(kind: IncidentKind) -> Incident {
    let detail = "it was seen".to_owned();
    Incident { kind, other: None, detail, first_at: 1, last_at: 2, times: 1, settled: None }
}

#[test]
fn open_incidents_make_a_verdict_worse_and_the_worst_is_reported_first() {
    let draft = || VerdictDraft {
        result: Some(TrustTier::Affirming),
        ..VerdictDraft::ask(Standing::Active, None, false)
    };
    let mut warned = draft();
    weigh(&mut warned, &[incident(IncidentKind::Reimaged)]);
    assert_eq!(warned.result, Some(TrustTier::Warning));
    let mut refused = draft();
    weigh(&mut refused, &[incident(IncidentKind::Reimaged), incident(IncidentKind::SetBack)]);
    assert_eq!(refused.result, Some(TrustTier::Contraindicated));
    assert_eq!(refused.areas[&Area::Freshness], TrustTier::Contraindicated);
    assert!(refused.reasons[0].starts_with("freshness: it was seen; "), "{:?}", refused.reasons);
    assert_eq!(refused.reasons.len(), 2);
    let mut challenge = VerdictDraft::ask(Standing::Suspended, Some("audit"), true);
    weigh(&mut challenge, &[incident(IncidentKind::TwoPlaces)]);
    assert_eq!((challenge.result, challenge.reasons.len()), (None, 2), "it has no result");
    assert!(VerdictDraft::ask(Standing::Active, Some("audit"), true).reasons.is_empty());
}

#[test]
fn the_digest_changes_with_each_incident_and_each_new_sign() {
    let one = incident(IncidentKind::Reimaged);
    let digest = incidents_digest(std::slice::from_ref(&one)).unwrap();
    let again = Incident { times: 2, ..one.clone() };
    assert_ne!(incidents_digest(&[again]), Some(digest));
    assert_ne!(incidents_digest(&[one, incident(IncidentKind::SetBack)]), Some(digest));
    assert_eq!(incidents_digest(&[]), None);
}

#[test]
fn a_refused_tpm_that_went_back_is_a_sign_and_no_other_refusal_is() {
    let device = DeviceId::from_digest([1; 32]);
    let sign = |code| signs_of_refusal(device, &Refusal::new(code, "it went back in time"));
    let back = sign(RefusalCode::WentBackwards).unwrap();
    assert_eq!(
        (back.kind, back.device, back.detail.as_str()),
        (IncidentKind::SetBack, device, "it went back in time")
    );
    assert!(matches!(back.fact(), Fact::Incident { incident: IncidentKind::SetBack, .. }));
    assert_eq!(sign(RefusalCode::Posture), None);
}

#[test]
fn a_finding_about_the_disk_is_a_sign_if_it_contradicts_the_pairings() {
    let pairing = crate::receipt::tests::pairing(&crate::testing::SoftTpm::new());
    let signs = |finding, former, live: bool| {
        let mut request = crate::pairing::tests::request(finding);
        request.former = former;
        let subject = PairingSubject { live: live.then_some(&pairing), is_former_enrolled: true };
        signs_of_request(&request, subject).into_iter().map(|sign| sign.kind).collect::<Vec<_>>()
    };
    let other = Some(DeviceId::from_digest([9; 32]));
    assert_eq!(
        signs(Finding::NewTpm, other, false),
        [IncidentKind::DiskOfAnother, IncidentKind::DiskElsewhere]
    );
    assert_eq!(signs(Finding::NewDisk, None, true), [IncidentKind::Reimaged]);
    assert_eq!(signs(Finding::BothNew, None, true), [IncidentKind::Reimaged]);
    assert_eq!(signs(Finding::NewDisk, None, false), []);
    assert_eq!(signs(Finding::NothingChanged, None, true), []);
    // A newer device may send a finding that this version does not know. It contradicts nothing.
    let unknown = "half-new".parse::<pawl_proto::open::Word>().unwrap().into();
    assert_eq!(signs(unknown, None, true), []);
}
