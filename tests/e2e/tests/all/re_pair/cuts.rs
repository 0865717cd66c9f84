//! The power fails at every step of a re-pair: nothing old comes back, and nobody is locked out.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Terms, TokenAnswer};
use pawl_local_api::LocalStatus;
use pawl_proto::message::DeviceState;

use super::ordered::wait_for_technician_wanted;
use crate::power_cuts::assert_wiped;
use crate::revocation::verified_receipt;
use crate::support::approve_here;

/// What a device does at its next start.
enum After {
    /// It has its old pairing, as if nothing had been asked.
    Untouched,
    /// It ends the old pairing, and takes another approval to pair.
    Ended,
    /// It completes the new pairing.
    GoesOn,
    /// The one or the other: the order that follows from the approval may have come before the
    /// answer to it, and then nothing of the approval was kept yet.
    EndedOrGoesOn,
}

/// The steps at which the old pairing ends.
const ENDING: [(&str, After); 10] = [
    ("re-pair.proven", After::Untouched),
    ("re-pair.approved", After::Ended),
    ("re-pair.kept", After::GoesOn),
    ("wipe.gate-closed", After::EndedOrGoesOn),
    ("wipe.incremented", After::EndedOrGoesOn),
    ("wipe.recorded", After::EndedOrGoesOn),
    ("wipe.unlinked", After::EndedOrGoesOn),
    ("wipe.told", After::EndedOrGoesOn),
    ("wipe.receipt-stored", After::EndedOrGoesOn),
    ("wipe.receipt-taken", After::EndedOrGoesOn),
];

/// The steps at which the new one is made.
const MAKING: [(&str, After); 6] = [
    ("re-pair.wiped", After::GoesOn),
    ("pair.keys-created", After::GoesOn),
    ("pair.activated", After::GoesOn),
    // It was granted for keys that the next start does not trust to be whole.
    ("pair.granted", After::Ended),
    ("pair.staged", After::GoesOn),
    ("pair.committed", After::GoesOn),
];

/// The steps that an approval from elsewhere could take otherwise.
const ELSEWHERE: [(&str, After); 5] = [
    ("re-pair.proven", After::Untouched),
    ("re-pair.approved", After::Ended),
    ("re-pair.kept", After::GoesOn),
    ("wipe.incremented", After::EndedOrGoesOn),
    ("pair.granted", After::Ended),
];

#[test]
fn a_re_pair_that_is_cut_short_while_the_old_pairing_ends() {
    cut_short_at(&ENDING, approve);
}

#[test]
fn a_re_pair_that_is_cut_short_while_the_new_pairing_is_made() {
    cut_short_at(&MAKING, approve);
}

#[test]
fn a_re_pair_that_is_approved_elsewhere_and_cut_short() {
    cut_short_at(&ELSEWHERE, |rig, device, approver| {
        let code = device.wait_for_approver().unwrap().user_code;
        let confirmation = rig.control_plane.approve_for_confirmation(&code, approver).unwrap();
        // The daemon may die before it has answered.
        let _ = device.confirm(&confirmation);
    });
}

fn approve(_: &Rig, device: &Device, approver: &Approver) {
    let approval = device.approval_of(approver).unwrap();
    // The daemon may die before it has answered.
    let _ = device.hand_in(&approval);
}

fn cut_short_at(points: &[(&str, After)], approve: impl Fn(&Rig, &Device, &Approver)) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    for (point, after) in points {
        let before = device.status().unwrap();
        let TokenAnswer::Granted(old_token) = device.token().unwrap() else { panic!("{point}: no token") };
        device.stop().unwrap();
        device.start_doomed(point).unwrap();
        device.wait_until_entitled().unwrap();
        // The daemon may die before it has answered.
        let _ = device.re_pair(point);
        if !matches!(after, After::Untouched) {
            approve(&rig, &device, &alice);
        }
        device.wait_for_death().unwrap();

        device.start().unwrap();
        // The first answer already: from the wipe on, there is no moment in which the old token is
        // served again.
        let served = device.token().unwrap();
        let served =
            matches!(&served, TokenAnswer::Granted(token) if token.access_token == old_token.access_token);
        assert!(!served || !ends_with(point), "{point}: the old token");
        let status = match after {
            After::Untouched | After::GoesOn => device.wait_until_entitled().unwrap(),
            After::Ended => wait_for_technician_wanted(&device),
            After::EndedOrGoesOn => wait_for_either(&device),
        };
        if status.state != DeviceState::Entitled {
            assert_wiped(&device, point);
        }
        let id = |status: &LocalStatus| status.pairing.as_ref().map(|pairing| pairing.id);
        let goes_on = id(&status) != id(&before);
        match after {
            After::Untouched | After::Ended => assert!(!goes_on, "{point}"),
            After::GoesOn => assert!(goes_on, "{point}"),
            After::EndedOrGoesOn => {}
        }
        if !goes_on {
            device.re_pair("once more").unwrap();
            approve_here(&device, &alice);
        }
        assert_one_new_pairing(&rig, &device, &before, point);
    }
}

fn wait_for_either(device: &Device) -> LocalStatus {
    device
        .wait_until("a technician is wanted, or it is entitled", |status| {
            let wanted = status.problem.as_ref().is_some_and(|problem| problem.error == "technician-wanted");
            wanted || status.state == DeviceState::Entitled
        })
        .unwrap()
}

/// Whether the device knows at this point that its old pairing ends.
fn ends_with(point: &str) -> bool {
    !matches!(point, "re-pair.proven" | "re-pair.approved")
}

/// The device and the control plane have the same one pairing, above the one before.
fn assert_one_new_pairing(rig: &Rig, device: &Device, before: &LocalStatus, point: &str) {
    let status = device.status().unwrap();
    let (old, new) = (before.pairing.as_ref().unwrap(), status.pairing.unwrap());
    assert!(new.epoch > old.epoch && status.counter == Some(new.epoch), "{point}: {old:?} to {new:?}");
    let shown = rig.control_plane.show(status.device.as_str()).unwrap();
    assert_eq!(shown["pairing"]["id"], new.id.to_string(), "{point}");
    assert_eq!(shown["pairing"]["state"], "live", "{point}");
    assert_eq!(shown["highest"]["epoch"], new.epoch.0, "{point}");
    // The end of the one before is proven, and no order is left that could end this one.
    assert_eq!(verified_receipt(rig, status.device.as_str(), old.epoch.0)["cause"], "repair", "{point}");
}
