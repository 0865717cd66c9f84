//! The daemon's local HTTP API on a Unix socket: JSON, for workloads and for `pawlctl`.
//!
//! | call | who | answers |
//! | --- | --- | --- |
//! | `GET /v1/status` | whoever may open the socket | [`LocalStatus`] |
//! | `GET /v1/tokens/{name}[?method=M&url=U]` | the same | [`Token`]; 403 and a [`Problem`] while the device is not entitled, or not to this token |
//! | `GET /v1/entitlement[?wait=true\|false]` | the same | [`EntitlementStatus`]; with `wait`, once the device is entitled or no longer is |
//! | `GET /v1/evidence?nonce=HEX` | root or the daemon's own user | [`EvidenceExport`]: a fresh quote and the logs |
//! | `POST /v1/pair` with [`PairRequest`] | root or the daemon's own user | 202, then [`SessionStatus`] tells how it goes |
//! | `GET /v1/session` | the same | [`SessionStatus`] of the session that was begun last; 404 before there is one |
//! | `POST /v1/session/approval` with [`ApprovalRequest`] | the same | [`SessionStatus`] |
//! | `POST /v1/session/confirmation` with [`ConfirmationRequest`] | the same | [`SessionStatus`] |
//! | `DELETE /v1/session` | the same | gives up a session that is not approved: 204 |
//! | `POST /v1/actions` with [`ActionRequest`] | whoever may open the socket | [`ActionStatus`]: 200 with the assurance, 202 while it waits |
//! | `GET /v1/actions/{session}` | who asked for it, or root | [`ActionStatus`] |
//! | `POST /v1/actions/{session}/approval`, `…/confirmation` | the same | [`ActionStatus`] |
//! | `GET /v1/records[?after=SEQUENCE]` | root or the daemon's own user | [`LocalRecords`], oldest first |
//! | `POST /v1/wipe` with [`WipeRequest`] | root or the daemon's own user | [`Wiped`] |
//! | `POST /v1/deprovision` | the same | [`Deprovisioned`] |
//! | `POST /v1/self-test` | the same | [`SelfTest`]: once in the daemon's life, then the same answer |
//!
//! Times are seconds since 1970 (`NumericDate` of RFC 7519).

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, Epoch, PairingId, SessionId};
use crate::message::{
    Access, Area, Audience, DeviceState, Finding, Known, Scope, ShortText, Standing, TrustTier,
};
use crate::open::open_enum;
use crate::record::DeviceRecord;

/// The socket's path where no other is configured.
pub const SOCKET: &str = "/run/pawl/pawld.sock";

/// [`Problem::error`] of every call while the daemon waits for the device's TPM.
pub const NO_TPM: &str = "no-tpm";

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalStatus {
    /// The daemon's version.
    pub version: String,
    /// The state.
    pub state: DeviceState,
    /// Why it is in that state, and what to do, where there is something to say.
    pub problem: Option<Problem>,
    /// Why the TPM does not answer. What only the TPM knows is empty then.
    #[serde(default)]
    pub tpm: Option<Problem>,
    /// The device's id.
    pub device: DeviceId,
    /// SHA-256 of the endorsement key's public area, hexadecimal: what an operator enrols.
    pub ek_sha256: String,
    /// Which endorsement key it is: `rsa-2048`, `ecc-p256` or `ecc-p384`.
    pub ek_kind: String,
    /// How many certificates for it the TPM's NV holds: its own, and what chain there is.
    pub ek_certificates: u32,
    /// Whether the owner alone may read its own: OWNERREAD without AUTHREAD.
    #[serde(default)]
    pub ek_certificate_needs_owner: bool,
    /// The TPM's active PCR banks, of those that are known, as tpm2-tools name them.
    pub pcr_banks: Vec<String>,
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
    /// What the daemon found at its start: whether this TPM and this disk were paired before.
    pub finding: Finding,
    /// The device that the pairing on this disk was made with, where it is another: a candidate for
    /// [`PairRequest::replaces`]. What the disk says; unproven.
    #[serde(default)]
    pub former: Option<DeviceId>,
    /// The session that was begun last, until the daemon stops or a pairing has come of it.
    pub session: Option<SessionStatus>,
    /// How many messages were refused since the start, by kind.
    pub refused: std::collections::BTreeMap<String, u64>,
    /// The earliest that it can be now: the time in the last signed verdict, and what has passed since. Where the wall
    /// clock is behind it, this is the time. None before the first verdict.
    #[serde(default)]
    pub time_floor: Option<u64>,
    /// Why the daemon cannot open systemd's measurement log; none where it can, and where there is none.
    #[serde(default)]
    pub measure_log_problem: Option<String>,
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
    /// The scopes that the operator grants now; of a pairing that is over, those of its beginning.
    pub scopes: Vec<Scope>,
    /// The audiences that the operator grants now.
    #[serde(default)]
    pub audiences: Vec<Audience>,
}

/// The last verdict, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictStatus {
    /// The judgement.
    pub result: Option<TrustTier>,
    /// The judgement on each area.
    #[serde(default)]
    pub areas: std::collections::BTreeMap<Area, TrustTier>,
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
    /// How many leases are kept for boot states that are approved and still to come.
    #[serde(default)]
    pub ahead: u32,
}

/// A token, in [`LocalStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// The name that the configuration gives it.
    pub name: String,
    /// The scopes that it is asked for.
    pub scopes: Vec<String>,
    /// The audience that the configuration names.
    #[serde(default)]
    pub audience: Option<String>,
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

impl std::fmt::Debug for Token {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { expires_at, scope, .. } = self;
        f.debug_struct("Token").field("expires_at", expires_at).field("scope", scope).finish_non_exhaustive()
    }
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
    /// The quoted PCRs, all of one bank: index and value.
    pub pcrs: std::collections::BTreeMap<u8, String>,
    /// The quote's extraData.
    pub nonce: String,
    /// The firmware's event log; none where the host has none or it cannot be read.
    pub boot_log: Option<String>,
    /// systemd's measurement log; none as above.
    pub measure_log: Option<String>,
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
    /// The device whose place this one takes.
    #[serde(default)]
    pub replaces: Option<DeviceId>,
    /// Also where a pairing lives, which then ends with the approval.
    #[serde(default)]
    pub again: bool,
    /// How the caller came to the device, as far as they know; the daemon adds who they are.
    #[serde(default)]
    pub origin: ShortText,
}

/// `GET /v1/session`: a session for a pairing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its id; none until the control plane has given one.
    pub id: Option<SessionId>,
    /// How far it is.
    pub stage: SessionStage,
    /// What is asked for, once the control plane has said so.
    pub asked: Option<Asked>,
    /// What an approver needs, while one is waited for.
    pub waiting: Option<WaitingStatus>,
    /// Why it came to nothing.
    pub problem: Option<Problem>,
}

open_enum! {
    /// How far a session is.
    pub enum SessionStage {
        /// The control plane is asked, and the TPM proves itself. Nothing has changed yet.
        Opening = "opening",
        /// Somebody has to approve. Nothing has changed yet.
        Waiting = "waiting",
        /// It was approved: the old pairing ends.
        Ending = "ending",
        /// The old pairing is over, and the new one is made.
        Pairing = "pairing",
        /// The new pairing is there.
        Done = "done",
        /// It came to nothing.
        Failed = "failed",
    }
}

/// What a session asks for, for people and for an approver's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The statement, encoded, in hexadecimal: SHA-256 of it is what is signed.
    pub statement: String,
    /// That digest.
    pub digest: String,
    /// `pair`, `re-pair` or an action's name.
    pub action: String,
    /// From where.
    pub origin: String,
    /// Why.
    pub reason: String,
    /// The scopes that are asked for.
    pub scopes: Vec<Scope>,
    /// The audiences that are asked for, beside the control plane's own URL.
    #[serde(default)]
    pub audiences: Vec<Audience>,
    /// What the operator granted when the session was opened; none for an action.
    #[serde(default)]
    pub granted: Option<Access>,
    /// The device whose place this one takes.
    pub replaces: Option<DeviceId>,
    /// How the control plane checked the endorsement key; none for an action.
    pub endorsement: Option<String>,
    /// What would end, as far as the control plane knows.
    pub known: Known,
}

/// What an approver needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitingStatus {
    /// The code for an approver elsewhere.
    pub user_code: String,
    /// The page that tells them how.
    pub url: String,
    /// How many persons must approve.
    pub needed: u8,
    /// Who has.
    pub approved: Vec<String>,
    /// Approvals from elsewhere that wait for their confirmation here.
    pub unconfirmed: u8,
    /// How many more times something wrong may be given.
    pub tries_left: u8,
    /// When the session is over, Unix seconds.
    pub expires: u64,
    /// Why the last approval or confirmation did not count.
    pub refused: Option<String>,
}

/// `POST /v1/session/approval` and `POST /v1/actions/{session}/approval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The statement that was signed for, in hexadecimal.
    pub statement: String,
    /// The signature, as `ssh-keygen -Y sign -n pawl-approval@v1` writes it.
    pub signature: String,
}

/// `POST /v1/session/confirmation` and `POST /v1/actions/{session}/confirmation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmationRequest {
    /// What the approver was shown.
    pub code: String,
}

/// `POST /v1/actions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// The action's name, which a policy of the control plane has.
    pub action: ShortText,
    /// On what it acts.
    pub resource: ShortText,
    /// SHA-256 of what it acts with, 64 hexadecimal digits.
    pub digest: String,
    /// The workload's own session: the assurance counts in no other.
    pub session: ShortText,
    /// Why, for an approver.
    #[serde(default)]
    pub reason: ShortText,
}

/// How an action stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionStatus {
    /// The session in which it may be let.
    pub id: SessionId,
    /// What is asked for.
    pub asked: Asked,
    /// What an approver needs, while one is waited for.
    pub waiting: Option<WaitingStatus>,
    /// The assurance, a compact JWS (RFC 7515): there once, for who asked.
    pub assurance: Option<String>,
    /// Why there will be none.
    pub problem: Option<Problem>,
}

/// `GET /v1/records`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalRecords {
    /// The records, oldest first; those that the bound on their size left.
    pub records: Vec<LocalRecord>,
    /// There are more after these.
    pub more: bool,
}

/// A record, in [`LocalRecords`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalRecord {
    /// The record.
    pub record: DeviceRecord,
    /// The digest of the record before it, hexadecimal.
    pub previous: String,
    /// Its own.
    pub digest: String,
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

/// The answer to `POST /v1/deprovision`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deprovisioned {
    /// The NV index that holds nothing of Pawl any more.
    pub counter: u32,
    /// Whether there was a counter to remove.
    pub removed: bool,
}

/// The answer to `POST /v1/self-test`: whether a counter that is removed from the TPM and defined anew starts above every
/// value that it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// The free NV index that the test used, and left free.
    pub index: u32,
    /// The highest value of the counter that was removed.
    pub before: u64,
    /// The first value of the one that was defined after it.
    pub after: u64,
    /// How often the test wrote to the TPM's NV memory.
    pub writes: u32,
}

/// `GET /v1/entitlement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementStatus {
    /// Whether the device is entitled.
    pub entitled: bool,
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
