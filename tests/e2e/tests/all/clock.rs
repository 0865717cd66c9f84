//! A device whose wall clock stands at 1970, as a board's without a battery does.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, TokenAnswer};
use pawl_proto::message::DeviceState;

use crate::revocation::verified_receipt;
use crate::support::judged_anew;

/// It must not go on working just because it takes the broker's certificate for one of the future.
#[test]
fn a_device_whose_clock_stands_at_1970_carries_out_a_revocation() {
    // Its lease lasts an hour: it is the order that ends the work.
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let status = device.status().unwrap();
    let (id, epoch) = (status.device.to_string(), status.counter.unwrap());
    device.stop().unwrap();
    device.tpm.reset().unwrap();
    device.lose_clock();
    device.start().unwrap();

    let status = device.wait_until_entitled().unwrap();
    let floor = status.time_floor.unwrap();
    assert!(floor > 1_700_000_000, "it has no idea of the time: {floor}");
    let status = device.wait_until("it reaches the broker", |status| status.broker.connected).unwrap();
    assert!(status.broker.error.is_none(), "{:?}", status.broker);
    // Reports, tokens and their proofs are as good as with a clock.
    judged_anew(&rig, &device);
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));

    rig.control_plane.revoke(&id, "stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    verified_receipt(&rig, &id, epoch.0);
}

#[test]
fn a_device_that_never_knew_the_time_says_so() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.lose_clock();
    device.start().unwrap();
    let status = device.status().unwrap();
    assert_eq!(status.time_floor, None);
    rig.control_plane.enrol(&status.ek_sha256, "device").unwrap();
    device.pair().unwrap();
    let status = device
        .wait_until("it says why it cannot pair", |status| {
            status.problem.as_ref().is_some_and(|problem| problem.reason.contains("not yet valid"))
        })
        .unwrap();
    let problem = status.problem.unwrap();
    assert!(problem.remedy.contains("set the clock"), "{problem:?}");
}
