//! The story, in its order.

mod action;
mod lapse;
mod old_disk;
mod pairing;
mod re_pair;
mod revocation;

use anyhow::Result;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Terms};

use crate::invite;
use crate::teller::Teller;

/// Short, so that the demo soon shows the TPM's refusal.
const LEASE_SECONDS: u32 = 6;

pub(crate) fn tell(teller: &mut Teller, keep: bool) -> Result<()> {
    let terms =
        Terms { lease_seconds: LEASE_SECONDS, actions: vec![(action::ACTION, 1)], ..Terms::approved_by(1) };
    let rig = teller.step("started", "a TPM factory, a broker and a control plane are running", |facts| {
        let rig = Rig::start(&terms)?;
        facts.add("directory", rig.directory().path().display().to_string());
        facts.add("control_plane", rig.control_plane.url());
        facts.add("broker", format!("mqtts://127.0.0.1:{}", rig.broker.port()));
        Ok(rig)
    })?;
    chapters(teller, &rig, keep).inspect_err(|error| rig.directory().explain(error))
}

fn chapters(teller: &mut Teller, rig: &Rig, keep: bool) -> Result<()> {
    let mut stage = pairing::tell(teller, rig)?;
    lapse::tell(teller, rig, &stage)?;
    let revoked = revocation::tell(teller, rig, &stage)?;
    old_disk::tell(teller, &mut stage, &revoked)?;
    let alice = rig.approver("alice")?;
    re_pair::tell(teller, rig, &stage, &alice, revoked.ended)?;
    action::tell(teller, rig, &stage, &alice)?;
    if keep {
        invite(teller, rig, &stage.device, &stage.id, &alice)?;
    }
    stage.device.stop()
}

/// The device that the story is about.
struct Stage {
    device: Device,
    id: String,
}

impl Stage {
    fn set(rig: &Rig) -> Result<Self> {
        let mut device = rig.device("device", DeviceOptions::default())?;
        device.start()?;
        let id = device.status()?.device.to_string();
        Ok(Self { device, id })
    }
}
