//! A workload requests a protected action and gets an assurance for it.

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device};
use pawl_evidence::assurance::{Approved, SigningInput};
use pawl_local_api::{ActionRequest, ActionStatus};
use pawl_proto::Digest;
use pawl_proto::message::ShortText;

use super::Stage;
use crate::teller::{Facts, Teller};

/// The action of the demo's policy.
pub(super) const ACTION: &str = "firmware-update";

pub(super) fn tell(teller: &mut Teller, rig: &Rig, stage: &Stage, alice: &Approver) -> Result<()> {
    let waiting = teller.step("action-asked", "a workload asks to write firmware", |facts| {
        let waiting = ask(&stage.device)?;
        facts.add("action", waiting.asked.action.clone());
        facts.add("origin", waiting.asked.origin.clone());
        facts.add("signed_by_approvers", waiting.asked.digest.clone());
        Ok(waiting)
    })?;
    teller.step(
        "assured",
        "Alice approves, the TPM signs once: anybody can check the assurance",
        |facts| {
            let status: ActionStatus = stage.device.approve_action(&waiting, alice)?.success()?.json()?;
            let assurance = status.assurance.context("there is no assurance")?;
            claims(&assurance, facts)?;
            let again = stage.device.approve_action(&waiting, alice)?;
            ensure!(again.status == 404, "the session still lives: {again}");
            Ok(())
        },
    )?;
    teller.step("records-checked", "every record is checked: approvals, quotes, leases, receipts", |facts| {
        let checked = rig.control_plane.operator(&["records", &stage.id, "--verify"])?;
        for name in ["records", "device_records", "pairings", "approvals", "assurances", "receipts", "quotes"]
        {
            facts.add(name, checked.get(name).cloned().unwrap_or_default());
        }
        Ok(())
    })
}

fn ask(device: &Device) -> Result<ActionStatus> {
    let request = ActionRequest {
        action: ShortText::lossy(ACTION),
        resource: ShortText::lossy("/dev/mtd0"),
        digest: Digest::of(b"firmware 9.1").to_string(),
        session: ShortText::lossy("update 17"),
        reason: ShortText::lossy("the pump stalls"),
    };
    let answer = device.ask_for_action(&request)?.success()?;
    ensure!(answer.status == 202, "nobody has to approve it: {answer}");
    answer.json()
}

/// What it says; a receiver verifies it before it reads it.
fn claims(assurance: &str, facts: &mut Facts) -> Result<()> {
    let (signed, _) = assurance.rsplit_once('.').context("not a JWS")?;
    let input = SigningInput::parse(signed)?;
    let claims = input.claims();
    facts.add("jws_bytes", assurance.len());
    facts.add("resource", claims.pawl.resource.clone());
    facts.add("epoch", claims.pawl.epoch);
    facts.add_as("valid_seconds", claims.exp - claims.iat, format!("{} s", claims.exp - claims.iat));
    let approved = &claims.pawl.approved;
    let by = match approved {
        Approved::Policy => "policy".to_owned(),
        Approved::Persons(persons) => persons
            .iter()
            .map(|person| format!("{}, {}", person.by, person.key))
            .collect::<Vec<_>>()
            .join("; "),
    };
    facts.add_as("approved", serde_json::to_value(approved)?, by);
    Ok(())
}
