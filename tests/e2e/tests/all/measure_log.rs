//! systemd's log of what it extended: devices with systemd 257 and later.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, MeasureLog, boot_log, wait};
use pawl_local_api::VerdictStatus;
use pawl_proto::message::{Area, TrustTier};

use crate::support::judged;

#[test]
fn a_device_of_systemd_262_is_affirmed_under_the_policy_learnt_from_it() {
    check_learnt_policy(DeviceOptions::default());
}

#[test]
fn a_device_of_systemd_262_with_the_sha384_bank_alone_is_affirmed_under_the_policy_learnt_from_it() {
    check_learnt_policy(DeviceOptions { pcr_banks: "sha384", ..DeviceOptions::default() });
}

fn check_learnt_policy(options: DeviceOptions) {
    let rig = Rig::for_test().unwrap();
    let (mut device, mut log) = booted_with(&rig, "forky-good", options);
    let id = rig.pair(&mut device, "device").unwrap();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    assert!(learnt.contains("require-os-separator = true"), "{learnt}");
    assert!(learnt.contains("unified-images = [") && !learnt.contains("initrds = ["), "{learnt}");
    rig.control_plane.set_policy(&id, &learnt).unwrap();
    let verdict = judged(&rig, &device, TrustTier::Affirming).verdict.unwrap();
    assert_eq!(verdict.areas.get(&Area::Boot), Some(&TrustTier::Affirming));
    assert!(device.token().is_ok());

    // A soft reboot adds to the log, and to PCRs that no lease names.
    device.stop().unwrap();
    for phase in ["shutdown", "final", "sysinit", "ready"] {
        log.measure(&device.tpm, 11, phase).unwrap();
    }
    device.start().unwrap();
    device.wait_until_entitled().unwrap();
    judged(&rig, &device, TrustTier::Affirming);

    // The reason names the record that nothing explains.
    device.stop().unwrap();
    log.measure(&device.tpm, 12, "an unknown word").unwrap();
    device.start().unwrap();
    let verdict = refused(&device);
    let reasons = format!("{:?}", verdict.reasons);
    assert!(
        reasons.contains("an unknown word") && reasons.contains("record 28 of systemd's log"),
        "{reasons}"
    );
}

#[test]
fn another_machine_is_affirmed_under_the_same_policy_and_another_command_line_is_not() {
    let rig = Rig::for_test().unwrap();
    let (mut device, _log) = booted(&rig, "forky-good");
    let id = rig.pair(&mut device, "device").unwrap();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy("default", &learnt).unwrap();
    judged(&rig, &device, TrustTier::Affirming);

    let (mut other, _log) = booted(&rig, "forky-other-machine");
    rig.pair(&mut other, "device").unwrap();
    judged(&rig, &other, TrustTier::Affirming);

    let (mut changed, _log) = booted(&rig, "forky-cmdline-changed");
    changed.start().unwrap();
    rig.control_plane.enrol(&changed.status().unwrap().ek_sha256, "changed").unwrap();
    changed.pair().unwrap();
    let status = changed.wait_until("the pairing is refused", |status| {
        status.session.as_ref().is_some_and(|session| session.problem.is_some())
    });
    let problem = status.unwrap().session.unwrap().problem.unwrap();
    assert!(
        problem.reason.contains("boot.unified-images") || problem.reason.contains("boot.images"),
        "{problem:?}"
    );
}

#[test]
fn a_log_with_an_unfinished_record_is_refused_and_read_again() {
    let rig = Rig::for_test().unwrap();
    let (mut device, log) = booted(&rig, "forky-good");
    rig.pair(&mut device, "device").unwrap();
    device.stop().unwrap();
    log.set_sticky(true).unwrap();
    device.start().unwrap();
    let reasons = format!("{:?}", refused(&device).reasons);
    assert!(reasons.contains("does not explain PCR 9"), "{reasons}");
    log.set_sticky(false).unwrap();
    rig.control_plane.refresh(&device.status().unwrap().device.to_string()).unwrap();
    judged(&rig, &device, TrustTier::Affirming);
}

/// A device that has booted so, its TPM as systemd left it.
fn booted(rig: &Rig, boot: &str) -> (Device, MeasureLog) {
    booted_with(rig, boot, DeviceOptions::default())
}

fn booted_with(rig: &Rig, boot: &str, options: DeviceOptions) -> (Device, MeasureLog) {
    let path = rig.directory().create(boot).unwrap().join("tpm2-measure.log");
    let mut log = MeasureLog::create(path.clone()).unwrap();
    let options = DeviceOptions { boot_log: Some(boot_log(boot)), measure_log: Some(path), ..options };
    let device = rig.device(boot, options).unwrap();
    log.measure_boot(&device.tpm, boot).unwrap();
    (device, log)
}

fn refused(device: &Device) -> VerdictStatus {
    let status = device.wait_longer_until("the boot is refused", wait::SOON, |status| {
        status.verdict.as_ref().is_some_and(|verdict| verdict.result == Some(TrustTier::Contraindicated))
    });
    status.unwrap().verdict.unwrap()
}
