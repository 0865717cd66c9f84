//! The chain of records holds in its order alone.
#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use pawl_proto::Epoch;
use pawl_proto::codec::Version;
use pawl_proto::record::{DeviceFact, DeviceRecord, Link};

fn record(sequence: u64) -> DeviceRecord {
    DeviceRecord {
        version: Version,
        sequence,
        time: 5,
        clock: Some(1_000),
        resets: Some(2),
        epoch: Some(Epoch(7)),
        fact: DeviceFact::Missed { count: 3 },
    }
}

#[test]
fn a_link_holds_in_its_place_alone() {
    let first = Link::forge(Link::START, &record(1)).unwrap();
    let second = Link::forge(first.digest, &record(2)).unwrap();
    assert_eq!(first.check(Link::START), Some(record(1)));
    assert_eq!(second.check(first.digest), Some(record(2)));
    assert_eq!(second.check::<DeviceRecord>(Link::START), None);
}

#[test]
fn an_altered_record_breaks_the_chain() {
    let link = Link::forge(Link::START, &record(1)).unwrap();
    for place in 0..link.body.len() {
        let mut altered = link.clone();
        *altered.body.get_mut(place).unwrap() ^= 1;
        assert_eq!(altered.check::<DeviceRecord>(Link::START), None, "byte {place}");
    }
}

#[test]
fn a_chain_that_is_forged_anew_has_another_head() {
    let head = |records: &[DeviceRecord]| {
        records.iter().fold(Link::START, |previous, record| Link::forge(previous, record).unwrap().digest)
    };
    let whole = [record(1), record(2), record(3)];
    let without = [record(1), record(3)];
    assert_ne!(head(&whole), head(&without));
}
