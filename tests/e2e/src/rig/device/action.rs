//! Protected actions, as a workload on the device asks for them.

use anyhow::Result;
use pawl_proto::SessionId;
use pawl_proto::local::{ActionRequest, ActionStatus, ApprovalRequest, ConfirmationRequest};

use super::Device;
use crate::rig::{Approver, Response};

impl Device {
    /// `POST /v1/actions`.
    ///
    /// # Errors
    /// When the daemon does not answer; a refusal is an answer.
    pub fn ask_for_action(&self, request: &ActionRequest) -> Result<Response> {
        self.api.post("/v1/actions", request)
    }

    /// `GET /v1/actions/{session}`.
    ///
    /// # Errors
    /// As for [`Device::ask_for_action`].
    pub fn action(&self, session: SessionId) -> Result<Response> {
        self.api.get(&format!("/v1/actions/{session}"))
    }

    /// Has `approver` sign what the action is, and hands it in at the device.
    ///
    /// # Errors
    /// When it cannot be signed, or the daemon does not answer.
    pub fn approve_action(&self, action: &ActionStatus, approver: &Approver) -> Result<Response> {
        let signature = approver.sign(Approver::NAMESPACE, action.asked.digest.as_bytes())?;
        self.hand_in_for_action(
            action.id,
            &ApprovalRequest { statement: action.asked.statement.clone(), signature },
        )
    }

    /// `POST /v1/actions/{session}/approval`.
    ///
    /// # Errors
    /// As for [`Device::ask_for_action`].
    pub fn hand_in_for_action(&self, session: SessionId, approval: &ApprovalRequest) -> Result<Response> {
        self.api.post(&format!("/v1/actions/{session}/approval"), approval)
    }

    /// `POST /v1/actions/{session}/confirmation`.
    ///
    /// # Errors
    /// As for [`Device::ask_for_action`].
    pub fn confirm_action(&self, session: SessionId, code: &str) -> Result<Response> {
        let request = ConfirmationRequest { code: code.to_owned() };
        self.api.post(&format!("/v1/actions/{session}/confirmation"), &request)
    }
}
