//! The operator's side of re-pairing: orders, sessions, and approvals that are given elsewhere.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::ControlPlane;
use crate::rig::Approver;

impl ControlPlane {
    /// Orders a device to pair anew.
    ///
    /// # Errors
    /// As for [`ControlPlane::operator`]; so for all of the following.
    pub fn repair(&self, device: &str, reason: &str) -> Result<Value> {
        self.operator(&["repair", device, "--reason", reason])
    }

    /// The sessions that it knows, the open ones and those that are over.
    ///
    /// # Errors
    /// As above.
    pub fn sessions(&self) -> Result<Value> {
        self.operator(&["sessions"])
    }

    /// Says no to a session.
    ///
    /// # Errors
    /// As above.
    pub fn decline(&self, session: &str, reason: &str) -> Result<Value> {
        self.operator(&["decline", session, "--reason", reason])
    }

    /// Has a person who is not at the device approve what shows this code; what they are told.
    ///
    /// # Errors
    /// As above.
    pub fn approve(&self, code: &str, approver: &Approver) -> Result<Value> {
        let key = approver.key().display().to_string();
        self.operator(&["approve", "--code", code, "--sign-with", &key, "--yes"])
    }

    /// The same; the confirmation that the device then wants.
    ///
    /// # Errors
    /// As above, and when there is none.
    pub fn approve_for_confirmation(&self, code: &str, approver: &Approver) -> Result<String> {
        let told = self.approve(code, approver)?;
        let confirmation = told.get("confirmation").and_then(Value::as_str);
        confirmation.map(str::to_owned).with_context(|| format!("no confirmation in {told:#}"))
    }
}
