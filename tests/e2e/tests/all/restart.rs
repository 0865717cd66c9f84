//! A daemon that stops and starts again goes on where it was.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, TokenAnswer};

use crate::support::Tpm2Tools;

#[test]
fn a_stop_leaves_nothing_in_the_tpm() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.stop().unwrap();
    for kind in ["handles-transient", "handles-loaded-session"] {
        let left = Tpm2Tools::on(&device.tpm).run("tpm2_getcap", &[kind]);
        assert!(left.is_empty(), "{kind}: {}", String::from_utf8_lossy(&left));
    }
}

#[test]
fn a_device_is_entitled_after_every_start() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let pairing = device.status().unwrap().pairing;
    for _ in 0..3 {
        device.stop().unwrap();
        device.start().unwrap();
        let status = device.wait_until_entitled().unwrap();
        assert_eq!(status.pairing, pairing);
        assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
    }
}

#[test]
fn an_offline_device_serves_from_its_vault_after_a_start() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.stop().unwrap();
    rig.broker.stop().unwrap();
    rig.control_plane.stop().unwrap();
    device.start().unwrap();
    device.wait_until_entitled().unwrap();
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}
