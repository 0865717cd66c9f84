//! The assurance records on a disk that fails once: what a report told is on the disk after a power cut.

use std::io::ErrorKind;
use std::path::Path;

use pawl_proto::Text;
use pawl_proto::message::Audit;
use pawl_proto::record::DeviceFact;
use pawld::simulation::Parts;

use super::{ModelDisk, Stop};

const ROOT: &str = "/state";
/// So many token records fill more than one segment.
const MANY: u64 = 900;

fn start(disk: &ModelDisk) -> Option<Parts> {
    let parts = Parts::open(disk.mount(), Path::new(ROOT), Text::lossy("boot")).ok()?;
    parts.identify(b"endorsement key");
    Some(parts)
}

fn record(parts: &Parts, number: u64) {
    parts.record(None, None, DeviceFact::Token { name: Text::lossy("telemetry"), expires: number });
    parts.write_records();
}

/// A disk with so many records, everything on it durable.
fn disk_with(records: u64) -> ModelDisk {
    let disk = ModelDisk::default();
    let parts = start(&disk).unwrap();
    (0..records).for_each(|number| record(&parts, number));
    drop(parts);
    ModelDisk::of(&disk.snapshot())
}

/// Returns whether a report after the power cut has what an earlier one told.
fn has(report: &Audit, told: &Audit) -> bool {
    report.first == told.first
        && report.previous == told.previous
        && report.records.starts_with(&told.records)
}

/// The power fails, and everything is lost that can be.
fn lose_power(disk: &ModelDisk) -> Audit {
    disk.restart(Stop::Power, &mut |_| 0);
    start(disk).unwrap().report_records().unwrap()
}

#[test]
fn records_that_were_reported_are_there_after_a_power_cut_whichever_operation_failed_before() {
    for kept in [0, 1, MANY] {
        let full = disk_with(kept);
        let mut reports = 0;
        for at in 0..40 {
            let disk = ModelDisk::of(&full.snapshot());
            disk.fail_in(at, ErrorKind::Other);
            let Some(parts) = start(&disk) else { continue };
            parts.records_acknowledged(kept.saturating_sub(1));
            record(&parts, 10_000);
            record(&parts, 10_001);
            let Some(told) = parts.report_records() else { continue };
            drop(parts);
            reports += 1;
            disk.restart(Stop::Power, &mut |_| 0);
            let parts = start(&disk).unwrap();
            parts.records_acknowledged(kept.saturating_sub(1));
            let after = parts.report_records().unwrap();
            assert!(has(&after, &told), "operation {at} after {kept} records: {told:?} became {after:?}");
        }
        assert!(reports > 20, "hardly any report was made");
    }
}

/// The next process reads what the disk still shows, and knows of no failure.
#[test]
fn a_process_that_did_not_see_the_failure_reports_only_what_outlives_the_power() {
    let disk = disk_with(1);
    let parts = start(&disk).unwrap();
    parts.report_records().unwrap();
    // The write of the record succeeds, and its sync fails.
    disk.fail_in(1, ErrorKind::Other);
    record(&parts, 10_000);
    drop(parts);
    disk.restart(Stop::Process, &mut |_| 0);
    let told = start(&disk).unwrap().report_records().unwrap();
    assert_eq!(told.records.len(), 3, "the record is not shown");
    assert!(has(&lose_power(&disk), &told), "a reported record is lost");
}
