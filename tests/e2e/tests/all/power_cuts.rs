//! The power fails at every step of wiping and of pairing.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, TokenAnswer};
use pawl_proto::message::DeviceState;

use crate::revocation::verified_receipt;
use crate::support::refusal;

const WIPING: [&str; 7] = [
    "wipe.gate-closed",
    "wipe.incremented",
    "wipe.recorded",
    "wipe.unlinked",
    "wipe.told",
    "wipe.receipt-stored",
    "wipe.receipt-taken",
];

/// If nothing of a pairing is on the disk yet.
const UNKEPT: [&str; 2] = ["re-pair.proven", "re-pair.approved"];

/// The fail points after which the next start completes the pairing by itself.
const KEPT: [&str; 7] = [
    "re-pair.kept",
    "re-pair.wiped",
    "pair.keys-created",
    "pair.activated",
    "pair.granted",
    "pair.staged",
    "pair.committed",
];

#[test]
fn a_revocation_that_is_cut_short_is_completed() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    for point in WIPING {
        let epoch = device.status().unwrap().pairing.unwrap().epoch.0;
        device.stop().unwrap();
        device.start_doomed(point).unwrap();
        device.wait_until_entitled().unwrap();
        rig.control_plane.revoke(&id, point).unwrap();
        device.wait_for_death().unwrap();

        device.start().unwrap();
        // The first answer already: there is no moment in which the token is served again.
        assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)), "{point}: a token");
        device.wait_for(DeviceState::Revoked).unwrap();
        assert_eq!(refusal(&device), "revoked", "{point}");
        assert_wiped(&device, point);
        assert_eq!(verified_receipt(&rig, &id, epoch)["epoch"], epoch + 1, "{point}");

        device.pair().unwrap();
        device.wait_until_entitled().unwrap();
    }
}

#[test]
fn a_wipe_that_is_cut_short_is_completed() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    for point in ["wipe.incremented", "wipe.unlinked", "wipe.receipt-stored"] {
        let epoch = device.status().unwrap().pairing.unwrap().epoch.0;
        device.stop().unwrap();
        device.start_doomed(point).unwrap();
        device.wait_until_entitled().unwrap();
        assert!(device.wipe("sold").is_err(), "{point}: the daemon lived to answer");
        device.wait_for_death().unwrap();

        device.start().unwrap();
        assert!(!matches!(device.token().unwrap(), TokenAnswer::Granted(_)), "{point}: a token");
        device.wait_for(DeviceState::Revoked).unwrap();
        assert_wiped(&device, point);
        assert_eq!(verified_receipt(&rig, &id, epoch)["epoch"], epoch + 1, "{point}");

        device.pair().unwrap();
        device.wait_until_entitled().unwrap();
    }
}

#[test]
fn a_pairing_that_is_cut_short_locks_nobody_out() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.start().unwrap();
    rig.control_plane.enrol(&device.status().unwrap().ek_sha256, "device").unwrap();
    for point in UNKEPT.into_iter().chain(KEPT) {
        device.stop().unwrap();
        device.start_doomed(point).unwrap();
        device.wait_until("it answers", |_| true).unwrap();
        // The daemon may die before it has answered.
        let _ = device.pair();
        device.wait_for_death().unwrap();

        device.start().unwrap();
        if UNKEPT.contains(&point) {
            device.pair().unwrap();
        }
        let status = device.wait_until_entitled().unwrap();
        assert_eq!(status.counter, status.pairing.map(|pairing| pairing.epoch), "{point}");
        device.wipe("the next round").unwrap();
        device.wait_for(DeviceState::Revoked).unwrap();
    }
}

/// Waits until the files of the dead pairing are gone: a wipe does not wait for the disk.
pub(crate) fn assert_wiped(device: &Device, point: &str) {
    for name in
        ["link.key", "device.key", "action.key", "vault.key", "vault.bin", "verdict.cose", "lease.cose"]
    {
        let path = device.state_dir().join("pairing").join(name);
        device.wait_until(&format!("{point}: {name} is gone"), |_| !path.exists()).unwrap();
    }
}
