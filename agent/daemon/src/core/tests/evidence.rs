//! What a report tells, and what it leaves out.

use pawl_proto::message::{ImaLog, MeasureLog};
use pawl_proto::{Blob, PcrValue};

use super::device::{Device, name};
use super::soft_tpm::SoftTpm;
use super::*;

/// A device that has just connected, and so reports.
fn reporting() -> Device {
    Device::paired(Rig::paired())
}

/// Carries out what the report wants until it is sent or has failed, and returns it.
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

/// A verdict answers the report with this evidence, and the next report is due.
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

    // In the steady state the TPM quotes, and nothing else.
    device.done.clear();
    (device.logs.measure, device.logs.ima) = (None, None);
    let second = report(&mut device).unwrap();
    assert_eq!(device.done, ["Logs", "Quote"]);
    let told = evidence(&second);
    assert_eq!((told.since, told.pcrs.len()), (Some(Digest::of(first.evidence.as_bytes())), 0));
    let range = device.range.unwrap();
    assert_eq!((range.whole, range.measure, range.ima), (false, 3, None), "the IMA log did not grow");
    acknowledge(&mut device, &second);

    // The IMA log grew, and the next piece begins where the last one ended.
    device.tpm.pcrs.insert(10, PcrValue::new(&[7; 32]).unwrap());
    let third = report(&mut device).unwrap();
    assert_eq!(device.range.unwrap().ima, Some(5));
    assert_eq!(evidence(&third).pcrs.into_keys().collect::<Vec<_>>(), [10]);

    // A verdict that wants it whole gets it whole.
    device.rig.verdict(|verdict| verdict.whole = true);
    device.rig.seconds(300);
    assert_eq!(evidence(&report(&mut device).unwrap()).since, None);
}

#[test]
fn the_hosts_health_is_told_whole_and_then_only_what_changed_much_until_it_is_acknowledged() {
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
    // No verdict has come for it: the next report tells it again.
    device.rig.seconds(300);
    assert_eq!(evidence(&report(&mut device).unwrap()).health, Some(device.logs.health));
}

#[test]
fn an_ima_log_that_was_not_read_to_its_end_is_read_on() {
    let mut device = reporting();
    device.logs.ima = Some(ImaLog { offset: 0, size: 9, bytes: Blob::new(vec![1; 5]).unwrap() });
    let first = report(&mut device).unwrap();
    acknowledge(&mut device, &first);
    report(&mut device).unwrap();
    assert_eq!(device.range.unwrap().ima, Some(5));
}

#[test]
fn a_quote_over_other_values_is_made_again_with_the_values_read_anew() {
    let mut device = reporting();
    device.tpm.changes = 2;
    let told = evidence(&report(&mut device).unwrap());
    assert_eq!(told.pcrs.get(&9), device.tpm.pcrs.get(&9));
    assert_eq!(device.done.iter().filter(|done| *done == "Quote").count(), 3);
}

#[test]
fn pcrs_that_change_under_every_quote_postpone_the_report() {
    let mut device = reporting();
    device.tpm.changes = 5;
    assert!(report(&mut device).is_none());
    device.rig.seconds(2);
    assert!(report(&mut device).is_some(), "it is not made again");
}

#[test]
fn nvpcrs_are_certified_for_the_evidence_and_reported_where_they_are_present() {
    const ASKED: u32 = 0x01d1_0200;
    const ABSENT: u32 = 0x01d1_0201;
    let mut device = reporting();
    report(&mut device).unwrap();
    device.tpm.nvpcrs.insert(ASKED, vec![1; 32]);
    device.logs.named_nvpcrs = Some(vec![ASKED, ABSENT]);
    device.rig.verdict(|verdict| verdict.nvpcrs = vec![ASKED, ABSENT]);
    device.rig.seconds(300);
    let told = report(&mut device).unwrap();
    assert_eq!((told.nvpcrs.len(), evidence(&told).nvpcrs), (1, Some(vec![ASKED])));

    // One that changes between log and quote may lack its record in the log: the report is made again.
    device.rig.seconds(300);
    device.rig.verdict(|_| {});
    device.rig.verdict(|verdict| verdict.nvpcrs = vec![ASKED]);
    device.logs.named_nvpcrs = Some(Vec::new());
    device.rig.seconds(300);
    let read = device.run_until(|effect| name(effect) == "Quote").unwrap();
    device.tpm.nvpcrs.insert(ASKED, vec![2; 32]);
    device.done.clear();
    device.carry_out(read);
    let told = report(&mut device).unwrap();
    assert!(device.done.contains(&"ReadNvPcrs".to_owned()), "{:?}", device.done);
    assert_eq!((told.nvpcrs.len(), evidence(&told).nvpcrs), (1, Some(Vec::new())));
}

#[test]
fn an_answer_that_is_no_quote_makes_no_report() {
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
