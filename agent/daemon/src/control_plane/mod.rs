//! HTTPS to the control plane: pairing, receipts and tokens.

mod sessions;
mod token;

use std::time::Duration;

use pawl_config::ControlPlane as Settings;
use pawl_proto::BaseUrl;
use pawl_proto::codec::{self, DecodeError, EncodeError};
use pawl_proto::limits;
use pawl_proto::message::{PairingRefusal, RefusalCode};
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::WallClock;
use crate::tls::{self, TlsError};

pub(crate) use token::{TokenError, proof};

/// The control plane: its URL, and a client that trusts only the configured CA.
#[derive(Clone)]
pub(crate) struct ControlPlane {
    client: Client,
    url: BaseUrl,
}

/// Limit of one call. The control plane ends a call after 60 s with an error. A device that ended it earlier would not know the
/// outcome of the call.
const TIMEOUT: Duration = Duration::from_secs(75);
const CBOR: &str = "application/cbor";

impl ControlPlane {
    /// Returns a client for the configured control plane.
    ///
    /// # Errors
    /// If the configured CA cannot be read.
    pub(crate) fn new(settings: &Settings, clock: &WallClock) -> Result<Self, TlsError> {
        let tls = tls::control_plane(&settings.ca, clock)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Calls are rare: an idle connection would only time out.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| TlsError::Authority {
                path: settings.ca.display().to_string(),
                error: error.to_string(),
            })?;
        Ok(Self { client, url: settings.url.clone() })
    }

    /// `POST /v1/receipts` with an encoded receipt. Returns the signed event that ended the epoch; none if the answer has none. A
    /// truncated answer also counts as one without an event: the control plane has the receipt.
    pub(crate) async fn deliver_receipt(&self, receipt: Vec<u8>) -> Result<Option<Vec<u8>>, CallError> {
        let response = self.post("/v1/receipts", receipt).await?;
        match response.status() {
            StatusCode::OK => Ok(body(response, limits::ORDER).await.ok()),
            status if status.is_success() => Ok(None),
            _ => Err(refusal(response).await),
        }
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Response, CallError> {
        let request = self.client.post(self.url.join(path)).header("content-type", CBOR).body(body);
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        let (url, cause) = (self.url.to_string(), innermost(error));
        if tls::is_not_yet_valid(error) {
            return CallError::Clock { url, error: cause };
        }
        CallError::Unreachable { url, error: cause }
    }
}

async fn read<T: Serialize + DeserializeOwned>(response: Response) -> Result<T, CallError> {
    Ok(codec::decode(&body(response, limits::MESSAGE).await?, limits::MESSAGE)?)
}

/// Reads a body of at most `limit` bytes. Does not rely on its headers.
async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| CallError::Interrupted(innermost(&error)))?
    {
        if body.len() + chunk.len() > limit {
            return Err(CallError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn refusal(response: Response) -> CallError {
    let status = response.status();
    match read::<PairingRefusal>(response).await {
        Ok(refusal) => CallError::refused(status.as_u16(), refusal),
        Err(_) => CallError::Status(status.as_u16()),
    }
}

/// Returns the last cause of an error: reqwest's own text is only "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns whether a call that got this HTTP status may succeed later.
fn is_transient(status: u16) -> bool {
    // 408: the control plane took too long. 429: too many calls.
    matches!(status, 408 | 429 | 500..)
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{url} cannot be reached: {error}")]
    Unreachable { url: String, error: String },
    #[error(
        "the certificate of {url} is not yet valid at this device's time: the clock is behind, and the device has not \
         received a verdict with a later time ({error})"
    )]
    Clock { url: String, error: String },
    #[error("the control plane's answer was cut short: {0}")]
    Interrupted(String),
    #[error("the control plane's answer is too long")]
    TooLong,
    #[error("the control plane's answer: {0}")]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("{message}")]
    Refused { code: RefusalCode, message: String },
    #[error("the control plane answered with HTTP status {0}")]
    Status(u16),
}

impl CallError {
    /// Returns the error of a call that was refused with this HTTP status.
    fn refused(status: u16, refusal: PairingRefusal) -> Self {
        if !refusal.code.is_known() && is_transient(status) {
            // The code is of a newer control plane: only the status has a meaning here.
            return Self::Status(status);
        }
        Self::Refused { code: refusal.code, message: refusal.message.to_string() }
    }

    /// Returns whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Clock { .. } | Self::Interrupted(_) => true,
            Self::Refused { code, .. } => *code == RefusalCode::Busy,
            Self::Status(status) => is_transient(*status),
            Self::TooLong | Self::Malformed(_) | Self::Encode(_) => false,
        }
    }

    /// Returns whether the control plane rejected the approval or confirmation, and the session continues.
    pub(crate) fn is_rejected_input(&self) -> bool {
        use RefusalCode::{ApprovalRefused, Malformed, NoApprovers};
        matches!(self, Self::Refused { code: ApprovalRefused | NoApprovers | Malformed, .. })
    }

    /// Returns the remedy for the technician.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Clock { .. } => {
                "set the clock and keep it synchronized: timedatectl set-ntp true; if the time is lost at power off, replace the RTC battery"
            }
            Self::Unreachable { .. } | Self::Interrupted(_) => {
                "check the network, the address and the CA with: pawlctl check"
            }
            Self::Refused { code, .. } => match code {
                RefusalCode::NotEnrolled => "have the operator enrol this device, then run: pawlctl re-pair",
                RefusalCode::EndorsementKey => {
                    "have the operator check the TPM, and the TPM vendors' CAs that the control plane trusts"
                }
                RefusalCode::WentBackwards => {
                    "this TPM's state is older than one that the control plane has seen: replace a virtual TPM that was \
                     restored from a snapshot; report any other TPM to the operator"
                }
                RefusalCode::Posture => "boot an approved state, or ask the operator to accept this one",
                RefusalCode::Suspended => "ask the operator to resume this device",
                RefusalCode::ApprovalRequired => "run at the device: pawlctl re-pair",
                RefusalCode::NoApprovers => {
                    "have the operator configure who may approve, then run: pawlctl re-pair"
                }
                RefusalCode::PostureChanged => {
                    "what the device runs has changed since the approval: run pawlctl re-pair, and have its present state \
                     approved"
                }
                _ => "run: pawlctl re-pair; if it fails again, show the operator this message",
            },
            _ => "show the operator of the control plane this message",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_status_decides_whether_an_unknown_refusal_is_transient() {
        let refusal = |status| {
            let code = "quota".parse::<pawl_proto::open::Word>().unwrap().into();
            let message = pawl_proto::Text::lossy("too many devices");
            CallError::refused(status, PairingRefusal { version: Default::default(), code, message })
        };
        assert!(refusal(503).is_transient());
        let permanent = refusal(403);
        assert!(!permanent.is_transient());
        assert_eq!(permanent.to_string(), "too many devices");
        assert!(permanent.remedy().contains("show the operator this message"));
    }

    #[test]
    fn calls_that_the_control_plane_could_not_complete_are_transient() {
        for status in [408, 429, 500, 503] {
            assert!(CallError::Status(status).is_transient(), "{status}");
        }
        for status in [400, 403, 404, 413] {
            assert!(!CallError::Status(status).is_transient(), "{status}");
        }
    }
}
