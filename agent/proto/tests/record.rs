//! The chain of records holds in its order alone.

use pawl_proto::codec::Version;
use pawl_proto::message::Cause;
use pawl_proto::record::{DeviceFact, DeviceRecord, Link};
use pawl_proto::{Digest, Epoch};

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

#[test]
fn digests_are_for_people_in_json_and_for_machines_in_cbor() {
    let fact = DeviceFact::Wiped { cause: Cause::Repair, event: None, receipt: Some(Digest([0xab; 32])) };
    let json = serde_json::to_string(&fact).unwrap();
    assert!(json.contains(&"ab".repeat(32)), "{json}");
    assert_eq!(serde_json::from_str::<DeviceFact>(&json).unwrap(), fact);
    for wrong in ["AB".repeat(32), "ab".repeat(31), "é".repeat(32)] {
        assert!(serde_json::from_str::<Digest>(&format!("\"{wrong}\"")).is_err(), "{wrong}");
    }
    let cbor = pawl_proto::encode(&fact).unwrap();
    assert!(cbor.windows(32).any(|window| window == [0xab; 32]));
    assert_eq!(pawl_proto::decode::<DeviceFact>(&cbor, 1024), Ok(fact));
}
