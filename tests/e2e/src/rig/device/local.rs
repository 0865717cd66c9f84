//! Calls of a device's local API.

use std::time::Duration;

use anyhow::{Result, ensure};
use pawl_local_api::{LocalStatus, PairRequest, Problem, Token, WipeRequest, Wiped};
use pawl_proto::message::{DeviceState, ShortText};

use super::Device;
use crate::rig::wait;

impl Device {
    /// `GET /v1/status`.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> Result<LocalStatus> {
        self.api.get("/v1/status")?.success()?.json()
    }

    /// `GET /v1/tokens/telemetry`.
    ///
    /// # Errors
    /// When the daemon does not answer; a refusal is an answer.
    pub fn token(&self) -> Result<TokenAnswer> {
        self.token_named("telemetry")
    }

    /// `GET /v1/tokens/{name}`.
    ///
    /// # Errors
    /// As for [`Device::token`].
    pub fn token_named(&self, name: &str) -> Result<TokenAnswer> {
        let response = self.api.get(&format!("/v1/tokens/{name}"))?;
        match response.status {
            200 => Ok(TokenAnswer::Granted(response.json()?)),
            status => Ok(TokenAnswer::Refused { status, problem: response.json()? }),
        }
    }

    /// `POST /v1/pair`.
    ///
    /// # Errors
    /// When it is refused at once.
    pub fn pair(&self) -> Result<()> {
        let request = PairRequest { reason: ShortText::lossy("the rig asks"), ..PairRequest::default() };
        self.api.post("/v1/pair", &request)?.success().map(drop)
    }

    /// `POST /v1/wipe`.
    ///
    /// # Errors
    /// When it is refused.
    pub fn wipe(&self, reason: &str) -> Result<Wiped> {
        self.api.post("/v1/wipe", &WipeRequest { reason: ShortText::lossy(reason) })?.success()?.json()
    }

    /// Waits for a state.
    ///
    /// # Errors
    /// When it does not come; with the state that there is.
    pub fn wait_for(&self, state: DeviceState) -> Result<LocalStatus> {
        self.wait_until(&format!("the device is {state}"), |status| status.state == state)
    }

    /// Waits until the device is entitled and holds its token.
    ///
    /// # Errors
    /// As for [`Device::wait_for`].
    pub fn wait_until_entitled(&self) -> Result<LocalStatus> {
        self.wait_until("the device is entitled and holds its token", |status| {
            status.state == DeviceState::Entitled
                && status.tokens.iter().all(|token| token.expires_at.is_some())
        })
    }

    /// Waits until the status is as wanted.
    ///
    /// # Errors
    /// When it does not come; with the status that there is.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&LocalStatus) -> bool) -> Result<LocalStatus> {
        self.wait_longer_until(what, wait::SOON, wanted)
    }

    /// The same, with a limit of its own.
    ///
    /// # Errors
    /// As for [`Device::wait_until`].
    pub fn wait_longer_until(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&LocalStatus) -> bool,
    ) -> Result<LocalStatus> {
        wait::until(what, limit, || {
            let status = self.status()?;
            ensure!(wanted(&status), "the status is {}", serde_json::to_string_pretty(&status)?);
            Ok(status)
        })
    }
}

/// The answer to a request for the token.
pub enum TokenAnswer {
    /// It was given.
    Granted(Token),
    /// It was not.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        problem: Problem,
    },
}
