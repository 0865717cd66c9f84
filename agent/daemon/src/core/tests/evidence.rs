//! Tests of the contents of reports.

use pawl_proto::message::{ImaLog, MeasureLog};
use pawl_proto::{Blob, PcrValue};

use super::device::{Device, name};
use super::soft_tpm::SoftTpm;
use super::*;

/// Returns a device that has just connected, and therefore reports.
fn reporting() -> Device {
    Device::paired(Rig::paired())
}

/// Executes the effects of the report until it is sent or has failed. Returns the report.
fn report(device: &mut Device) -> Option<Report> {
    device.run();
    let payload = device.rig.take(|effect| match effect {
        Effect::Publish(Parcel { kind: ParcelKind::Posture(_), payload }) => Some(payload.clone()),
        _ => None,
    })?;
    Some(codec::decode(&payload, limits::MESSAGE).unwrap())
}

fn evidence(report: &Report) -> Evidence {
    codec::decode(report.evidence.as_bytes(), limits::MESSAGE).unwrap()
}

/// Feeds a verdict that answers this report, and advances to the next one.
fn acknowledge(device: &mut Device, report: &Report) {
    let answers = Some(Digest::of(report.evidence.as_bytes()));
    device.rig.verdict(|verdict| verdict.answers = answers);
    device.run();
    device.rig.seconds(300);
}

#[test]
fn a_report_builds_on_the_one_that_the_control_plane_acknowledged() {
    let mut device = reporting();
    device.logs.measure = Some(MeasureLog { offset: 0, size: 3, bytes: Blob::new(vec![1; 3]).unwrap() });
    device.logs.ima = Some(ImaLog { offset: 0, size: 5, bytes: Blob::new(vec![1; 5]).unwrap() });
    let first = report(&mut device).unwrap();
    assert_eq!((evidence(&first).since, evidence(&first).pcrs.len()), (None, 16));
    acknowledge(&mut device, &first);

    // If no PCR has changed, the TPM only quotes.
    device.done.clear();
    (device.logs.measure, device.logs.ima) = (None, None);
    let second = report(&mut device).unwrap();
    assert_eq!(device.done, ["Logs", "Quote"]);
    let sent = evidence(&second);
    assert_eq!((sent.since, sent.pcrs.len()), (Some(Digest::of(first.evidence.as_bytes())), 0));
    let range = device.range.unwrap();
    assert_eq!((range.whole, range.measure, range.ima), (false, 3, None), "the IMA log did not grow");
    acknowledge(&mut device, &second);

    // The IMA log grew, and the next piece begins where the last one ended.
    device.tpm.pcrs.insert(10, PcrValue::new(&[7; 32]).unwrap());
    let third = report(&mut device).unwrap();
    assert_eq!(device.range.unwrap().ima, Some(5));
    assert_eq!(evidence(&third).pcrs.into_keys().collect::<Vec<_>>(), [10]);

    // A verdict that asks for a full report gets one.
    device.rig.verdict(|verdict| verdict.whole = true);
    device.rig.seconds(300);
    assert_eq!(evidence(&report(&mut device).unwrap()).since, None);
}

#[test]
fn health_is_reported_at_first_and_after_large_changes() {
    let mut device = reporting();
    device.logs.health = HostHealth { load: 10, memory: 400, ..HostHealth::default() };
    let first = report(&mut device).unwrap();
    assert_eq!(evidence(&first).health, Some(device.logs.health));
    acknowledge(&mut device, &first);
    device.logs.health.load = 60;
    let second = report(&mut device).unwrap();
    assert_eq!(evidence(&second).health, None);
    acknowledge(&mut device, &second);
    device.logs.health.memory = 100;
    let third = report(&mut device).unwrap();
    assert_eq!(evidence(&third).health, Some(device.logs.health));
    // No verdict has answered it: the next report contains the health again.
    device.rig.seconds(300);
    assert_eq!(evidence(&report(&mut device).unwrap()).health, Some(device.logs.health));
}

#[test]
fn an_ima_log_that_was_not_read_to_its_end_is_continued_in_the_next_report() {
    let mut device = reporting();
    device.logs.ima = Some(ImaLog { offset: 0, size: 9, bytes: Blob::new(vec![1; 5]).unwrap() });
    let first = report(&mut device).unwrap();
    acknowledge(&mut device, &first);
    report(&mut device).unwrap();
    assert_eq!(device.range.unwrap().ima, Some(5));
}

#[test]
fn pcrs_that_changed_before_the_quote_are_read_and_quoted_again() {
    let mut device = reporting();
    device.tpm.changes = 2;
    let sent = evidence(&report(&mut device).unwrap());
    assert_eq!(sent.pcrs.get(&9), device.tpm.pcrs.get(&9));
    assert_eq!(device.done.iter().filter(|done| *done == "Quote").count(), 3);
}

#[test]
fn pcrs_that_change_during_every_attempt_postpone_the_report() {
    let mut device = reporting();
    device.tpm.changes = 5;
    assert!(report(&mut device).is_none());
    device.rig.seconds(2);
    assert!(report(&mut device).is_some(), "it is not made again");
}

#[test]
fn nvpcrs_are_certified_for_the_evidence_and_reported_if_they_exist() {
    const ASKED: u32 = 0x01d1_0200;
    const ABSENT: u32 = 0x01d1_0201;
    let mut device = reporting();
    report(&mut device).unwrap();
    device.tpm.nvpcrs.insert(ASKED, vec![1; 32]);
    device.logs.named_nvpcrs = Some(vec![ASKED, ABSENT]);
    device.rig.verdict(|verdict| verdict.nvpcrs = vec![ASKED, ABSENT]);
    device.rig.seconds(300);
    let sent = report(&mut device).unwrap();
    assert_eq!((sent.nvpcrs.len(), evidence(&sent).nvpcrs), (1, Some(vec![ASKED])));

    // If an NvPCR changes between log and quote, the log may lack its record: the core makes the report again.
    device.rig.seconds(300);
    device.rig.verdict(|_| {});
    device.rig.verdict(|verdict| verdict.nvpcrs = vec![ASKED]);
    device.logs.named_nvpcrs = Some(Vec::new());
    device.rig.seconds(300);
    let read = device.run_until(|effect| name(effect) == "Quote").unwrap();
    device.tpm.nvpcrs.insert(ASKED, vec![2; 32]);
    device.done.clear();
    device.carry_out(read);
    let sent = report(&mut device).unwrap();
    assert!(device.done.contains(&"ReadNvPcrs".to_owned()), "{:?}", device.done);
    assert_eq!((sent.nvpcrs.len(), evidence(&sent).nvpcrs), (1, Some(Vec::new())));
}

#[test]
fn an_answer_that_is_not_a_quote_gives_no_report() {
    let mut device = reporting();
    let quote = device.run_until(|effect| name(effect) == "Quote").unwrap();
    let Effect::Tpm(ticket, _) = quote else { panic!("{quote:?}") };
    let certified = SoftTpm::new(Some(EPOCH)).answer(&TpmCommand::CertifyNvPcrs(vec![1], Digest([0; 32])));
    // The answer to another command.
    device.rig.answer(ticket, certified);
    assert!(report(&mut device).is_none());

    device.rig.seconds(2);
    let quote = device.run_until(|effect| name(effect) == "Quote").unwrap();
    let Effect::Tpm(ticket, _) = quote else { panic!("{quote:?}") };
    let forged = pawl_tpm::Attestation { attest: b"no attestation".to_vec(), signature: Vec::new() };
    device.rig.answer(ticket, TpmAnswer::Quoted(forged));
    assert!(report(&mut device).is_none());
    device.rig.seconds(4);
    assert!(report(&mut device).is_some());
}
