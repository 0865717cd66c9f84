//! Approval sessions at the device: pairing again, and protected actions as a workload requests them.

use anyhow::{Context as _, Result, ensure};
use pawl_local_api::{
    ActionRequest, ActionStatus, ApprovalRequest, ConfirmationRequest, PairRequest, SessionStage,
    SessionStatus, WaitingStatus,
};
use pawl_proto::SessionId;
use pawl_proto::message::ShortText;

use super::super::{Approver, Response, wait};
use super::Device;

impl Device {
    /// Asks for a pairing in the place of the one that lives, if one does.
    ///
    /// # Errors
    /// When it is refused at once.
    pub fn re_pair(&self, reason: &str) -> Result<()> {
        let request = PairRequest { reason: ShortText::lossy(reason), again: true, ..PairRequest::default() };
        self.ask_to_pair(&request)
    }

    /// `POST /v1/pair`.
    ///
    /// # Errors
    /// When it is refused at once.
    pub fn ask_to_pair(&self, request: &PairRequest) -> Result<()> {
        self.api.post("/v1/pair", request)?.success().map(drop)
    }

    /// `GET /v1/session`.
    ///
    /// # Errors
    /// When there is none.
    pub fn session(&self) -> Result<SessionStatus> {
        self.api.get("/v1/session")?.success()?.json()
    }

    /// Waits until the session is as far as `stage`.
    ///
    /// # Errors
    /// When it does not get there; with how far it is.
    pub fn wait_for_stage(&self, stage: SessionStage) -> Result<SessionStatus> {
        wait::until(&format!("the session is {stage:?}"), wait::SOON, || {
            let session = self.session()?;
            ensure!(session.stage == stage, "the session is {}", serde_json::to_string_pretty(&session)?);
            Ok(session)
        })
    }

    /// Waits until the session waits for approval; returns what an approver needs.
    ///
    /// # Errors
    /// As for [`Device::wait_for_stage`].
    pub fn wait_for_approver(&self) -> Result<WaitingStatus> {
        self.wait_for_stage(SessionStage::Waiting)?.waiting.context("it waits for nobody")
    }

    /// Has `approver` sign what the session asks for, and hands it in at the device.
    ///
    /// # Errors
    /// When there is nothing to approve; a refusal is an answer.
    pub fn approve(&self, approver: &Approver) -> Result<Response> {
        self.hand_in(&self.approval_of(approver)?)
    }

    /// Returns the approval that `approver` signs for the session.
    ///
    /// # Errors
    /// When there is nothing to approve.
    pub fn approval_of(&self, approver: &Approver) -> Result<ApprovalRequest> {
        let asked = self.wait_for_stage(SessionStage::Waiting)?.asked.context("nothing is asked")?;
        let signature = approver.sign(Approver::NAMESPACE, asked.digest.as_bytes())?;
        Ok(ApprovalRequest { statement: asked.statement, signature })
    }

    /// `POST /v1/session/approval`.
    ///
    /// # Errors
    /// When the daemon does not answer; a refusal is an answer.
    pub fn hand_in(&self, approval: &ApprovalRequest) -> Result<Response> {
        self.api.post("/v1/session/approval", approval)
    }

    /// `POST /v1/session/confirmation`.
    ///
    /// # Errors
    /// When the daemon does not answer; a refusal is an answer.
    pub fn confirm(&self, code: &str) -> Result<Response> {
        self.api.post("/v1/session/confirmation", &ConfirmationRequest { code: code.to_owned() })
    }

    /// `DELETE /v1/session`.
    ///
    /// # Errors
    /// When the daemon does not answer; a refusal is an answer.
    pub fn give_up(&self) -> Result<Response> {
        self.api.delete("/v1/session")
    }

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
