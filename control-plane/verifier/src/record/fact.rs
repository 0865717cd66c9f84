use pawl_proto::DeviceId;
use pawl_proto::message::Access;
use pawl_proto::record::UnknownFact;
use serde::{Deserialize, Deserializer, Serialize};

use super::{ApprovedBy, Attested, ChainHead, LeaseSigned, RecordFinding, TpmTime};
use crate::boot_state::BootState;
use crate::incident::IncidentKind;
use crate::session::Binding;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The device.
    pub device: DeviceId,
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// Unix time of the control plane, seconds.
    pub time: u64,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What is recorded. Byte strings stand as hexadecimal, for people and for JSON.
///
/// A field that a record of an earlier version may lack is optional, and stays so: a record is never
/// written again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "kind", content = "detail", rename_all = "kebab-case")]
pub enum Fact {
    /// An operator enrolled the device.
    Enrolled {
        /// SHA-256 of its endorsement key.
        ek_sha256: String,
        /// What the operator calls it.
        label: Option<String>,
        /// Whether it may pair without a TPM vendor's certificate.
        without_certificate: Option<bool>,
    },
    /// An operator let an enrolled device pair without a TPM vendor's certificate, or no longer.
    CertificateRequirement {
        /// Whether a certificate is required from now on.
        required: bool,
    },
    /// A pairing was granted.
    Paired {
        /// The pairing.
        pairing: String,
        /// Its epoch.
        epoch: u64,
        /// How the endorsement key was checked.
        endorsement: String,
        /// The scopes that were asked for and that the operator granted.
        scopes: Vec<String>,
        /// The audiences, the same.
        audiences: Option<Vec<String>>,
        /// The name of the attestation key.
        attestation_key: String,
        /// Why a pairing was wanted.
        reason: String,
        /// The name of the epoch counter, written.
        counter: Option<String>,
        /// The policyRef of its leases.
        policy_ref: Option<String>,
        /// The name of the lease key.
        lease_key: Option<String>,
    },
    /// A pairing, or an action, was refused.
    Refused {
        /// For programs.
        code: String,
        /// What the technician was told.
        message: String,
        /// The session, where there was one.
        session: Option<String>,
        /// The action that was refused; none for a pairing.
        action: Option<String>,
    },
    /// A report was judged.
    Verdict {
        /// The verdict's number.
        sequence: u64,
        /// The judgement.
        result: String,
        /// Why.
        reasons: Vec<String>,
        /// SHA-256 of the evidence.
        evidence: String,
        /// The quote that covers it, `TPMS_ATTEST`.
        quote: String,
        /// Its `TPMT_SIGNATURE`.
        signature: String,
        /// The TPM's time when it quoted.
        at: Option<TpmTime>,
        /// Which program judged.
        by: Option<String>,
        /// SHA-256 of the policy by which it judged; none if known states were compared.
        policy: Option<String>,
        /// How far the device's own records were known then, by this evidence.
        records: Option<ChainHead>,
    },
    /// A lease was signed.
    Lease {
        /// In the verdict of this number.
        sequence: u64,
        /// For this epoch.
        epoch: u64,
        /// For this many resets of the TPM at most.
        reset_count: u32,
        /// Below this clock of the TPM, milliseconds.
        clock: u64,
        /// SHA-256 over the values of its PCRs.
        pcr_digest: String,
        /// What was signed.
        signed: Option<LeaseSigned>,
        /// The name of the boot state that was approved ahead, if it is for one.
        ahead: Option<String>,
    },
    /// What the operator grants the device was changed.
    Granted {
        /// The scopes from now on.
        scopes: Vec<String>,
        /// The audiences from now on; where there is none, the control plane's own URL.
        audiences: Vec<String>,
        /// The device that it inherits this from, by taking its place.
        from: Option<String>,
    },
    /// An operator suspended the device.
    Suspended {
        /// Why.
        reason: String,
    },
    /// An operator let it work again.
    Resumed {},
    /// A boot state was accepted: the first one with the first pairing, others by an operator.
    Accepted {
        /// The PCRs, as `index=value`.
        pcrs: Vec<String>,
        /// Who.
        by: String,
    },
    /// An operator ordered the end of the epoch.
    RevokeOrdered {
        /// The event.
        event: String,
        /// `revoke` or `repair`.
        order: String,
        /// The epoch that ends.
        epoch: u64,
        /// Why.
        reason: String,
    },
    /// The TPM's proof that an epoch ended.
    Receipt {
        /// The epoch that ended.
        ended: u64,
        /// The counter's value.
        epoch: u64,
        /// The event that was carried out.
        event: Option<String>,
        /// What began it.
        cause: String,
        /// Why.
        reason: String,
        /// SHA-256 of the receipt.
        receipt: String,
        /// The TPM's word: it covers the receipt, and certifies the counter.
        attested: Option<Attested>,
        /// The TPM's time when it certified.
        at: Option<TpmTime>,
    },
    /// An access token was issued.
    Token {
        /// The token's id.
        jti: String,
        /// For whom.
        audience: String,
        /// Its scopes.
        scope: String,
        /// Until when.
        expires: u64,
    },
    /// A session was approved.
    Approved {
        /// The session.
        session: String,
        /// `pair`, `re-pair`, or an action's name.
        action: String,
        /// From where it was asked, as the device tells.
        origin: String,
        /// The statement, encoded: what was approved. Persons sign its SHA-256.
        statement: String,
        /// By whom; nobody where the operator's policy wants nobody.
        by: Vec<ApprovedBy>,
    },
    /// A session was opened: its device has proven itself, and asks.
    SessionOpened {
        /// The session.
        session: String,
        /// `pair`, `re-pair`, or an action's name.
        action: String,
        /// From where it was asked, as the device tells.
        origin: String,
        /// Why, as the device tells.
        reason: String,
        /// SHA-256 of the statement.
        statement: String,
        /// How many persons must approve.
        needed: u8,
    },
    /// Something that was to approve a session does not count.
    ApprovalRefused {
        /// The session.
        session: String,
        /// Which of the things that an approval is bound to failed.
        binding: Binding,
        /// In words.
        detail: String,
        /// The fingerprint of the key that signed, as far as it was verified.
        key: Option<String>,
    },
    /// A session failed or was refused.
    SessionOver {
        /// The session.
        session: String,
        /// `declined`, `expired` or `superseded`.
        how: String,
        /// Why.
        reason: String,
    },
    /// Another device took the place of this one.
    Replaced {
        /// Which.
        by: String,
        /// The session in which that was approved.
        session: String,
    },
    /// A protected action was authorized: the TPM may sign this one assurance.
    Assurance {
        /// The session in which it was approved.
        session: String,
        /// The pairing.
        pairing: String,
        /// Its epoch.
        epoch: u64,
        /// The action.
        action: String,
        /// On what it acts.
        resource: String,
        /// SHA-256 of what it acts with.
        subject: String,
        /// The workload's own session.
        context: String,
        /// From where it was asked, as the device tells.
        origin: String,
        /// SHA-256 of the statement that was approved.
        statement: String,
        /// SHA-256 of the JWS signing input: what the TPM signs.
        digest: String,
        /// Until when the assurance counts, Unix seconds.
        expires: u64,
    },
    /// A receiver used an assurance up.
    AssuranceUsed {
        /// The session in which it was made.
        session: String,
        /// The action.
        action: String,
        /// On what it acts.
        resource: String,
    },
    /// A sign of a clone or a rollback was seen for the first time.
    Incident {
        /// What.
        incident: IncidentKind,
        /// The other device that it is about.
        other: Option<String>,
        /// In words.
        detail: String,
    },
    /// An operator has dealt with what was seen.
    IncidentsSettled {
        /// How.
        reason: String,
        /// How many there were.
        incidents: u64,
    },
    /// Something is wrong, or new, with the device's own records.
    DeviceRecords {
        /// What.
        finding: RecordFinding,
        /// The pairing in which it was found.
        pairing: String,
        /// How far they were known.
        known: Option<ChainHead>,
        /// How far the device shows them now.
        shown: Option<ChainHead>,
        /// In words.
        detail: String,
    },
    /// A fact of a newer version of the control plane.
    #[serde(untagged, deserialize_with = "Self::unknown")]
    Unknown(UnknownFact),
}

pawl_proto::fact_kinds! {
    Fact {
        Enrolled = "enrolled",
        CertificateRequirement = "certificate-requirement",
        Paired = "paired",
        Refused = "refused",
        Verdict = "verdict",
        Lease = "lease",
        Granted = "granted",
        Suspended = "suspended",
        Resumed = "resumed",
        Accepted = "accepted",
        RevokeOrdered = "revoke-ordered",
        Receipt = "receipt",
        Token = "token",
        Approved = "approved",
        SessionOpened = "session-opened",
        ApprovalRefused = "approval-refused",
        SessionOver = "session-over",
        Replaced = "replaced",
        Assurance = "assurance",
        AssuranceUsed = "assurance-used",
        Incident = "incident",
        IncidentsSettled = "incidents-settled",
        DeviceRecords = "device-records",
    }
}

impl Fact {
    fn unknown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnknownFact, D::Error> {
        UnknownFact::unless(Self::KINDS, deserializer)
    }

    /// Returns the record of what an operator grants from now on, or of what was inherited from another device.
    #[must_use]
    pub fn granted(granted: &Access, from: Option<DeviceId>) -> Self {
        Self::Granted {
            scopes: granted.scopes.iter().map(ToString::to_string).collect(),
            audiences: granted.audiences.iter().map(ToString::to_string).collect(),
            from: from.map(|device| device.to_string()),
        }
    }

    /// Returns the record of an accepted boot state.
    #[must_use]
    pub fn accepted(state: &BootState, by: &str) -> Self {
        let pcrs = state.iter().map(|(index, value)| format!("{index}={value}")).collect();
        Self::Accepted { pcrs, by: by.to_owned() }
    }
}
