//! The operator suspends the device: nothing is destroyed, and nothing works.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::{TokenAnswer, wait};
use pawl_proto::message::DeviceState;

use super::Stage;
use crate::teller::Teller;

pub(super) fn tell(teller: &mut Teller, rig: &Rig, stage: &Stage) -> Result<()> {
    teller.step("suspended", "the operator suspends it: the daemon refuses at once", |facts| {
        rig.control_plane.suspend(&stage.id, "seen outside its site")?;
        let ordered = Instant::now();
        let problem = wait::until("the token is refused", wait::SOON, || match stage.device.token()? {
            TokenAnswer::Refused { status: 403, problem } if problem.error == "suspended" => Ok(problem),
            TokenAnswer::Refused { status, problem } => anyhow::bail!("HTTP {status} {}", problem.error),
            TokenAnswer::Granted(_) => anyhow::bail!("it still gives the token"),
        })?;
        facts.add_as("refused_after", ms(ordered), format!("{:.1} ms", ms(ordered)));
        facts.add("http_status", 403);
        facts.add("error", problem.error);
        facts.add("reason", problem.reason);
        Ok(())
    })?;
    teller.step("lease-over", "its lease runs out: now the TPM itself refuses", |facts| {
        let status = stage.device.wait_until("the TPM refuses the lease", |status| {
            status.lease.as_ref().is_some_and(|lease| !lease.accepted)
        })?;
        let error = status.lease.and_then(|lease| lease.tpm_error).context("the TPM gave no error")?;
        ensure!(status.state == DeviceState::Lapsed, "the state is {}", status.state);
        facts.add("state", status.state.to_string());
        facts.add("tpm_error", error);
        Ok(())
    })?;
    teller.step("resumed", "the operator resumes it: it works again", |facts| {
        rig.control_plane.resume(&stage.id)?;
        let ordered = Instant::now();
        let status = stage.device.wait_until_entitled()?;
        facts.add_as("works_after", ms(ordered), format!("{:.1} ms", ms(ordered)));
        facts.add("state", status.state.to_string());
        Ok(())
    })
}

fn ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}
