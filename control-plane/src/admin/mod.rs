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

/// The body of orders that want a reason.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReasonRequest {
    /// Why.
    pub reason: String,
}
