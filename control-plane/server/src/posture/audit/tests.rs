use std::sync::Arc;

use pawl_proto::message::{Appraisal, Audit, Finding, Standing};
use pawl_proto::{DeviceId, Digest, PairingId};

use super::{Occasion, Seen, take};
use crate::control_plane::ControlPlane;
use crate::record::{Fact, RecordFinding};
use crate::testing::{Device, Records, Rig};
use crate::verdict::Draft;

type Tamper = fn(&mut Audit);

struct Watched {
    rig: Rig,
    device: DeviceId,
}

impl Watched {
    async fn new() -> Self {
        let rig = Rig::new();
        let device = Device::enrolled(&rig.plane).await.id();
        Self { rig, device }
    }

    fn plane(&self) -> &Arc<ControlPlane> {
        &self.rig.plane
    }

    async fn report(&self, audit: impl Into<Option<Audit>>) -> Seen {
        self.report_in(audit.into(), Occasion::Report).await
    }

    async fn report_in(&self, audit: Option<Audit>, occasion: Occasion) -> Seen {
        let (device, pairing) = (self.device, PairingId::from_random([3; 16]));
        let work = move |tx: &crate::store::Tx<'_>| take(tx, device, pairing, audit.as_ref(), occasion, 7);
        self.plane().store.transaction(work).await.unwrap()
    }

    async fn known(&self) -> u64 {
        let device = self.device;
        let chain = self.plane().store.transaction(move |tx| tx.device_chain(device)).await.unwrap();
        chain.map_or(0, |chain| chain.sequence)
    }

    /// What was recorded about the records.
    async fn findings(&self) -> Vec<RecordFinding> {
        let device = self.device;
        let records = self.plane().store.transaction(move |tx| tx.records(device)).await.unwrap();
        let finding = |fact| match fact {
            Fact::DeviceRecords { finding, .. } => Some(finding),
            _ => None,
        };
        records.into_iter().filter_map(|(record, _)| finding(record.fact)).collect()
    }
}

fn reason(seen: &Seen) -> String {
    seen.reason.clone().unwrap_or_default()
}

#[tokio::test]
async fn records_are_taken_over_as_they_come_and_may_come_again() {
    let watched = Watched::new().await;
    let mut chain = Records::of(3, 1);
    let seen = watched.report(chain.after(0)).await;
    assert_eq!((seen.head.map(|head| head.sequence), seen.reason, watched.known().await), (Some(3), None, 3));

    assert_eq!(watched.report(chain.after(1)).await.reason, None, "the verdict on the first report was lost");
    chain.grow(2, 1);
    assert_eq!(watched.report(chain.after(3)).await.reason, None);
    assert_eq!(watched.report(chain.after(5)).await.reason, None, "nothing new");
    assert_eq!(watched.known().await, 5);
    let device = watched.device;
    let rows = watched.plane().store.transaction(move |tx| tx.device_records(device)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(watched.findings().await.is_empty());
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_and_recorded_once() {
    let watched = Watched::new().await;
    let mut chain = Records::of(5, 1);
    watched.report(chain.after(0)).await;
    chain.cut(4);
    for _ in 0..2 {
        let seen = watched.report(chain.after(4)).await;
        assert!(reason(&seen).contains("the end was cut off"), "{seen:?}");
        assert_eq!((seen.head, watched.known().await), (None, 5));
    }
    assert_eq!(watched.findings().await, [RecordFinding::Regress]);
}

#[tokio::test]
async fn records_that_come_in_parts_are_no_cut() {
    let watched = Watched::new().await;
    let chain = Records::of(5, 1);
    watched.report(chain.after(0)).await;
    let mut part = Records::of(3, 1).after(1);
    part.pending = 2;
    assert_eq!(watched.report(part).await.reason, None);
}

#[tokio::test]
async fn a_chain_that_was_written_anew_is_found_at_the_first_known_record() {
    let watched = Watched::new().await;
    let mut chain = Records::of(2, 1);
    chain.grow(3, 1);
    watched.report(chain.after(0)).await;
    chain.cut(2);
    chain.grow(6, 9);
    let seen = watched.report(chain.after(5)).await;
    assert!(reason(&seen).contains("record 5 is not the one"), "what it follows is not known: {seen:?}");
    let seen = watched.report(chain.after(1)).await;
    assert!(reason(&seen).contains("record 3 is not the one"), "{seen:?}");
    assert_eq!(watched.findings().await, [RecordFinding::Fork]);
}

#[tokio::test]
async fn a_gap_is_told_once_and_the_chain_goes_on() {
    let watched = Watched::new().await;
    let mut chain = Records::of(9, 1);
    watched.report(Records::of(2, 1).after(0)).await;
    let seen = watched.report(chain.after(5)).await;
    assert!(reason(&seen).contains("records 3 to 5 were dropped"), "{seen:?}");
    chain.grow(1, 1);
    assert_eq!(watched.report(chain.after(9)).await.reason, None);
    assert_eq!(watched.findings().await, [RecordFinding::Gap]);
}

#[tokio::test]
async fn what_does_not_hold_in_itself_is_refused() {
    let good = Records::of(3, 1).after(0);
    let tampered: [(&str, Tamper); 7] = [
        ("head", |audit| audit.head = Digest([1; 32])),
        ("head", |audit| audit.pending = u64::MAX),
        ("beginning", |audit| audit.first = 0),
        ("beginning", |audit| audit.previous = Digest([1; 32])),
        ("record 1", |audit| drop(audit.records.remove(0))),
        ("record 2", |audit| audit.records[1] = audit.records[0].clone()),
        ("more than", |audit| audit.records = vec![audit.records[0].clone(); 100]),
    ];
    for (expected, tamper) in tampered {
        let watched = Watched::new().await;
        let mut audit = good.clone();
        tamper(&mut audit);
        let seen = watched.report(audit).await;
        assert!(reason(&seen).contains(expected), "{expected}: {seen:?}");
        assert_eq!((watched.known().await, watched.findings().await), (0, vec![RecordFinding::Malformed]));
        assert_eq!(watched.report(good.clone()).await.reason, None, "a good report mends it");
    }
}

#[tokio::test]
async fn a_device_that_stops_sending_records_is_told_of() {
    let watched = Watched::new().await;
    assert_eq!(watched.report(None).await.reason, None, "it never did");
    watched.report(Records::of(1, 1).after(0)).await;
    assert!(reason(&watched.report(None).await).contains("sends none"));
    assert_eq!(watched.findings().await, [RecordFinding::Absent]);
}

#[tokio::test]
async fn another_chain_begins_with_a_pairing_alone() {
    let watched = Watched::new().await;
    watched.report(Records::of(4, 1).after(0)).await;
    let mut other = Records::of(2, 2);
    let seen = watched.report_in(Some(other.after(0)), Occasion::Pairing(Finding::NewDisk)).await;
    let head = seen.head.clone().unwrap();
    assert_eq!((head.chain, head.sequence, seen.reason), (2, 2, None));
    other.grow(1, 2);
    assert_eq!(watched.report(other.after(2)).await.reason, None);
    assert_eq!(watched.findings().await, [RecordFinding::BeganAnew]);
}

#[tokio::test]
async fn a_new_chain_where_nothing_changed_is_said_plainly() {
    let watched = Watched::new().await;
    watched.report(Records::of(4, 1).after(0)).await;
    let cut = Records::of(3, 1).after(3);
    let seen = watched.report_in(Some(cut), Occasion::Pairing(Finding::NothingChanged)).await;
    assert!(reason(&seen).contains("nothing about it had changed"), "{seen:?}");
    assert_eq!(watched.findings().await, [RecordFinding::BeganAnewUnchanged]);
}

#[tokio::test]
async fn a_chain_goes_on_over_a_pairing() {
    let watched = Watched::new().await;
    watched.report(Records::of(4, 1).after(0)).await;
    let longer = Records::of(6, 1).after(4);
    let seen = watched.report_in(Some(longer), Occasion::Pairing(Finding::NothingChanged)).await;
    assert_eq!((seen.reason, watched.known().await), (None, 6));
    assert!(watched.findings().await.is_empty());
}

#[test]
fn a_finding_makes_a_verdict_a_warning_and_no_more() {
    let seen = Seen { head: None, reason: Some("records: cut".to_owned()) };
    for (before, after) in
        [(Appraisal::Affirming, Appraisal::Warning), (Appraisal::Contraindicated, Appraisal::Contraindicated)]
    {
        let mut draft = Draft { result: Some(before), ..Draft::challenge(Standing::Active, false) };
        seen.tell(&mut draft);
        assert_eq!((draft.result, draft.reasons.len()), (Some(after), 1));
    }
}
