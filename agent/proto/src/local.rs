//! The daemon's local HTTP API on a Unix socket: JSON, for workloads and for `pawlctl`.
//!
//! | call | who | answers |
//! | --- | --- | --- |
//! | `GET /v1/status` | whoever may open the socket | [`LocalStatus`] |
//! | `GET /v1/tokens/{name}[?method=M&url=U]` | the same | [`Token`]; 403 and a [`Problem`] while not entitled |
//! | `GET /v1/evidence?nonce=HEX` | root or the daemon's own user | [`EvidenceExport`]: a fresh quote and the logs |
//! | `POST /v1/pair` with [`PairRequest`] | root or the daemon's own user | 202, then `status` tells how it goes |
//! | `POST /v1/wipe` with [`WipeRequest`] | root or the daemon's own user | [`Wiped`] |
//!
//! Times are seconds since 1970 (`NumericDate` of RFC 7519).

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, Epoch, PairingId};
use crate::message::{Appraisal, DeviceState, Scope, ShortText, Standing};

/// The socket's path where no other is configured.
pub const SOCKET: &str = "/run/pawl/pawld.sock";

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalStatus {
    /// The daemon's version.
    pub version: String,
    /// The state.
    pub state: DeviceState,
    /// Why it is in that state, and what to do, where there is something to say.
    pub problem: Option<Problem>,
    /// The device's id.
    pub device: DeviceId,
    /// SHA-256 of the endorsement key's public area, hexadecimal: what an operator enrols.
    pub ek_sha256: String,
    /// Which endorsement key it is: `rsa-2048`, `ecc-p256` or `ecc-p384`.
    pub ek_kind: String,
    /// How many certificates for it the TPM's NV holds: its own, and what chain there is.
    pub ek_certificates: usize,
    /// The TPM counter's value.
    pub counter: Option<Epoch>,
    /// The pairing, also when it is over.
    pub pairing: Option<PairingStatus>,
    /// The last verdict.
    pub verdict: Option<VerdictStatus>,
    /// The lease, and what the TPM says of it.
    pub lease: Option<LeaseStatus>,
    /// The tokens in the vault, by name.
    pub tokens: Vec<TokenStatus>,
    /// The connection to the broker.
    pub broker: BrokerStatus,
    /// A receipt that nobody has taken yet waits on the disk.
    pub receipt_waiting: bool,
    /// How many messages were refused since the start, by kind.
    pub refused: std::collections::BTreeMap<String, u64>,
}

/// A pairing, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairingStatus {
    /// The pairing's id.
    pub id: PairingId,
    /// The epoch in which it lives.
    pub epoch: Epoch,
    /// What the control plane calls itself.
    pub control_plane: String,
    /// How the control plane checked the endorsement key.
    pub endorsement: String,
    /// The scopes that were granted.
    pub scopes: Vec<Scope>,
}

/// The last verdict, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictStatus {
    /// The judgement.
    pub result: Option<Appraisal>,
    /// The operator's decision.
    pub standing: Standing,
    /// Why.
    pub reasons: Vec<ShortText>,
    /// When the control plane judged.
    pub time: u64,
    /// When the next report is due.
    pub next_report: Option<u64>,
    /// The reports sent since the start.
    pub reports: u64,
}

/// The lease, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// When it runs out, by the wall clock; the TPM's clock decides.
    pub until: u64,
    /// The TPM's clock at which it runs out, milliseconds.
    pub clock: u64,
    /// How many more TPM resets it survives.
    pub resets_left: u32,
    /// Whether the TPM accepts it now.
    pub accepted: bool,
    /// The TPM's own error when it does not.
    pub tpm_error: Option<String>,
}

/// A token, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// The name that the configuration gives it.
    pub name: String,
    /// The scopes that it is asked for.
    pub scopes: Vec<String>,
    /// When it expires; none while there is none.
    pub expires_at: Option<u64>,
    /// Why there is none.
    pub error: Option<String>,
}

/// The broker's side, in [`LocalStatus`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// Whether the connection stands.
    pub connected: bool,
    /// Where it goes, `host:port`.
    pub address: Option<String>,
    /// Why it does not stand.
    pub error: Option<String>,
}

/// `GET /v1/tokens/{name}`.
///
/// The token is bound to the device key (RFC 9449): a receiver wants a proof beside it. Ask with
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
    /// The proof for the request that was named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dpop: Option<String>,
}

impl Drop for Token {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.access_token.zeroize();
        self.dpop.zeroize();
    }
}

/// `GET /v1/evidence`: what a verifier needs, byte strings in hexadecimal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceExport {
    /// `TPMS_ATTEST` of the quote.
    pub attest: String,
    /// `TPMT_SIGNATURE`.
    pub signature: String,
    /// The attestation key, PEM.
    pub ak_pem: String,
    /// The quoted PCRs of the sha256 bank: index and value.
    pub pcrs: std::collections::BTreeMap<u8, String>,
    /// The quote's extraData.
    pub nonce: String,
    /// The firmware's event log; none where the host has none or it cannot be read.
    pub boot_log: Option<String>,
    /// The IMA log in ASCII; none as above.
    pub ima_log: Option<String>,
    /// Why a log is missing.
    pub notes: Vec<String>,
}

/// `POST /v1/pair`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// Why.
    #[serde(default)]
    pub reason: ShortText,
    /// The scopes that are wanted; those of the configuration where none is named.
    #[serde(default)]
    pub scopes: Vec<Scope>,
}

/// `POST /v1/wipe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WipeRequest {
    /// Why; it goes into the receipt.
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

/// Every refusal of the API: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs, kebab-case: `revoked`, `suspended`, `lease-expired`, `no-such-token` …
    pub error: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}
