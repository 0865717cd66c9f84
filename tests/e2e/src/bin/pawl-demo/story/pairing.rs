//! A device pairs, is found in order, and works.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::TokenAnswer;
use pawl_local_api::{LocalStatus, PairingStatus};
use pawl_proto::message::TrustTier;

use super::Stage;
use crate::teller::{Facts, Teller};

pub(super) fn tell(teller: &mut Teller, rig: &Rig) -> Result<Stage> {
    let stage = teller.step("manufactured", "a device: swtpm, and pawld on it", |facts| {
        let stage = Stage::set(rig)?;
        let status = stage.device.status()?;
        facts.add("device", stage.id.clone());
        facts.add("endorsement_key", status.ek_kind);
        facts.add("ek_sha256", status.ek_sha256);
        facts.add("state", status.state.to_string());
        Ok(stage)
    })?;
    let status = teller.step("paired", "the operator enrols it, it pairs", |facts| {
        rig.control_plane.enrol(&stage.device.status()?.ek_sha256, "the demo's device")?;
        pair(&stage, facts)
    })?;
    teller.step("affirming", "its posture is what was approved", |facts| {
        posture(rig, &stage, &status, facts)
    })?;
    teller.step("leased", "its TPM uses the keys until the lease runs out", |facts| lease(&stage, facts))?;
    teller.step("token", "a token for its workloads is cached", |facts| token(&stage, facts))?;
    Ok(stage)
}

fn pair(stage: &Stage, facts: &mut Facts) -> Result<LocalStatus> {
    stage.device.pair()?;
    let status = stage.device.wait_until_entitled()?;
    let pairing = pairing_of(&status)?;
    facts.add("pairing", pairing.id.to_string());
    facts.add("epoch", pairing.epoch.0);
    facts.add("control_plane", pairing.control_plane.clone());
    facts.add("endorsement", pairing.endorsement.clone());
    facts.add("scopes", pairing.scopes.iter().map(|scope| scope.as_str().to_owned()).collect::<Vec<_>>());
    Ok(status)
}

fn posture(rig: &Rig, stage: &Stage, status: &LocalStatus, facts: &mut Facts) -> Result<()> {
    let verdict = status.verdict.as_ref().context("no verdict")?;
    let result = verdict.result.context("a verdict without a judgement")?;
    ensure!(result == TrustTier::Affirming, "the verdict is {result}: {:?}", verdict.reasons);
    facts.add("verdict", result.to_string());
    facts.add("reasons", verdict.reasons.iter().map(|reason| reason.as_str().to_owned()).collect::<Vec<_>>());
    let shown = rig.control_plane.show(&stage.id)?;
    for (name, pointer) in [("report_bytes", "/last_report/bytes"), ("kernel", "/host/kernel")] {
        if let Some(value) = shown.pointer(pointer) {
            facts.add(name, value.clone());
        }
    }
    Ok(())
}

fn lease(stage: &Stage, facts: &mut Facts) -> Result<()> {
    let lease = stage.device.status()?.lease.context("no lease")?;
    ensure!(lease.accepted, "the TPM does not accept it: {:?}", lease.tpm_error);
    facts.add_as("until", lease.until, in_seconds(lease.until));
    facts.add_as("until_tpm_clock", lease.clock, format!("{} ms", lease.clock));
    facts.add("resets_left", lease.resets_left);
    facts.add_as("tpm_accepts", true, "yes");
    Ok(())
}

pub(super) fn token(stage: &Stage, facts: &mut Facts) -> Result<()> {
    match stage.device.token()? {
        TokenAnswer::Granted(token) => {
            facts.add("token", "telemetry");
            facts.add_as("token_expires", token.expires_at, in_seconds(token.expires_at));
            facts.add("token_type", token.token_type.clone());
            Ok(())
        }
        TokenAnswer::Refused { status, problem } => anyhow::bail!("HTTP {status}: {}", problem.reason),
    }
}

pub(super) fn pairing_of(status: &LocalStatus) -> Result<&PairingStatus> {
    status.pairing.as_ref().context("no pairing")
}

fn in_seconds(time: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("in {} s", time.saturating_sub(now))
}
