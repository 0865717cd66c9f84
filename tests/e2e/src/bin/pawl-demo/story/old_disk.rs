//! Somebody puts back the disk from before the revocation.

use anyhow::{Context as _, Result, anyhow, ensure};
use pawl_e2e::rig::{OldKeys, TokenAnswer};
use pawl_proto::message::DeviceState;

use super::Stage;
use super::revocation::Revoked;
use crate::teller::{Facts, Teller};

pub(super) fn tell(teller: &mut Teller, stage: &mut Stage, revoked: &Revoked) -> Result<()> {
    teller.step("old-disk", "the old disk is put back, and its keys are tried on the TPM", |facts| {
        stage.device.stop()?;
        stage.device.restore_disk(&revoked.old_disk)?;
        tpm_refuses(stage, revoked, facts)
    })?;
    teller.step("old-disk-started", "the daemon starts from the old disk", |facts| {
        stage.device.start()?;
        let status = stage.device.wait_for(DeviceState::Revoked)?;
        facts.add("state", status.state.to_string());
        match stage.device.token()? {
            TokenAnswer::Refused { status, problem } => {
                ensure!(status == 403 && problem.error == "revoked", "HTTP {status} {}", problem.error);
                facts.add("http_status", status);
                facts.add("error", problem.error);
                facts.add("reason", problem.reason);
                Ok(())
            }
            TokenAnswer::Granted(_) => Err(anyhow!("the old disk's token was given")),
        }
    })
}

fn tpm_refuses(stage: &Stage, revoked: &Revoked, facts: &mut Facts) -> Result<()> {
    let keys = OldKeys::read(&revoked.old_disk)?;
    for (name, answer) in keys.try_all(&stage.device.tpm.tcti())? {
        let refusal = answer.err().with_context(|| format!("the TPM still uses the {name}"))?;
        ensure!(refusal.response_code().is_some(), "the TPM was not asked about the {name}: {refusal}");
        facts.add(name, refusal.to_string());
    }
    Ok(())
}
