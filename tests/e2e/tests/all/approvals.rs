//! What an approval counts for: one session, one device, one request, for a while and once.

mod keys;
mod persons;
mod postures;
mod replays;
mod swaps;
mod tries;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Terms};
use pawl_proto::local::PairRequest;
use pawl_proto::message::{Scope, ShortText};

/// What whoever stands at the device is told, whatever it was that failed.
const TOLD: &str = "approval rejected; the operator can see the reason with: pawl-control-plane sessions";

/// A device that waits for the approval of a person.
fn waiting() -> (Rig, Device, Approver) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    device.re_pair("board repaired").unwrap();
    device.wait_for_approver().unwrap();
    (rig, device, alice)
}

fn asking(scopes: &[&str]) -> PairRequest {
    PairRequest {
        reason: ShortText::lossy("board repaired"),
        scopes: scopes.iter().map(|scope| Scope::new(*scope).unwrap()).collect(),
        again: true,
        ..PairRequest::default()
    }
}
