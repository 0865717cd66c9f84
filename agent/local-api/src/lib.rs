//! The messages on the daemon's local socket: JSON over HTTP, for workloads and for `pawlctl`.
//!
//! The crate defines what a caller sends and receives, and nothing else: `pawld` serves the calls, and the messages
//! between device and control plane are in `pawl_proto`. Start with the table; [`Problem`] is the body of every refusal.
//!
//! | call | who may | answer |
//! | --- | --- | --- |
//! | `GET /v1/status` | anyone who may open the socket | [`LocalStatus`] |
//! | `GET /v1/tokens/{name}[?method=M&url=U]` | the same | [`Token`]; 403 while the device is not entitled, or not to this token |
//! | `GET /v1/entitlement[?wait=true\|false]` | the same | [`EntitlementStatus`]; with `wait`, once the device is (`true`) or no longer is (`false`) entitled |
//! | `GET /v1/evidence?nonce=HEX` | root or the daemon's own user | [`EvidenceExport`]: a fresh quote and the logs |
//! | `POST /v1/pair` with [`PairRequest`] | root or the daemon's own user | 202; poll `GET /v1/session` from then on |
//! | `GET /v1/session` | the same | [`SessionStatus`] of the last pairing session; 404 before the first |
//! | `POST /v1/session/approval` with [`ApprovalRequest`] | the same | [`SessionStatus`] |
//! | `POST /v1/session/confirmation` with [`ConfirmationRequest`] | the same | [`SessionStatus`] |
//! | `DELETE /v1/session` | the same | 204; cancels a session that is not yet approved |
//! | `POST /v1/actions` with [`ActionRequest`] | anyone who may open the socket | [`ActionStatus`]: 200 with the assurance, 202 while it waits for approval |
//! | `GET /v1/actions/{session}` | who requested the action, or root | [`ActionStatus`] |
//! | `POST /v1/actions/{session}/approval`, `…/confirmation` | the same | [`ActionStatus`] |
//! | `GET /v1/records[?after=SEQUENCE]` | root or the daemon's own user | [`LocalRecords`], oldest first |
//! | `POST /v1/wipe` with [`WipeRequest`] | root or the daemon's own user | [`Wiped`] |
//! | `POST /v1/deprovision` | the same | [`Deprovisioned`] |
//! | `POST /v1/self-test` | the same | [`SelfTest`]: runs once in the daemon's life, then repeats that answer |
//! | `POST /v1/tpm-test` | the same | [`TpmReport`]: runs the mechanism on scratch objects of the TPM |
//!
//! Times are seconds since 1970 (`NumericDate` of RFC 7519).
#![forbid(unsafe_code)]

mod session;
mod status;

use std::fmt;

use pawl_proto::Epoch;
use pawl_proto::message::ShortText;
use pawl_proto::record::DeviceRecord;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

pub use session::{
    ActionRequest, ActionStatus, ApprovalRequest, Asked, ConfirmationRequest, PairRequest, SessionStage,
    SessionStatus, WaitingStatus,
};
pub use status::{BrokerStatus, LeaseStatus, LocalStatus, PairingStatus, TokenStatus, VerdictStatus};

/// The socket's default path.
pub const SOCKET: &str = "/run/pawl/pawld.sock";

/// [`Problem::error`] of every call while the daemon waits for the device's TPM.
pub const NO_TPM: &str = "no-tpm";

/// The body of every refusal: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs, kebab-case: `revoked`, `suspended`, `lease-expired`, `no-such-token` …
    pub error: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// The answer to `GET /v1/tokens/{name}`.
///
/// The token is bound to the device key (RFC 9449): a resource server also requires a proof. Ask with
/// `?method=GET&url=https://…` and the daemon adds one for that request.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// The access token.
    pub access_token: String,
    /// `DPoP`.
    pub token_type: String,
    /// When it expires.
    pub expires_at: u64,
    /// Its scopes.
    pub scope: String,
    /// The proof for the request that the query named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dpop: Option<String>,
}

impl fmt::Debug for Token {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expires_at, scope, .. } = self;
        f.debug_struct("Token").field("expires_at", expires_at).field("scope", scope).finish_non_exhaustive()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.dpop.zeroize();
    }
}

/// The answer to `GET /v1/entitlement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementStatus {
    /// Whether the device is entitled.
    pub entitled: bool,
}

/// The answer to `GET /v1/evidence`: what a verifier needs, byte strings in hexadecimal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceExport {
    /// `TPMS_ATTEST` of the quote.
    pub attest: String,
    /// `TPMT_SIGNATURE`.
    pub signature: String,
    /// The attestation key, PEM.
    pub ak_pem: String,
    /// The quoted PCRs, all of one bank: index and value.
    pub pcrs: std::collections::BTreeMap<u8, String>,
    /// The quote's extraData.
    pub nonce: String,
    /// The firmware's event log; none if the host has none or the daemon cannot read it.
    pub boot_log: Option<String>,
    /// systemd's measurement log; none as above.
    pub measure_log: Option<String>,
    /// The IMA log in ASCII; none as above.
    pub ima_log: Option<String>,
    /// Why a log is missing.
    pub notes: Vec<String>,
}

/// The answer to `GET /v1/records`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalRecords {
    /// The audit records that the daemon still keeps, oldest first: it drops the oldest above a size.
    pub records: Vec<LocalRecord>,
    /// Whether there are more after these.
    pub more: bool,
}

/// An audit record, in [`LocalRecords`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalRecord {
    /// The record.
    pub record: DeviceRecord,
    /// The digest of the record before it, hexadecimal.
    pub previous: String,
    /// Its own digest.
    pub digest: String,
}

/// The body of `POST /v1/wipe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WipeRequest {
    /// Why; the receipt quotes it.
    pub reason: ShortText,
}

/// The answer to `POST /v1/wipe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wiped {
    /// The epoch that ended.
    pub ended: Epoch,
    /// The counter's value now.
    pub epoch: Epoch,
}

/// The answer to `POST /v1/deprovision`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deprovisioned {
    /// The NV index of the epoch counter, which is free now.
    pub counter: u32,
    /// Whether there was a counter to remove.
    pub removed: bool,
}

/// The answer to `POST /v1/self-test`: whether a counter that is removed from the TPM and defined again starts above every
/// value that it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// The free NV index that the test used, and left free.
    pub index: u32,
    /// The highest value of the counter that the test removed.
    pub before: u64,
    /// The first value of the counter that it defined after that.
    pub after: u64,
    /// How often the test wrote to the TPM's NV memory.
    pub writes: u32,
}

/// The answer to `POST /v1/tpm-test`: whether this TPM does what Pawl needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TpmReport {
    /// The vendor's id in four characters (TCG Vendor ID Registry).
    pub manufacturer: String,
    /// The vendor's name for the model.
    pub model: String,
    /// The firmware's version: TPM_PT_FIRMWARE_VERSION_1 and 2 in hexadecimal.
    pub firmware: String,
    /// The revision of the TPM 2.0 Library specification, for example `1.59`.
    pub specification: String,
    /// The active PCR banks that Pawl knows.
    pub banks: Vec<String>,
    /// How many more counters the TPM can define, as it says; none if it does not say.
    pub counters_available: Option<u32>,
    /// At most so many milliseconds pass between two writes of the TPM's clock to NV memory, as it says. The clock can fall
    /// behind by as much when power fails.
    pub clock_update_ms: Option<u32>,
    /// How long the TPM may refuse a command that writes NV memory, milliseconds, as it says. Writes wear NV memory out.
    pub nv_write_recovery_ms: Option<u32>,
    /// The free NV index that the test used, and left free.
    pub index: u32,
    /// How often the test wrote to the TPM's NV memory.
    pub writes: u32,
    /// The checks, in their order.
    pub checks: Vec<TpmCheck>,
}

/// One check of a TPM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TpmCheck {
    /// Its name, for programs.
    pub check: String,
    /// What the TPM did.
    pub result: TpmCheckResult,
    /// What was seen.
    pub detail: String,
    /// What Pawl needs it for.
    pub needed_for: String,
    /// How long it took, microseconds.
    pub micros: u64,
}

/// The outcome of a [`TpmCheck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TpmCheckResult {
    /// The TPM does it.
    Ok,
    /// The TPM does not do it: the device is not supported.
    Failed,
    /// It could not be checked.
    Skipped,
}
