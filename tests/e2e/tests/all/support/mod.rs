//! Fixtures that several tests share beside the rig, and what the control plane and the device say of reports and sessions.

mod device_records;
mod impostor;
mod mqtt;
mod receiver;
mod token_request;
mod tools;

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, Response, TokenAnswer, wait};
use pawl_local_api::{LocalStatus, SessionStage, SessionStatus};
use pawl_proto::message::{GivenApproval, SshSignature, StatementBytes, TrustTier};
use serde_json::Value;

pub(crate) use device_records::Records;
pub(crate) use impostor::{Impostor, Wire};
pub(crate) use mqtt::Client;
pub(crate) use receiver::{Receiver, assured, update};
pub(crate) use token_request::TokenRequest;
pub(crate) use tools::{SmallDisk, Tpm2Tools, exportable_key};

/// The error that a request for the token is refused with.
pub(crate) fn refusal(device: &Device) -> String {
    match device.token().unwrap() {
        TokenAnswer::Refused { status: 403, problem } => problem.error,
        TokenAnswer::Refused { status, problem } => panic!("HTTP {status}: {}", problem.reason),
        TokenAnswer::Granted(_) => panic!("the token was given"),
    }
}

/// Has the device report; the device with the verdict on that report.
pub(crate) fn judged_anew(rig: &Rig, device: &Device) -> LocalStatus {
    let id = device.status().unwrap().device.to_string();
    let shown = || rig.control_plane.show(&id).map(|shown| shown["verdict"].clone());
    let before = shown().unwrap()["sequence"].as_u64();
    rig.control_plane.refresh(&id).unwrap();
    wait::until("the device is judged anew", wait::SOON, || {
        let (now, status) = (shown()?, device.status()?);
        ensure!(now["sequence"].as_u64() > before, "the control plane has not judged: {now}");
        let heard = serde_json::to_value(&status.verdict)?;
        for name in ["result", "time", "reasons"] {
            ensure!(!now[name].is_null() && heard[name] == now[name], "the device has {heard} for {now}");
        }
        Ok(status)
    })
    .unwrap()
}

/// The same, for as many reports as it takes to come to this result.
pub(crate) fn judged(rig: &Rig, device: &Device, result: TrustTier) -> LocalStatus {
    let mut verdicts = Vec::new();
    for _ in 0..10 {
        let status = judged_anew(rig, device);
        if status.verdict.as_ref().and_then(|verdict| verdict.result) == Some(result) {
            return status;
        }
        verdicts.push(status.verdict);
    }
    panic!("never {result}: {verdicts:?}")
}

/// Has a person approve what waits at the device, there; the device with its new pairing.
pub(crate) fn approve_here(device: &Device, approver: &Approver) -> LocalStatus {
    device.approve(approver).unwrap().success().unwrap();
    newly_paired(device)
}

/// Waits until the approved session is a pairing.
pub(crate) fn newly_paired(device: &Device) -> LocalStatus {
    device.wait_for_stage(SessionStage::Done).unwrap();
    device.wait_until_entitled().unwrap()
}

/// What an approver makes of a statement.
pub(crate) fn approval_of(approver: &Approver, statement: StatementBytes) -> GivenApproval {
    let signature = approver.sign(Approver::NAMESPACE, statement.to_be_signed().as_bytes()).unwrap();
    GivenApproval { statement, signature: SshSignature::new(signature.into_bytes()).unwrap() }
}

/// The message for the person at the device about an approval or a confirmation that did not count.
pub(crate) fn turned_away(answer: Response) -> String {
    let session: SessionStatus = answer.success().unwrap().json().unwrap();
    assert_eq!(session.stage, SessionStage::Waiting, "the session goes on: {session:?}");
    session.waiting.unwrap().refused.expect("it counted")
}

/// A session as the operator sees it.
pub(crate) fn seen_by_operator(rig: &Rig, session: &str) -> Value {
    let sessions = rig.control_plane.sessions().unwrap();
    let found = sessions.as_array().unwrap().iter().find(|seen| seen["id"] == session);
    found.unwrap_or_else(|| panic!("no session {session} in {sessions:#}")).clone()
}

/// The bindings that failed in a session, in turn, as the operator sees them.
pub(crate) fn failed_bindings(rig: &Rig, session: &str) -> Vec<String> {
    let seen = seen_by_operator(rig, session);
    let refusals = seen["refusals"].as_array().unwrap();
    refusals.iter().map(|refused| refused["binding"].as_str().unwrap().to_owned()).collect()
}

/// The id of the session that a device is in.
pub(crate) fn session_id(device: &Device) -> String {
    device.session().unwrap().id.expect("the session has no id yet").to_string()
}
