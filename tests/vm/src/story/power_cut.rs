//! The power fails at random moments: while the device is paired, and while it wipes.

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

/// On a device of its own. Each boot serves one cut: the next boot looks what is left, mends it, and is cut in turn.
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
            "the power fails in a wipe: no token is served, and it is finished",
            |facts| {
                facts.add("seed", seed);
                facts.add("cut", cut);
                in_a_wipe(stage, &mut chance, if cut % 2 == 0 { From::Counter } else { From::Order }, facts)
            },
        )?;
        report.step(
            "cut-pairing",
            "the power fails in a pairing: nothing of it is served, and it pairs",
            |facts| {
                facts.add("seed", seed);
                facts.add("cut", cut);
                in_a_pairing(stage, &mut chance, facts)
            },
        )?;
    }
    report.step("second-serves", "after all of it a service gets its token", |facts| {
        facts.add("epoch", epoch(&stage.machine.status()?)?.0);
        stage.machine.wait_until_active("workload")?;
        stage.machine.be_given_the_token()?;
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
        .wait_until("the device knows how it stands", |status| status.state != DeviceState::Pairing)?;
    facts.add("found", status.state.to_string());
    facts.add("epochs", vec![before.0, epoch(&status)?.0]);
    match status.state {
        // Cut after the last step: whole, in the epoch of now, and the control plane says so, too.
        DeviceState::Entitled | DeviceState::Lapsed => {
            let pairing = status.pairing.context("entitled without a pairing")?;
            ensure!(pairing.epoch >= before, "the pairing lives in an epoch that is over: {}", pairing.epoch);
            let live = stage.shown()?.pointer("/pairing/id").cloned().context("no pairing")?;
            ensure!(live == serde_json::to_value(pairing.id)?, "the control plane knows {live}");
            stage.machine.wait_until_entitled().map(drop)
        }
        DeviceState::Unpaired | DeviceState::Revoked => {
            facts.add("refusal", stage.machine.be_refused_the_token()?);
            stage.machine.wait_until_inactive("workload")?;
            pair(stage).map(drop)
        }
        other => bail!("the device is {other}"),
    }
}

/// From when on the moments of the cuts are counted.
#[derive(Clone, Copy)]
enum From {
    /// The order was given. It may not have come to the device.
    Order,
    /// The TPM has counted. The keys are still on the disk, and the receipt is to be made.
    Counter,
}

fn in_a_wipe(stage: &mut Stage<'_>, chance: &mut Chance, from: From, facts: &mut Facts) -> Result<()> {
    let before = epoch(&stage.machine.wait_until_entitled()?)?;
    let written = stage.machine.tpm_written()?;
    stage.rig.control_plane.revoke(&stage.device, "the power fails meanwhile")?;
    match from {
        From::Order => facts.add("from", "the order"),
        From::Counter => {
            wait::until("the TPM counts", SOON, || {
                ensure!(stage.machine.tpm_written()? > written, "it has written nothing");
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
        facts.add("refusal", stage.machine.be_refused_the_token()?);
    }
    // Where the order had not been heard, the broker has kept it.
    let status = stage.machine.wait_for(DeviceState::Revoked)?;
    ensure!(epoch(&status)?.0 == before.0 + 1, "the epoch went from {before} to {}", epoch(&status)?);
    stage.machine.be_refused_the_token()?;
    stage.machine.wait_until_inactive("workload")?;
    receipt_for(stage, before).map(drop)
}

/// What a wipe takes on an emulated machine, from the order at the broker to the receipt at the control plane.
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
