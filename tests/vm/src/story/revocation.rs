//! The operator revokes the device, and an attacker restores its old disk.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::rig::{MeasureLog, OldKeys, StateCopy, Swtpm, wait};
use pawl_proto::Epoch;
use pawl_proto::message::DeviceState;
use serde_json::Value;

use super::stage::{self, Stage};
use crate::guest::SOON;
use crate::image::Disk;
use crate::machine::Cable;
use crate::report::{Facts, StoryReport};

/// The state of the device while it was entitled.
struct Before {
    epoch: Epoch,
    disk: Disk,
    /// systemd's log of its measurements in that boot; empty if it keeps none.
    measured: Vec<u8>,
}

/// The directories of copies of the TPM's state, and the copied logs.
const TPM_BEFORE: &str = "tpm-before";
const TPM_AFTER: &str = "tpm-after";
const BOOT_LOG: &str = "boot-log";
const MEASURE_LOG: &str = "measure-log";

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    let before = report.step("copied", "an attacker copies the disk", |facts| copy(stage, facts))?;
    report.step(
        "revoked",
        "the operator revokes the device: units bound to its entitlement stop",
        |facts| revoke(stage, &before, facts),
    )?;
    report.step("receipt", "the control plane verifies the TPM's receipt", |facts| {
        let receipt = receipt_for(stage, before.epoch)?;
        for name in ["ended", "epoch", "cause", "reason", "verified"] {
            facts.add(name, receipt.get(name).cloned().unwrap_or_default());
        }
        Ok(())
    })?;
    report.step("old-keys", "the TPM refuses the keys on the copied disk", |facts| {
        old_keys(stage, &before, facts)
    })?;
    report.step("old-disk", "with the copied disk the device serves no token", |facts| {
        old_disk(stage, before, facts)
    })
}

fn copy(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<Before> {
    let status = stage.machine.wait_until_entitled()?;
    let epoch = status.counter.context("no counter")?;
    let disk = stage.machine.copy_disk(&stage.place.join("disk-before"))?;
    copy_tpm(stage, TPM_BEFORE)?;
    let log = stage.read_file("/sys/kernel/security/tpm0/binary_bios_measurements")?;
    facts.add("boot_log_bytes", log.len());
    fs::write(stage.place.join(BOOT_LOG), log)?;
    let measured = if stage.system.release().logs_userspace() {
        stage.read_file(stage::MEASURE_LOG)?
    } else {
        Vec::new()
    };
    facts.add("measure_log_bytes", measured.len());
    facts.add("epoch", epoch.0);
    Ok(Before { epoch, disk, measured })
}

fn revoke(stage: &mut Stage<'_>, before: &Before, facts: &mut Facts) -> Result<()> {
    stage.machine.wait_until_active("workload")?;
    stage.rig.control_plane.revoke(&stage.device, "reported stolen")?;
    let status = stage.machine.wait_for(DeviceState::Revoked)?;
    let after = status.counter.context("no counter")?;
    ensure!(after.0 == before.epoch.0 + 1, "the epoch went from {} to {after}", before.epoch);
    facts.add("epochs", vec![before.epoch.0, after.0]);
    stage.machine.wait_until_inactive("pawl-entitled")?;
    stage.machine.wait_until_inactive("workload")?;
    facts.add("refusal", stage.machine.expect_no_token()?);
    Ok(())
}

/// Waits for the receipt for this epoch.
pub(super) fn receipt_for(stage: &Stage<'_>, ended: Epoch) -> Result<Value> {
    let receipt = wait::until("the control plane has the receipt", SOON, || {
        find_receipt(stage, ended)?.context("no receipt yet")
    })?;
    ensure!(receipt.get("verified") == Some(&Value::Bool(true)), "the receipt is not verified: {receipt}");
    Ok(receipt)
}

/// Returns the receipt for this epoch, if the control plane has it.
pub(super) fn find_receipt(stage: &Stage<'_>, ended: Epoch) -> Result<Option<Value>> {
    let receipts = stage.shown()?.get("receipts").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_epoch = |receipt: &Value| receipt.get("ended").and_then(Value::as_u64) == Some(ended.0);
    Ok(receipts.into_iter().find(of_epoch))
}

/// Tries the copied keys without the daemon on two copies of the TPM, from before and after the revocation. Both get the same
/// boot measurements.
fn old_keys(stage: &mut Stage<'_>, before: &Before, facts: &mut Facts) -> Result<()> {
    stage.machine.switch_off()?;
    copy_tpm(stage, TPM_AFTER)?;
    let state = stage.place.join("state-before");
    before.disk.extract("/var/lib/pawl", &state)?;
    let keys = OldKeys::read(&StateCopy::at(state.join("pawl")))?;
    for (name, answer) in try_on(stage, &keys, before, TPM_BEFORE)? {
        answer.with_context(|| format!("before the revocation, the TPM did not use the {name}"))?;
    }
    for (name, answer) in try_on(stage, &keys, before, TPM_AFTER)? {
        let refusal = answer.err().with_context(|| format!("the TPM still uses the {name}"))?;
        ensure!(
            refusal.response_code().is_some(),
            "the {name} failed before the TPM could refuse it: {refusal}"
        );
        facts.add(name, refusal.to_string());
    }
    Ok(())
}

type Answers = Vec<(&'static str, Result<(), pawl_tpm::Error>)>;

/// Tries the keys on a TPM with the measurements of the firmware and of systemd: the lease names PCRs that both extend.
fn try_on(stage: &Stage<'_>, keys: &OldKeys, before: &Before, tpm: &str) -> Result<Answers> {
    let (state, log) = (stage.place.join(tpm), stage.place.join(BOOT_LOG));
    let tpm = Swtpm::start(stage.rig.directory(), tpm, state, Some(log))?;
    MeasureLog::create(stage.place.join(MEASURE_LOG))?.measure_records(&tpm, &before.measured)?;
    keys.try_all(&tpm.tcti())
}

fn old_disk(stage: &mut Stage<'_>, before: Before, facts: &mut Facts) -> Result<()> {
    stage.machine.replace_disk(before.disk)?;
    facts.add_seconds("boot", stage.machine.boot(Cable::In)?);
    let status = stage.machine.wait_for(DeviceState::Revoked)?;
    facts.add("reason", status.problem.map(|problem| problem.reason));
    facts.add("refusal", stage.machine.expect_no_token()?);
    stage.machine.wait_until_inactive("workload")
}

fn copy_tpm(stage: &Stage<'_>, name: &str) -> Result<()> {
    let (state, to) = (stage.machine.tpm_state(), stage.place.join(name));
    fs::create_dir_all(&to)?;
    let file = to.join(state.file_name().context("a file without a name")?);
    fs::copy(&state, file).map(drop).context("copy the TPM's state")
}
