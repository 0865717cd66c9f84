//! Commands of the operator: policies, orders, sessions, and approvals from elsewhere.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::super::{Approver, wait};
use super::ControlPlane;

/// The text that the server logs after each attempt to read the policies again, whether it succeeded or not.
const TRIED: &str = "the policies";

impl ControlPlane {
    /// Writes the policy of a device, or `default`, and has the server read it. Does not check that the server accepted
    /// it.
    ///
    /// # Errors
    /// When the server does not run, or does not try.
    pub fn set_policy(&self, name: &str, policy: &str) -> Result<()> {
        let file = self.policy_file(name)?;
        fs::write(&file, policy).with_context(|| format!("write {}", file.display()))?;
        let tries = || Ok::<_, anyhow::Error>(self.log()?.matches(TRIED).count());
        let before = tries()?;
        self.reload()?;
        wait::until("the policies are read again", wait::SOON, || {
            ensure!(tries()? > before, "the server's log has no new line about reading the policies");
            Ok(())
        })
    }

    /// Asks the server to read policies and vendors' certificates again, and does not wait for it.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn reload(&self) -> Result<()> {
        self.process.as_ref().context("the control plane does not run")?.signal(Signal::SIGHUP)
    }

    /// The file of a policy; its directory is there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn policy_file(&self, name: &str) -> Result<PathBuf> {
        let directory = self.config.with_file_name("policy");
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(directory.join(name).with_extension("toml"))
    }

    /// The policy that a device's present boot satisfies.
    ///
    /// # Errors
    /// As for [`ControlPlane::operator`].
    pub fn learn_policy(&self, device: &str) -> Result<String> {
        let learnt = self.operator(&["policy", "learn", device])?;
        learnt.get("policy").and_then(Value::as_str).map(str::to_owned).context("no policy in the answer")
    }

    /// Orders a new pairing of a device (`repair`).
    ///
    /// # Errors
    /// As for [`ControlPlane::operator`]; so for all of the following.
    pub fn repair(&self, device: &str, reason: &str) -> Result<Value> {
        self.operator(&["repair", device, "--reason", reason, "--yes"])
    }

    /// The sessions that it knows, the open ones and those that are over.
    ///
    /// # Errors
    /// As above.
    pub fn sessions(&self) -> Result<Value> {
        self.operator(&["sessions"])
    }

    /// Declines a session.
    ///
    /// # Errors
    /// As above.
    pub fn decline(&self, session: &str, reason: &str) -> Result<Value> {
        self.operator(&["decline", session, "--reason", reason])
    }

    /// Has a person elsewhere approve the session with this code, and returns the output of the command.
    ///
    /// # Errors
    /// As above.
    pub fn approve(&self, code: &str, approver: &Approver) -> Result<Value> {
        let key = approver.key().display().to_string();
        self.operator(&["approve", "--code", code, "--sign-with", &key, "--yes"])
    }

    /// The same; returns the confirmation code to type at the device.
    ///
    /// # Errors
    /// As above, and when there is none.
    pub fn approve_for_confirmation(&self, code: &str, approver: &Approver) -> Result<String> {
        let told = self.approve(code, approver)?;
        let confirmation = told.get("confirmation").and_then(Value::as_str);
        confirmation.map(str::to_owned).with_context(|| format!("no confirmation in {told:#}"))
    }
}
