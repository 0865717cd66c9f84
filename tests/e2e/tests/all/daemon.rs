//! A daemon and its host: starts and stops, a TPM that is missing, host facts, and deprovisioning.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, TokenAnswer};

use crate::revocation::verified_receipt;
use crate::support::{Tpm2Tools, refusal};

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

#[test]
fn a_daemon_without_its_tpm_waits_answers_and_stops_cleanly() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.stop().unwrap();
    device.start_without_tpm().unwrap();
    let daemon = device.pid().unwrap();

    for command in [["entitled", "--json"], ["token", "telemetry"], ["status", "--json"]] {
        let output = device.pawlctl(&command).unwrap();
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(69), "{command:?}: {printed}");
        assert!(printed.contains("cannot reach a TPM at device:/nonexistent/tpmrm0"), "{printed}");
    }
    assert_eq!(device.pid(), Some(daemon), "it was started again");
    device.stop().unwrap();

    device.start().unwrap();
    device.wait_until_entitled().unwrap();
}

#[test]
fn the_status_is_answered_when_the_tpm_fails() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let before = device.wait_until_entitled().unwrap();
    device.tpm.fail().unwrap();

    let status = device.status().unwrap();
    assert_eq!(status.tpm.as_ref().map(|problem| problem.error.as_str()), Some("tpm"), "{status:?}");
    assert_eq!((status.counter, status.lease.is_some()), (None, false));
    // What the TPM is not needed for is there.
    assert_eq!((status.state, status.device), (before.state, before.device));
    assert_eq!(status.pairing.map(|pairing| pairing.id), before.pairing.map(|pairing| pairing.id));
    assert_eq!(device.pawlctl(&["status"]).unwrap().status.code(), Some(0));
}

#[test]
fn a_report_tells_how_the_host_is_doing_and_devices_are_found_by_it() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();

    let shown = rig.control_plane.show(&id).unwrap();
    for field in ["uptime", "memory", "state", "root"] {
        assert!(shown["health"][field].as_u64().unwrap() > 0, "{field}: {shown}");
    }
    assert_eq!(shown["host"]["agent"], env!("CARGO_PKG_VERSION"));

    let found = |conditions: &[&str]| {
        let conditions = conditions.iter().flat_map(|condition| ["--where", condition]);
        let arguments: Vec<&str> = std::iter::once("devices").chain(conditions).collect();
        let lines = rig.control_plane.operator(&arguments).unwrap();
        lines.as_array().unwrap().iter().map(|line| line["device"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["memory>0", "agent=0.*"]), [format!("\"{id}\"")]);
    assert_eq!(found(&["memory>0", "agent!=0.*"]), [""; 0]);
    let error = rig.control_plane.operator(&["devices", "--where", "disk<5"]).unwrap_err().to_string();
    assert!(error.contains("the fields are device, label"), "{error}");
}

#[test]
fn a_deprovisioned_tpm_holds_nothing_and_comes_back_in_a_later_epoch() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let status = device.status().unwrap();
    let (id, ended) = (status.device.to_string(), status.counter.unwrap());

    let answer = device.pawlctl(&["deprovision", "--yes"]).unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    assert_eq!(refusal(&device), "deprovisioned");
    verified_receipt(&rig, &id, ended.0);
    // Otherwise the counter would be back before anybody has taken the package away.
    let refused = device.pair().unwrap_err().to_string();
    assert!(refused.contains("deprovisioned"), "{refused}");

    device.stop().unwrap();
    let indices = Tpm2Tools::on(&device.tpm).run("tpm2_getcap", &["handles-nv-index"]);
    let indices = String::from_utf8(indices).unwrap().to_lowercase();
    assert!(!indices.contains("0x1805041"), "{indices}");

    device.start().unwrap();
    device.pair().unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert!(status.pairing.unwrap().epoch > ended);
}
