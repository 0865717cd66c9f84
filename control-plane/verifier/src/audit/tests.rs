use std::collections::BTreeMap;
use std::convert::Infallible;

use pawl_proto::message::{Audit, Finding, Standing, TrustTier};
use pawl_proto::{Digest, PairingId};

use super::{ChainUpdate, DeviceChain, Occasion, RecordsReport, follow_records};
use crate::record::{Fact, RecordFinding};
use crate::testing::Records;
use crate::verdict::VerdictDraft;

type Tamper = fn(&mut Audit);

/// The state that a control plane stores about one device's records.
#[derive(Default)]
struct Watched {
    known: Option<DeviceChain>,
    kept: BTreeMap<(u32, u64), Digest>,
    findings: Vec<RecordFinding>,
}

impl Watched {
    fn report(&mut self, audit: impl Into<Option<Audit>>) -> ChainUpdate {
        self.report_in(audit.into(), Occasion::Report)
    }

    fn report_in(&mut self, audit: Option<Audit>, occasion: Occasion) -> ChainUpdate {
        let report = RecordsReport { pairing: PairingId::from_random([3; 16]), occasion, now: 7 };
        let kept = |chain, sequence| Ok::<_, Infallible>(self.kept.get(&(chain, sequence)).copied());
        let Ok(update) = follow_records(self.known.as_ref(), audit.as_ref(), report, kept);
        self.kept.extend(update.new.iter().map(|row| ((row.chain, row.sequence), row.link.digest)));
        if let Some(chain) = &update.chain {
            self.known = Some(chain.clone());
        }
        if let Some(Fact::DeviceRecords { finding, .. }) = &update.fact {
            self.findings.push(*finding);
        }
        update
    }

    fn known(&self) -> u64 {
        self.known.as_ref().map_or(0, |chain| chain.sequence)
    }
}

fn reason(seen: &ChainUpdate) -> String {
    seen.reason.clone().unwrap_or_default()
}

#[test]
fn records_are_stored_in_order_and_may_be_sent_again() {
    let mut watched = Watched::default();
    let mut chain = Records::of(3, 1);
    let seen = watched.report(chain.after(0));
    assert_eq!((seen.head.map(|head| head.sequence), seen.reason, watched.known()), (Some(3), None, 3));

    assert_eq!(watched.report(chain.after(1)).reason, None, "the verdict on the first report was lost");
    chain.grow(2, 1);
    assert_eq!(watched.report(chain.after(3)).reason, None);
    assert_eq!(watched.report(chain.after(5)).reason, None, "nothing new");
    assert_eq!(watched.known(), 5);
    assert_eq!(watched.kept.keys().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(watched.findings.is_empty());
}

/// A newer device records a kind of fact that this control plane does not know.
#[test]
fn a_record_of_an_unknown_fact_is_kept_and_the_chain_goes_on() {
    let mut watched = Watched::default();
    let mut chain = Records::of(1, 1);
    let json = r#"{"kind": "moon-phase", "detail": {"moons": 2}}"#;
    chain.add(serde_json::from_str(json).unwrap());
    chain.grow(1, 1);
    let seen = watched.report(chain.after(0));
    assert_eq!((seen.reason, seen.new.len(), watched.known()), (None, 3, 3));
    assert!(watched.findings.is_empty());
}

#[test]
fn an_end_that_was_cut_off_is_found_and_recorded_once() {
    let mut watched = Watched::default();
    let mut chain = Records::of(5, 1);
    watched.report(chain.after(0));
    chain.cut(4);
    for _ in 0..2 {
        let seen = watched.report(chain.after(4));
        assert!(reason(&seen).contains("the end was cut off"), "{seen:?}");
        assert_eq!((seen.head, watched.known()), (None, 5));
    }
    assert_eq!(watched.findings, [RecordFinding::Regress]);
}

#[test]
fn records_that_come_in_parts_are_no_cut() {
    let mut watched = Watched::default();
    let chain = Records::of(5, 1);
    watched.report(chain.after(0));
    let mut part = Records::of(3, 1).after(1);
    part.pending = 2;
    assert_eq!(watched.report(part).reason, None);
}

#[test]
fn a_chain_that_was_written_anew_is_found_at_the_first_known_record() {
    let mut watched = Watched::default();
    let mut chain = Records::of(2, 1);
    chain.grow(3, 1);
    watched.report(chain.after(0));
    chain.cut(2);
    chain.grow(6, 9);
    let seen = watched.report(chain.after(5));
    assert!(reason(&seen).contains("record 5 differs"), "the record before it is unknown: {seen:?}");
    let seen = watched.report(chain.after(1));
    assert!(reason(&seen).contains("record 3 differs"), "{seen:?}");
    assert_eq!(watched.findings, [RecordFinding::Fork]);
}

#[test]
fn a_gap_is_reported_once_and_the_chain_continues() {
    let mut watched = Watched::default();
    let mut chain = Records::of(9, 1);
    watched.report(Records::of(2, 1).after(0));
    let seen = watched.report(chain.after(5));
    assert!(reason(&seen).contains("records 3 to 5 were dropped"), "{seen:?}");
    chain.grow(1, 1);
    assert_eq!(watched.report(chain.after(9)).reason, None);
    assert_eq!(watched.findings, [RecordFinding::Gap]);
}

#[test]
fn a_malformed_chain_is_refused() {
    let good = Records::of(3, 1).after(0);
    let tampered: [(&str, Tamper); 7] = [
        ("head", |audit| audit.head = Digest([1; 32])),
        ("head", |audit| audit.pending = u64::MAX),
        ("first sequence", |audit| audit.first = 0),
        ("first sequence", |audit| audit.previous = Digest([1; 32])),
        ("record 1", |audit| drop(audit.records.remove(0))),
        ("record 2", |audit| audit.records[1] = audit.records[0].clone()),
        ("larger than", |audit| audit.records = vec![audit.records[0].clone(); 100]),
    ];
    for (expected, tamper) in tampered {
        let mut watched = Watched::default();
        let mut audit = good.clone();
        tamper(&mut audit);
        let seen = watched.report(audit);
        assert!(reason(&seen).contains(expected), "{expected}: {seen:?}");
        assert_eq!((watched.known(), watched.findings.clone()), (0, vec![RecordFinding::Malformed]));
        assert_eq!(watched.report(good.clone()).reason, None, "a valid report clears the finding");
    }
}

#[test]
fn a_device_that_stops_sending_records_is_reported() {
    let mut watched = Watched::default();
    assert_eq!(watched.report(None).reason, None, "it never sent any");
    watched.report(Records::of(1, 1).after(0));
    assert!(reason(&watched.report(None)).contains("sends none"));
    assert_eq!(watched.findings, [RecordFinding::Absent]);
}

#[test]
fn another_chain_may_begin_only_with_a_pairing() {
    let mut watched = Watched::default();
    watched.report(Records::of(4, 1).after(0));
    let mut other = Records::of(2, 2);
    let seen = watched.report_in(Some(other.after(0)), Occasion::Pairing(Finding::NewDisk));
    let head = seen.head.clone().unwrap();
    assert_eq!((head.chain, head.sequence, seen.reason), (2, 2, None));
    other.grow(1, 2);
    assert_eq!(watched.report(other.after(2)).reason, None);
    assert_eq!(watched.findings, [RecordFinding::BeganAnew]);
}

#[test]
fn a_new_chain_on_an_unchanged_device_is_a_finding_of_its_own() {
    let mut watched = Watched::default();
    watched.report(Records::of(4, 1).after(0));
    let cut = Records::of(3, 1).after(3);
    let seen = watched.report_in(Some(cut), Occasion::Pairing(Finding::NothingChanged));
    assert!(reason(&seen).contains("that nothing changed"), "{seen:?}");
    assert_eq!(watched.findings, [RecordFinding::BeganAnewUnchanged]);
}

#[test]
fn a_chain_may_continue_over_a_pairing() {
    let mut watched = Watched::default();
    watched.report(Records::of(4, 1).after(0));
    let longer = Records::of(6, 1).after(4);
    let seen = watched.report_in(Some(longer), Occasion::Pairing(Finding::NothingChanged));
    assert_eq!((seen.reason, watched.known()), (None, 6));
    assert!(watched.findings.is_empty());
}

#[test]
fn a_finding_makes_a_verdict_a_warning_at_most() {
    let update = ChainUpdate { reason: Some("records: cut".to_owned()), ..ChainUpdate::default() };
    for (before, after) in
        [(TrustTier::Affirming, TrustTier::Warning), (TrustTier::Contraindicated, TrustTier::Contraindicated)]
    {
        let mut draft =
            VerdictDraft { result: Some(before), ..VerdictDraft::challenge(Standing::Active, false) };
        update.weigh(&mut draft);
        assert_eq!((draft.result, draft.reasons.len()), (Some(after), 1));
    }
}
