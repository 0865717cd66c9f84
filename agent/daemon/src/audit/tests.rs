//! Tests of the chain: restarts, power cuts, damage, its limit, and a disk that fails.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Instant;

use pawl_proto::record::{DeviceRecord, Link};
use pawl_proto::{Digest, Text, codec, limits};
use tempfile::TempDir;

use super::*;
use crate::store::FileSystem;

fn device(number: u8) -> DeviceId {
    DeviceId::from_digest([number; 32])
}

fn token(expires: u64) -> DeviceFact {
    DeviceFact::Token { name: Text::lossy("telemetry"), expires }
}

/// A daemon's view of the chain, from one start to one stop.
struct Run {
    audit: Audit,
}

impl Run {
    fn start(folder: &TempDir) -> Self {
        let audit = Audit::new(Arc::new(FileSystem), folder.path(), WallClock::system());
        audit.identify(device(1));
        Self { audit }
    }

    /// Queues a fact, and writes the queue as a stop does: without a runtime there is no task for it.
    fn record(&self, fact: DeviceFact) {
        self.audit.record(Some(Epoch(4)), fact);
        self.audit.flush();
    }

    /// Returns all records, after checking their chain.
    fn records(&self) -> Vec<DeviceRecord> {
        let page = self.audit.inner.page(0, usize::MAX).unwrap();
        assert!(!page.more);
        let mut previous = page.records.first().map(|record| record.previous.clone());
        for record in &page.records {
            assert_eq!(previous.as_deref(), Some(record.previous.as_str()), "the chain is broken");
            let body = codec::encode(&record.record).unwrap();
            let before: [u8; 32] = hex::decode(&record.previous).unwrap().try_into().unwrap();
            assert_eq!(Link::follow(Digest(before), body).digest.to_string(), record.digest);
            previous = Some(record.digest.clone());
        }
        page.records.into_iter().map(|record| record.record).collect()
    }

    fn facts(&self) -> Vec<DeviceFact> {
        self.records().into_iter().map(|record| record.fact).collect()
    }

    fn head(&self) -> Digest {
        self.audit.inner.report().unwrap().head
    }
}

/// Returns the files of the chain, oldest first.
fn segments(folder: &TempDir) -> Vec<PathBuf> {
    let names = fs::read_dir(folder.path().join("records")).unwrap();
    let mut segments: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments
}

/// Returns a chain with this many facts about tokens, in several segments.
fn filled(folder: &TempDir, tokens: u64) -> Run {
    let run = Run::start(folder);
    for number in 0..tokens {
        run.audit.record(Some(Epoch(4)), token(number));
        if number % 200 == 0 {
            run.audit.flush();
        }
    }
    run.audit.flush();
    run
}

#[test]
fn the_chain_continues_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Run::start(&folder);
    first.record(token(1));
    let head = first.head();
    drop(first);
    let second = Run::start(&folder);
    assert_eq!(second.head(), head);
    second.record(token(2));
    let records = second.records();
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(second.facts(), [DeviceFact::Began { device: device(1) }, token(1), token(2)]);
    assert_ne!(second.head(), head);
}

#[test]
fn facts_stay_in_the_queue_until_the_device_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::new(Arc::new(FileSystem), folder.path(), WallClock::system());
    audit.record(None, token(1));
    audit.flush();
    assert!(!folder.path().join("records").exists());
    audit.identify(device(1));
    audit.flush();
    assert_eq!(Run { audit }.facts(), [DeviceFact::Began { device: device(1) }, token(1)]);
}

#[test]
fn an_incomplete_record_at_the_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    run.record(token(1));
    let path = segments(&folder).pop().unwrap();
    let before = fs::read(&path).unwrap().len();
    run.record(token(2));
    drop(run);
    let whole = fs::read(&path).unwrap();
    for length in before..whole.len() {
        // The rest is missing, or is zeros.
        for filler in [0, whole.len() - length] {
            let torn = [whole.get(..length).unwrap(), &vec![0; filler]].concat();
            fs::write(&path, torn).unwrap();
            let run = Run::start(&folder);
            assert_eq!(run.facts(), [DeviceFact::Began { device: device(1) }, token(1)], "torn at {length}");
            run.record(token(3));
            assert_eq!(run.facts().last(), Some(&token(3)));
        }
    }
}

#[test]
fn a_segment_whose_creation_a_power_cut_interrupted_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    run.record(token(1));
    drop(run);
    fs::write(folder.path().join("records/00000000000000000003.seg"), b"\0").unwrap();
    let run = Run::start(&folder);
    run.record(token(2));
    assert_eq!(run.facts(), [DeviceFact::Began { device: device(1) }, token(1), token(2)]);
}

#[test]
fn the_oldest_records_are_removed_at_the_limit_and_the_chain_stays_valid() {
    let folder = tempfile::tempdir().unwrap();
    let run = filled(&folder, 5_000);
    let kept: u64 = segments(&folder).iter().map(|segment| fs::metadata(segment).unwrap().len()).sum();
    assert!((192 * 1024..=256 * 1024).contains(&kept), "{kept} bytes are kept");
    let (records, head) = (run.records(), run.head());
    assert!(records.first().unwrap().sequence > 1);
    assert_eq!(records.last().unwrap().fact, token(4_999));
    drop(run);
    let again = Run::start(&folder);
    assert_eq!(again.head(), head, "the next process did not continue the chain");
    assert_eq!(again.records(), records);
}

#[test]
fn a_chain_with_a_damaged_segment_is_set_aside_and_a_new_one_starts() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(&folder, 2_000));
    let segments = segments(&folder);
    assert!(segments.len() > 1);
    let oldest = fs::OpenOptions::new().write(true).open(segments.first().unwrap()).unwrap();
    oldest.write_all_at(b"?", 30_000).unwrap();
    assert_eq!(Run::start(&folder).facts(), [DeviceFact::Began { device: device(1) }]);
    assert_eq!(fs::read_dir(folder.path().join("records.old")).unwrap().count(), segments.len());
}

#[test]
fn a_missing_segment_in_the_middle_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(&folder, 4_000));
    let segments = segments(&folder);
    assert!(segments.len() > 2);
    fs::remove_file(segments.get(1).unwrap()).unwrap();
    assert_eq!(Run::start(&folder).facts(), [DeviceFact::Began { device: device(1) }]);
}

#[test]
fn another_devices_chain_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    Run::start(&folder).record(token(1));
    let run = Run::start(&folder);
    run.audit.identify(device(2));
    run.record(token(2));
    assert_eq!(run.facts(), [DeviceFact::Began { device: device(2) }, token(2)]);
}

#[test]
fn records_that_the_disk_refuses_are_counted_and_later_ones_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    run.record(token(1));
    let (records, away) = (folder.path().join("records"), folder.path().join("away"));
    fs::rename(&records, &away).unwrap();
    fs::write(&records, b"no folder").unwrap();
    // Writing to the open file still succeeds. Reading fails, and makes the writer open the chain again.
    assert!(run.audit.inner.page(0, 1).is_err());
    for number in 2..5 {
        run.record(token(number));
    }
    assert!(run.audit.inner.report().is_none(), "a report has a head that is not on the disk");
    fs::remove_file(&records).unwrap();
    fs::rename(&away, &records).unwrap();
    run.record(token(5));
    let expected =
        [DeviceFact::Began { device: device(1) }, token(1), DeviceFact::Missed { count: 3 }, token(5)];
    assert_eq!(run.facts(), expected);
}

#[test]
fn facts_beyond_the_limit_of_the_queue_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    let surplus = 7;
    for number in 0..WAITING + surplus {
        run.audit.record(None, token(u64::try_from(number).unwrap()));
    }
    run.audit.flush();
    let facts = run.facts();
    assert_eq!(facts.get(1), Some(&DeviceFact::Missed { count: 7 }));
    assert_eq!(facts.len(), WAITING + 2);
}

#[test]
fn a_report_has_the_unacknowledged_records_up_to_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    for number in 0..100 {
        run.record(token(number));
    }
    let mut previous = Link::START;
    let mut acknowledged = 0;
    loop {
        run.audit.acknowledged(acknowledged);
        let report = run.audit.inner.report().unwrap();
        assert_eq!((report.first, report.previous), (acknowledged + 1, previous));
        let size: usize = report.records.iter().map(|record| record.as_bytes().len()).sum();
        assert!(size <= limits::RECORDS);
        let follow = |head, body: &[u8]| Link::follow(head, body.to_vec()).digest;
        previous = report.records.iter().fold(previous, |head, record| follow(head, record.as_bytes()));
        assert_eq!(report.head, previous);
        acknowledged += u64::try_from(report.records.len()).unwrap();
        assert_eq!(report.pending, 101 - acknowledged);
        if report.pending == 0 {
            break;
        }
    }
    run.audit.acknowledged(acknowledged);
    let idle = run.audit.inner.report().unwrap();
    assert_eq!((idle.first, idle.records.len(), idle.previous, idle.head), (102, 0, previous, previous));
    // The control plane has acknowledged a record of another chain: it must see that this is not that chain.
    run.audit.acknowledged(500);
    assert_eq!(run.audit.inner.report().unwrap().first, 1);
}

#[test]
fn a_page_has_a_flag_for_more_records() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    for number in 0..9 {
        run.record(token(number));
    }
    let page = |after, count| {
        let page = run.audit.inner.page(after, count).unwrap();
        (page.records.iter().map(|record| record.record.sequence).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(0, 4), (vec![1, 2, 3, 4], true));
    assert_eq!(page(4, 6), (vec![5, 6, 7, 8, 9, 10], false));
    assert_eq!(page(10, 6), (Vec::new(), false));
    assert_eq!(page(u64::MAX, 6), (Vec::new(), false));
}

#[tokio::test]
async fn a_fact_is_written_although_no_caller_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::start(&folder);
    run.audit.record(None, token(1));
    // A report, a page and a flush also write the queue: only the file itself shows that the task did it.
    let name = b"telemetry";
    let is_written = || {
        let files = fs::read_dir(folder.path().join("records")).into_iter().flatten();
        files.flatten().any(|file| {
            fs::read(file.path()).is_ok_and(|bytes| bytes.windows(name.len()).any(|at| at == name))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_written() {
        assert!(Instant::now() < deadline, "the fact is not on the disk");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(run);
    assert_eq!(Run::start(&folder).records().len(), 2);
}
