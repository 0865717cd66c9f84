//! Cuts the power at random moments, during pairings and during wipes.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use pawl_e2e::rig::wait;
use pawl_local_api::LocalStatus;
use pawl_proto::Epoch;
use pawl_proto::message::DeviceState;

use super::first_boot::configure;
use super::pairing::{enrol, pair};
use super::revocation::{find_receipt, receipt_for};
use super::stage::Stage;
use crate::chance::Chance;
use crate::guest::SOON;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// Uses a device of its own. Each boot checks the state that the last cut left, recovers, and is cut in turn.
pub(super) fn tell(
    report: &mut StoryReport,
    stage: &mut Stage<'_>,
    cuts: u32,
    seed: Option<u64>,
) -> Result<()> {
    report.step("second-paired", "another device is paired", |facts| {
        facts.add_seconds("boot", stage.machine.boot(Cable::In)?);
        configure(stage)?;
        enrol(stage)?;
        pair(stage).map(drop)
    })?;
    let (mut chance, seed) = Chance::from(seed)?;
    for cut in 1..=cuts {
        report.step(
            "cut-wipe",
            "the power fails during a wipe: the device serves no token, and completes the wipe",
            |facts| {
                facts.add("seed", seed);
                facts.add("cut", cut);
                in_a_wipe(stage, &mut chance, if cut % 2 == 0 { From::Counter } else { From::Order }, facts)
            },
        )?;
        report.step(
            "cut-pairing",
            "the power fails during a pairing: the pairing is complete or serves no token, and can be repeated",
            |facts| {
                facts.add("seed", seed);
                facts.add("cut", cut);
                in_a_pairing(stage, &mut chance, facts)
            },
        )?;
    }
    report.step("second-serves", "after all cuts a service gets its token", |facts| {
        facts.add("epoch", epoch(&stage.machine.status()?)?.0);
        stage.machine.wait_until_active("workload")?;
        stage.machine.expect_token()?;
        stage.machine.shut_down()
    })
}

fn in_a_pairing(stage: &mut Stage<'_>, chance: &mut Chance, facts: &mut Facts) -> Result<()> {
    let before = epoch(&stage.machine.status()?)?;
    stage.machine.start_script("pawlctl pair --timeout 80")?;
    cut(stage, chance.moment(stage.pairing_time), facts)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::In)?);

    let status = stage
        .machine
        .wait_until("the device has left the state pairing", |status| status.state != DeviceState::Pairing)?;
    facts.add("found", status.state.to_string());
    facts.add("epochs", vec![before.0, epoch(&status)?.0]);
    match status.state {
        // Cut after the last step: the pairing is complete and in the present epoch, and the control plane has it as live.
        DeviceState::Entitled | DeviceState::Lapsed => {
            let pairing = status.pairing.context("entitled without a pairing")?;
            ensure!(pairing.epoch >= before, "the pairing's epoch has ended: {}", pairing.epoch);
            let live = stage.shown()?.pointer("/pairing/id").cloned().context("no pairing")?;
            ensure!(live == serde_json::to_value(pairing.id)?, "the control plane's live pairing is {live}");
            stage.machine.wait_until_entitled().map(drop)
        }
        DeviceState::Unpaired | DeviceState::Revoked => {
            facts.add("refusal", stage.machine.expect_no_token()?);
            stage.machine.wait_until_inactive("workload")?;
            pair(stage).map(drop)
        }
        other => bail!("the device is {other}"),
    }
}

/// The event at which the delay of a cut starts.
#[derive(Clone, Copy)]
enum From {
    /// The operator gave the order. The device may not have received it.
    Order,
    /// The TPM has incremented the counter. The keys may still be on the disk, and there may be no receipt.
    Counter,
}

fn in_a_wipe(stage: &mut Stage<'_>, chance: &mut Chance, from: From, facts: &mut Facts) -> Result<()> {
    let before = epoch(&stage.machine.wait_until_entitled()?)?;
    let written = stage.machine.tpm_written()?;
    stage.rig.control_plane.revoke(&stage.device, "the power fails meanwhile")?;
    match from {
        From::Order => facts.add("from", "the order"),
        From::Counter => {
            wait::until("the TPM increments the counter", SOON, || {
                ensure!(stage.machine.tpm_written()? > written, "the TPM has written nothing");
                Ok(())
            })?;
            facts.add("from", "the counter");
        }
    }
    cut(stage, chance.moment(WIPE), facts)?;
    facts.add("receipt_was_sent", find_receipt(stage, before)?.is_some());
    facts.add_seconds("boot", stage.machine.boot(Cable::In)?);

    let status = stage.machine.status()?;
    facts.add("found", status.state.to_string());
    let counter = epoch(&status)?;
    facts.add("epochs", vec![before.0, counter.0]);
    if counter > before {
        facts.add("refusal", stage.machine.expect_no_token()?);
    }
    // If the device had not received the order before the cut, the broker has retained it.
    let status = stage.machine.wait_for(DeviceState::Revoked)?;
    ensure!(epoch(&status)?.0 == before.0 + 1, "the epoch went from {before} to {}", epoch(&status)?);
    stage.machine.expect_no_token()?;
    stage.machine.wait_until_inactive("workload")?;
    receipt_for(stage, before).map(drop)
}

/// The duration of a wipe on an emulated machine, from the order at the broker to the receipt at the control plane.
const WIPE: Duration = Duration::from_millis(400);

/// Cuts the power after `moment`.
fn cut(stage: &mut Stage<'_>, moment: Duration, facts: &mut Facts) -> Result<()> {
    thread::sleep(moment);
    stage.machine.cut_power()?;
    facts.add_seconds("cut_after", moment);
    Ok(())
}

fn epoch(status: &LocalStatus) -> Result<Epoch> {
    status.counter.context("the TPM has no counter")
}
