//! Reports on demand, and what the control plane makes of them.

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, wait};
use pawl_proto::local::LocalStatus;
use pawl_proto::message::TrustTier;

/// Has the device report; the device with the verdict on that report.
pub(crate) fn judged_anew(rig: &Rig, device: &Device) -> LocalStatus {
    let id = device.status().unwrap().device.to_string();
    let shown = || rig.control_plane.show(&id).map(|shown| shown["verdict"].clone());
    let before = shown().unwrap()["sequence"].as_u64();
    rig.control_plane.refresh(&id).unwrap();
    wait::until("the device is judged anew", wait::SOON, || {
        let (now, status) = (shown()?, device.status()?);
        ensure!(now["sequence"].as_u64() > before, "the control plane has not judged: {now}");
        let heard = serde_json::to_value(&status.verdict)?;
        for name in ["result", "time", "reasons"] {
            ensure!(!now[name].is_null() && heard[name] == now[name], "the device has {heard} for {now}");
        }
        Ok(status)
    })
    .unwrap()
}

/// The same, for as many reports as it takes to come to this result.
pub(crate) fn judged(rig: &Rig, device: &Device, result: TrustTier) -> LocalStatus {
    let mut verdicts = Vec::new();
    for _ in 0..10 {
        let status = judged_anew(rig, device);
        if status.verdict.as_ref().and_then(|verdict| verdict.result) == Some(result) {
            return status;
        }
        verdicts.push(status.verdict);
    }
    panic!("never {result}: {verdicts:?}")
}
