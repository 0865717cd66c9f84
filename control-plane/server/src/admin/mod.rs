//! The operator's side: JSON over HTTP on a Unix socket that its owner alone may open.

mod client;
mod entitlements;
mod error;
mod incidents;
mod policies;
mod records;
mod routes;
mod server;
mod sessions;
mod updates;
pub mod view;

pub use client::{Client, ClientError};
pub use entitlements::EntitleRequest;
pub use error::AdminError;
pub use routes::router;
pub use server::{AdminServeError, run};
pub use sessions::{ApproveRequest, CodeRequest};
pub use updates::PreApproveRequest;

use pawl_proto::Digest;
use serde::{Deserialize, Serialize};

/// `POST /v1/devices`
#[derive(Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// SHA-256 of endorsement keys, hexadecimal.
    pub ek_sha256: Vec<String>,
    /// What the operator calls them.
    pub label: Option<String>,
    /// They may pair without a TPM vendor's certificate.
    #[serde(default)]
    pub without_certificate: bool,
    /// The scopes that they are granted, beside those that they have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The audiences, the same.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// The body of orders on the boot state that a device last reported.
#[derive(Debug, Serialize, Deserialize)]
pub struct StateRequest {
    /// The digest of the state that the operator has looked at.
    pub state: Digest,
}

/// `POST /v1/devices/{device}/settle`
#[derive(Debug, Serialize, Deserialize)]
pub struct SettleRequest {
    /// The digest of the incidents that the operator has looked at.
    pub incidents: Digest,
    /// What came of it.
    pub reason: String,
}

/// `POST /v1/devices/{device}/resume`
#[derive(Debug, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// The number of the suspension that the operator has looked at.
    pub suspension: u64,
}

/// The body of orders that want a reason.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReasonRequest {
    /// Why.
    pub reason: String,
}
