//! `pawlctl records`: it shows all pages in order and verifies the chain.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Server, problem, reply};
use pawl_local_api::{LocalRecord, LocalRecords};
use pawl_proto::codec::Version;
use pawl_proto::message::{Cause, ShortText};
use pawl_proto::record::{DeviceFact, DeviceRecord, Link};
use pawl_proto::{Digest, Epoch, SessionId};

/// Returns a chain of records with different facts.
fn records() -> Vec<LocalRecord> {
    let session = SessionId::from_random([2; 16]);
    let text = |text: &str| ShortText::new(text).unwrap();
    let facts = [
        DeviceFact::Began { device: "abcdefghijklmnopqrstuvwxyz234567".parse().unwrap() },
        DeviceFact::Opened {
            session,
            origin: text("uid 0; script"),
            action: text("re-pair"),
            statement: Digest([3; 32]),
        },
        DeviceFact::Approved { session, by: vec![text("alice")] },
        DeviceFact::Wiped { cause: Cause::Repair, event: None, receipt: Some(Digest([4; 32])) },
        DeviceFact::Missed { count: 2 },
    ];
    let mut previous = Link::START;
    let chained = facts.into_iter().zip(1..).map(|(fact, sequence)| {
        let (clock, resets, epoch) = (Some(5_000), Some(1), Some(Epoch(7)));
        let record =
            DeviceRecord { version: Version, sequence, time: 1_800_000_000, clock, resets, epoch, fact };
        let link = Link::forge(previous, &record).unwrap();
        previous = link.digest;
        LocalRecord { record, previous: link.previous.to_string(), digest: link.digest.to_string() }
    });
    chained.collect()
}

/// Returns a daemon that sends at most two records per page.
fn daemon(records: Vec<LocalRecord>) -> Server {
    Server::new(move |request| {
        let after: u64 = request
            .strip_prefix("GET /v1/records?after=")
            .and_then(|rest| rest.split(' ').next())
            .unwrap()
            .parse()
            .unwrap();
        let rest: Vec<_> = records.iter().filter(|record| record.record.sequence > after).cloned().collect();
        let more = rest.len() > 2;
        let page = LocalRecords { records: rest.into_iter().take(2).collect(), more };
        reply(200, &serde_json::to_string(&page).unwrap())
    })
}

#[test]
fn all_pages_are_shown_and_the_chain_is_checked() {
    let run = daemon(records()).pawlctl(&["records"]);
    assert_eq!(run.code, 0, "{run:?}");
    let expected = format!(
        "\
2027-01-15 08:00:00 UTC       1  began      chain of device abcdefghijklmnopqrstuvwxyz234567
2027-01-15 08:00:00 UTC       2  opened     re-pair in session {id} from uid 0; script; statement {}
2027-01-15 08:00:00 UTC       3  approved   session {id} by alice
2027-01-15 08:00:00 UTC       4  wiped      by a re-pair; receipt {}
2027-01-15 08:00:00 UTC       5  missed     2 records could not be written
chain verified: records 1 to 5
",
        "03".repeat(32),
        "04".repeat(32),
        id = "02".repeat(16),
    );
    assert_eq!(run.stdout, expected);
}

#[test]
fn a_program_gets_the_records_and_then_the_outcome() {
    let run = daemon(records()).pawlctl(&["records", "--json", "--after", "2"]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines = run.json_lines();
    assert_eq!(lines.len(), 4);
    let first: LocalRecord = serde_json::from_value(lines[0].clone()).unwrap();
    assert_eq!(first, records()[2]);
    assert_eq!(lines[3], serde_json::json!({"chain": "holds", "first": 3, "last": 5}));
}

#[test]
fn dropped_records_are_mentioned() {
    let run = daemon(records().split_off(2)).pawlctl(&["records"]);
    assert_eq!(run.code, 0, "{run:?}");
    let expected = "chain verified: records 3 to 5; older records were dropped to save space\n";
    assert!(run.stdout.ends_with(expected), "{run:?}");
    assert_eq!(daemon(Vec::new()).pawlctl(&["records"]).stdout, "no records\n");
}

#[test]
fn an_altered_or_missing_record_is_found() {
    let mut altered = records();
    altered[2].record.time += 1;
    let mut cut = records();
    cut.remove(2);
    for (records, complaint) in [
        (altered, "the chain breaks at record 3: its digest does not match its content"),
        (cut, "the chain breaks at record 3: record 4 is in its place"),
    ] {
        let run = daemon(records.clone()).pawlctl(&["records"]);
        assert!(run.code == 1 && run.stderr.contains(complaint), "{run:?}");
        assert!(!run.stdout.contains("chain verified"), "{run:?}");
        let run = daemon(records).pawlctl(&["records", "--json"]);
        assert_eq!((run.code, run.json_lines().last().unwrap()["error"].as_str()), (1, Some("chain-broken")));
    }
}

#[test]
fn reading_records_needs_permission() {
    let refused = reply(403, &problem("not-permitted", "only root may read the records"));
    assert_eq!(Server::always(refused).pawlctl(&["records"]).code, 77);
}
