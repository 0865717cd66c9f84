use pawl_proto::DeviceId;
use pawl_proto::message::Access;
use pawl_proto::record::UnknownFact;
use serde::{Deserialize, Deserializer, Serialize};

use super::{ApprovedBy, Attested, ChainHead, LeaseSigned, RecordFinding, TpmTime};
use crate::boot_state::BootState;
use crate::incident::IncidentKind;
use crate::session::Binding;

/// An audit record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The device.
    pub device: DeviceId,
    /// Its position in the chain, from 1.
    pub sequence: u64,
    /// Unix time of the control plane, seconds.
    pub time: u64,
    /// The recorded fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// The recorded fact. Byte strings are hexadecimal, for people and for JSON.
///
/// A field that records of an earlier version may lack is optional, and must remain so: records are never rewritten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "kind", content = "detail", rename_all = "kebab-case")]
pub enum Fact {
    /// An operator enrolled the device.
    Enrolled {
        /// SHA-256 of its endorsement key.
        ek_sha256: String,
        /// The operator's label.
        label: Option<String>,
        /// Whether it may pair without a TPM vendor's certificate.
        without_certificate: Option<bool>,
    },
    /// An operator changed whether an enrolled device needs a TPM vendor's certificate to pair.
    CertificateRequirement {
        /// Whether a certificate is required from now on.
        required: bool,
    },
    /// An operator changed the device's name.
    Renamed {
        /// What the operator calls it from now on.
        label: Option<String>,
    },
    /// An operator retired the device: its entitlement ended. It may be enrolled again.
    Retired {
        /// Why.
        reason: String,
    },
    /// An operator deleted the retired device. These records stay.
    Deleted {
        /// What the operator called it.
        label: Option<String>,
    },
    /// A pairing was granted.
    Paired {
        /// The pairing.
        pairing: String,
        /// Its epoch.
        epoch: u64,
        /// How the endorsement key was checked.
        endorsement: String,
        /// The scopes that the device requested and the operator granted.
        scopes: Vec<String>,
        /// The audiences that the device requested and the operator granted.
        audiences: Option<Vec<String>>,
        /// The name of the attestation key.
        attestation_key: String,
        /// The reason for the pairing.
        reason: String,
        /// The name of the epoch counter, with the attribute `written`.
        counter: Option<String>,
        /// The policyRef of its leases.
        policy_ref: Option<String>,
        /// The name of the lease key.
        lease_key: Option<String>,
    },
    /// A pairing, or an action, was refused.
    Refused {
        /// The code of the refusal.
        code: String,
        /// The message for the technician.
        message: String,
        /// The session, if there was one.
        session: Option<String>,
        /// The refused action; `None` for a pairing.
        action: Option<String>,
    },
    /// A report was appraised.
    Verdict {
        /// The verdict's number.
        sequence: u64,
        /// The trust tier.
        result: String,
        /// The reasons for it.
        reasons: Vec<String>,
        /// SHA-256 of the evidence.
        evidence: String,
        /// The quote that covers it, `TPMS_ATTEST`.
        quote: String,
        /// Its `TPMT_SIGNATURE`.
        signature: String,
        /// The TPM's time when it quoted.
        at: Option<TpmTime>,
        /// The program that appraised it.
        by: Option<String>,
        /// SHA-256 of the policy; `None` if the boot state was compared with accepted states.
        policy: Option<String>,
        /// The last record of the device's own chain that the control plane had after this report.
        records: Option<ChainHead>,
    },
    /// A lease was signed.
    Lease {
        /// The number of the verdict that contains it.
        sequence: u64,
        /// Its epoch.
        epoch: u64,
        /// The highest reset count of the TPM at which it is valid.
        reset_count: u32,
        /// The TPM's clock at which it expires, milliseconds.
        clock: u64,
        /// SHA-256 over the values of its PCRs.
        pcr_digest: String,
        /// The signature.
        signed: Option<LeaseSigned>,
        /// The name of the future boot state that it is for; `None` for a lease for the present state.
        ahead: Option<String>,
    },
    /// The operator's grant to the device changed.
    Granted {
        /// The scopes from now on.
        scopes: Vec<String>,
        /// The audiences from now on. An empty list means the control plane's own URL.
        audiences: Vec<String>,
        /// The replaced device from which it inherits the grant.
        from: Option<String>,
    },
    /// An operator suspended the device.
    Suspended {
        /// The operator's reason.
        reason: String,
    },
    /// An operator ended the suspension.
    Resumed {},
    /// A boot state was accepted: the first one by the first pairing, others by an operator.
    Accepted {
        /// The PCRs, as `index=value`.
        pcrs: Vec<String>,
        /// Who accepted it.
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
        /// The operator's reason.
        reason: String,
    },
    /// A receipt proved that an epoch ended.
    Receipt {
        /// The epoch that ended.
        ended: u64,
        /// The counter's value.
        epoch: u64,
        /// The event that the device carried out.
        event: Option<String>,
        /// What caused the wipe.
        cause: String,
        /// The reason for it.
        reason: String,
        /// SHA-256 of the receipt.
        receipt: String,
        /// The TPM's attestation, which covers the receipt and certifies the counter.
        attested: Option<Attested>,
        /// The TPM's time when it certified the counter.
        at: Option<TpmTime>,
    },
    /// An access token was issued.
    Token {
        /// The token's id.
        jti: String,
        /// Its audience.
        audience: String,
        /// Its scopes.
        scope: String,
        /// When it expires, Unix seconds.
        expires: u64,
    },
    /// A session was approved.
    Approved {
        /// The session.
        session: String,
        /// `pair`, `re-pair`, or an action's name.
        action: String,
        /// The origin of the request, as the device reports it.
        origin: String,
        /// The approved statement, encoded. Approvers sign its SHA-256.
        statement: String,
        /// The approvals; empty if the operator's policy requires none.
        by: Vec<ApprovedBy>,
    },
    /// A session was opened by a device that has proven its TPM.
    SessionOpened {
        /// The session.
        session: String,
        /// `pair`, `re-pair`, or an action's name.
        action: String,
        /// The origin of the request, as the device reports it.
        origin: String,
        /// The reason for the request, as the device reports it.
        reason: String,
        /// SHA-256 of the statement.
        statement: String,
        /// How many persons must approve.
        needed: u8,
    },
    /// An attempt to approve a session was refused.
    ApprovalRefused {
        /// The session.
        session: String,
        /// The binding of the approval that failed.
        binding: Binding,
        /// The failure, for people.
        detail: String,
        /// The fingerprint of the key that signed, if the signature is valid.
        key: Option<String>,
    },
    /// A session failed or was refused.
    SessionOver {
        /// The session.
        session: String,
        /// `declined`, `expired` or `superseded`.
        how: String,
        /// The reason, for people.
        reason: String,
    },
    /// Another device replaced this one.
    Replaced {
        /// The other device.
        by: String,
        /// The session in which the replacement was approved.
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
        /// The target of the action.
        resource: String,
        /// SHA-256 of the action's input.
        subject: String,
        /// The workload's own session.
        context: String,
        /// The origin of the request, as the device reports it.
        origin: String,
        /// SHA-256 of the approved statement.
        statement: String,
        /// SHA-256 of the JWS signing input, which the TPM signs.
        digest: String,
        /// When the assurance expires, Unix seconds.
        expires: u64,
    },
    /// A receiver consumed an assurance.
    AssuranceUsed {
        /// The session in which the assurance was authorized.
        session: String,
        /// The action.
        action: String,
        /// The target of the action.
        resource: String,
    },
    /// An incident was opened.
    Incident {
        /// Its kind.
        incident: IncidentKind,
        /// The other device that is involved.
        other: Option<String>,
        /// The sign, for people.
        detail: String,
    },
    /// An operator resolved incidents.
    IncidentsSettled {
        /// The operator's reason.
        reason: String,
        /// The number of incidents.
        incidents: u64,
    },
    /// There is a finding about the device's own records.
    DeviceRecords {
        /// The finding.
        finding: RecordFinding,
        /// The pairing in which it was found.
        pairing: String,
        /// The last stored record.
        known: Option<ChainHead>,
        /// The last record in the report.
        shown: Option<ChainHead>,
        /// The finding, for people.
        detail: String,
    },
    /// A fact that a newer version of the control plane recorded.
    #[serde(untagged, deserialize_with = "Self::unknown")]
    Unknown(UnknownFact),
}

pawl_proto::fact_kinds! {
    Fact {
        Enrolled = "enrolled",
        CertificateRequirement = "certificate-requirement",
        Renamed = "renamed",
        Retired = "retired",
        Deleted = "deleted",
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

    /// Returns the record of a new grant, by an operator or inherited from the device `from`.
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
