//! The device comes back: a technician asks for a new pairing, and a person approves it there.

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::Approver;
use pawl_local_api::SessionStage;
use pawl_proto::Epoch;
use pawl_proto::message::DeviceState;
use serde_json::Value;

use super::Stage;
use super::pairing::{self, pairing_of};
use crate::teller::Teller;

pub(super) fn tell(
    teller: &mut Teller,
    rig: &Rig,
    stage: &Stage,
    alice: &Approver,
    ended: Epoch,
) -> Result<()> {
    teller.step(
        "re-pair-asked",
        "a technician asks for a new pairing: that alone changes nothing",
        |facts| {
            stage.device.re_pair("found again, and checked")?;
            let waiting = stage.device.wait_for_approver()?;
            facts.add("approvals_needed", waiting.needed);
            facts.add("code", waiting.user_code);
            facts.add("state", stage.device.status()?.state.to_string());
            Ok(())
        },
    )?;
    teller.step("paired-again", "Alice signs with her SSH key: it pairs, in a later epoch", |facts| {
        stage.device.approve(alice)?.success()?;
        stage.device.wait_for_stage(SessionStage::Done)?;
        let status = stage.device.wait_until_entitled()?;
        ensure!(status.state == DeviceState::Entitled, "the state is {}", status.state);
        let epoch = pairing_of(&status)?.epoch;
        ensure!(epoch > ended, "epoch {epoch} is not above {ended}");
        facts.add("epoch", epoch.0);
        facts.add("approved_by", approved_by(rig, stage)?);
        pairing::token(stage, facts)?;
        let shown = rig.control_plane.show(&stage.id)?;
        let known = shown.pointer("/pairing/epoch").and_then(Value::as_u64);
        ensure!(known == Some(epoch.0), "the control plane says epoch {known:?}");
        Ok(())
    })
}

/// As the control plane has recorded it.
fn approved_by(rig: &Rig, stage: &Stage) -> Result<String> {
    let records = rig.control_plane.records(&stage.id)?;
    let approved = records.iter().rev().find_map(|record| record.pointer("/detail/by/0"));
    let approved = approved.context("no approval is recorded")?;
    let part = |name| approved.get(name).and_then(Value::as_str).unwrap_or_default();
    Ok(format!("{}, {}", part("principal"), part("key")))
}
