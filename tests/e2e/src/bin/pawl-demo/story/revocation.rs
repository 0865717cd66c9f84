//! The operator revokes the device: its epoch ends.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, StateCopy, TokenAnswer, wait};
use pawl_proto::Epoch;
use pawl_proto::message::DeviceState;
use serde_json::Value;

use super::Stage;
use crate::teller::{Facts, Teller};

/// What is left of the epoch that ended.
pub(super) struct Revoked {
    pub(super) ended: Epoch,
    /// The disk as it was while the device was entitled.
    pub(super) old_disk: StateCopy,
}

pub(super) fn tell(teller: &mut Teller, rig: &Rig, stage: &Stage) -> Result<Revoked> {
    let old_disk = teller.step("disk-copied", "somebody copies its disk", |facts| {
        let to = rig.directory().path().join("old-disk");
        facts.add("to", to.display().to_string());
        stage.device.copy_disk(&to)
    })?;
    let ended = teller.step("revoked", "the operator revokes it", |facts| revoke(rig, stage, facts))?;
    teller.step("receipt", "the TPM's receipt is verified", |facts| receipt(rig, stage, ended, facts))?;
    Ok(Revoked { ended, old_disk })
}

fn revoke(rig: &Rig, stage: &Stage, facts: &mut Facts) -> Result<Epoch> {
    let before = stage.device.status()?.counter.context("no counter")?;
    let (ordered, dead_at) = thread::scope(|scope| {
        let order = scope.spawn(|| rig.control_plane.revoke(&stage.id, "reported stolen"));
        let dead_at = first_refusal(&stage.device);
        (order.join().map_err(|_| anyhow!("the revoking thread panicked")), dead_at)
    });
    let (ordered, dead_at) = (ordered??, dead_at?);
    let published = ordered.get("published_at_ms").and_then(Value::as_u64).context("it was not published")?;
    let status = stage.device.wait_for(DeviceState::Revoked)?;
    let after = status.counter.context("no counter")?;
    ensure!(after.0 == before.0 + 1, "the epoch went from {before} to {after}");

    let milliseconds = dead_at.saturating_sub(published);
    facts.add_as(
        "publish_to_dead_ms",
        milliseconds,
        format!("{milliseconds} ms until a workload is refused"),
    );
    if let Some(microseconds) = time_on_device(&stage.device)? {
        let text = format!(
            "{}.{} ms until the TPM's counter has moved",
            microseconds / 1000,
            microseconds / 100 % 10
        );
        facts.add_as("event_to_counter_us", microseconds, text);
    }
    facts.add_as("epochs", vec![before.0, after.0], format!("{before} -> {after}"));
    let problem = status.problem.context("no reason is given")?;
    facts.add("reason", problem.reason);
    Ok(before)
}

/// Asks for the token as fast as the daemon answers; the time at which it is refused, in
/// milliseconds since 1970.
fn first_refusal(device: &Device) -> Result<u64> {
    // A pause that lets the daemon hear the broker as well.
    let pause = Duration::from_micros(200);
    let start = SystemTime::now();
    loop {
        if let TokenAnswer::Refused { status: 403, .. } = device.token()? {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            return Ok(u64::try_from(now.as_millis())?);
        }
        ensure!(start.elapsed()? < wait::SOON, "the token is still given");
        thread::sleep(pause);
    }
}

/// What the daemon measured itself and logged.
fn time_on_device(device: &Device) -> Result<Option<u64>> {
    let log = device.log()?;
    let digits = log
        .rsplit_once("to_dead_us=")
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    Ok(digits.and_then(|digits| digits.parse().ok()))
}

fn receipt(rig: &Rig, stage: &Stage, ended: Epoch, facts: &mut Facts) -> Result<()> {
    let receipt = wait::until("the control plane has the receipt", wait::SOON, || {
        let shown = rig.control_plane.show(&stage.id)?;
        let receipts = shown.get("receipts").and_then(Value::as_array).cloned().unwrap_or_default();
        receipts
            .into_iter()
            .find(|receipt| receipt.get("ended").and_then(Value::as_u64) == Some(ended.0))
            .context("no receipt yet")
    })?;
    ensure!(receipt.get("verified") == Some(&Value::Bool(true)), "the receipt does not verify: {receipt}");
    let taken = |name| receipt.get(name).and_then(Value::as_u64);
    if let (Some(received), Some(published)) = (taken("received_at_ms"), published_at(rig, stage)?) {
        let milliseconds = received.saturating_sub(published);
        facts.add_as("publish_to_receipt_ms", milliseconds, format!("{milliseconds} ms"));
    }
    for name in ["ended", "epoch", "cause", "reason", "verified"] {
        facts.add(name, receipt.get(name).cloned().unwrap_or_default());
    }
    Ok(())
}

/// When the order was handed to the broker, in milliseconds since 1970.
fn published_at(rig: &Rig, stage: &Stage) -> Result<Option<u64>> {
    let shown = rig.control_plane.show(&stage.id)?;
    let events = shown.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
    let revoke = events.iter().find(|event| event.get("kind").and_then(Value::as_str) == Some("revoke"));
    Ok(revoke.and_then(|event| event.get("published_at_ms")).and_then(Value::as_u64))
}
