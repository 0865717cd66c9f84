//! Sessions from both ends: the device's and the operator's.

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, Response};
use pawl_proto::local::{LocalStatus, SessionStage, SessionStatus};
use pawl_proto::message::{GivenApproval, SshSignature, StatementBytes};
use serde_json::Value;

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

/// What whoever stands at the device is told of an approval or a confirmation that did not count.
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
