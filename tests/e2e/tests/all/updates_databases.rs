//! New contents of db that were approved ahead: the device works before the network does.

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, boot_log, wait};
use pawl_evidence::eventlog::{EventLog, LogEvent};
use pawl_proto::message::{DeviceState, TrustTier};

use crate::support::{judged, refusal};

#[test]
fn a_device_works_after_the_db_that_was_approved_ahead_and_after_no_other() {
    check_approved_db(DeviceOptions::default());
}

#[test]
fn a_device_with_the_sha384_bank_alone_works_after_the_db_that_was_approved_ahead_and_after_no_other() {
    check_approved_db(DeviceOptions { pcr_banks: "sha384", ..DeviceOptions::default() });
}

fn check_approved_db(options: DeviceOptions) {
    let mut rig = Rig::for_test().unwrap();
    let options = DeviceOptions { boot_log: Some(boot_log("x86-secureboot-on")), ..options };
    let mut device = rig.paired_device("device", options).unwrap();
    let id = device.status().unwrap().device.to_string();
    rig.control_plane.set_policy(&id, &rig.control_plane.learn_policy(&id).unwrap()).unwrap();
    judged(&rig, &device, TrustTier::Affirming);

    let directory = rig.directory().create("databases").unwrap();
    let db = content("x86-shim-grub-ms", "db");
    let file = directory.join("db");
    // As efivarfs shows it: four bytes of attributes first.
    fs::write(&file, [&0x27_u32.to_le_bytes()[..], &db].concat()).unwrap();
    let state = rig.control_plane.reported_state(&id).unwrap();
    let arguments =
        ["pre-approve", &id, "--db", file.to_str().unwrap(), "--name", "db 2026", "--state", &state];
    let approved = rig.control_plane.operator(&arguments).unwrap();
    assert_eq!(approved["changes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["7"], "{approved:#}");
    wait::until("the device has the lease", wait::SOON, || {
        ensure!(device.status()?.lease.is_some_and(|lease| lease.ahead == 1), "no lease ahead");
        Ok(())
    })
    .unwrap();

    device.stop().unwrap();
    rig.broker.stop().unwrap();
    rig.control_plane.stop().unwrap();
    let boot = |name: &str, db: &[u8]| -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, with_db("x86-secureboot-on", db)).unwrap();
        path
    };
    device.tpm.reset_into(&boot("approved", &db)).unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();

    // One entry less is another list.
    device.stop().unwrap();
    device.tpm.reset_into(&boot("other", &db[..0])).unwrap();
    device.start().unwrap();
    device.wait_for(DeviceState::Lapsed).unwrap();
    assert_eq!(refusal(&device), "lease-refused");
}

/// What the variable held in the boot of a fixture.
fn content(boot: &str, name: &str) -> Vec<u8> {
    let log = fs::read(boot_log(boot)).unwrap();
    let log = EventLog::parse(&log).unwrap();
    let found = log.events().map(Result::unwrap).find_map(|event| Some(value(&event, name)?.to_vec()));
    found.unwrap()
}

/// UEFI_VARIABLE_DATA: a GUID, the length of the name in characters, that of the value, name and value.
fn value<'a>(event: &LogEvent<'a>, name: &str) -> Option<&'a [u8]> {
    let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let units = u64::from_le_bytes(event.data.get(16..24)?.try_into().ok()?);
    let is_it = event.pcr == 7
        && usize::try_from(units).ok()? == name.len()
        && event.data.get(32..)?.starts_with(&wide);
    if is_it { event.data.get(32 + wide.len()..) } else { None }
}

/// The log of a fixture's boot as it would be with another db.
fn with_db(boot: &str, db: &[u8]) -> Vec<u8> {
    let bytes = fs::read(boot_log(boot)).unwrap();
    let log = EventLog::parse(&bytes).unwrap();
    let events: Vec<LogEvent<'_>> = log.events().map(Result::unwrap).collect();
    let place = events.iter().position(|event| value(event, "db").is_some()).unwrap();
    let (event, next) = (&events[place], &events[place + 1]);
    let mut data = event.data[..event.data.len() - value(event, "db").unwrap().len()].to_vec();
    data[24..32].copy_from_slice(&u64::try_from(db.len()).unwrap().to_le_bytes());
    data.extend(db);
    let mut changed = bytes[..event.offset].to_vec();
    let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
    changed.extend(
        [u32::from(event.pcr).to_le_bytes(), event.kind.0.to_le_bytes(), number(event.digests.len())]
            .concat(),
    );
    for digest in &event.digests {
        changed.extend(digest.algorithm().id().to_le_bytes());
        changed.extend(digest.algorithm().digest(&[&data]).as_bytes());
    }
    changed.extend(number(data.len()));
    changed.extend(data);
    changed.extend(&bytes[next.offset..]);
    changed
}
