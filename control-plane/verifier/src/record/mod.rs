//! Audit records: the decisions about a device, with their evidence.
//!
//! The records of each device form a chain ([`pawl_proto::record::Link`]). A record contains the evidence for its decision: the
//! quote of a verdict, the signatures of an approval, the TPM's certification of the counter in a receipt. So anybody with the
//! chain can verify the decisions again, without the control plane.

mod fact;

use pawl_evidence::tpm::ClockInfo;
use pawl_proto::PcrBank;
use pawl_proto::message::Finding;
use serde::{Deserialize, Serialize};

pub use fact::{Fact, Record};

/// The TPM's time in an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmTime {
    /// The TPM's clock, milliseconds.
    pub clock: u64,
    /// Its resets.
    pub resets: u32,
    /// Its restarts since the last reset.
    pub restarts: u32,
}

impl From<ClockInfo> for TpmTime {
    fn from(clock: ClockInfo) -> Self {
        Self { clock: clock.clock_ms, resets: clock.reset_count, restarts: clock.restart_count }
    }
}

/// An attestation by a TPM, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The covered bytes. Their SHA-256 is the qualifying data.
    pub covers: String,
    /// `TPMS_ATTEST`.
    pub attest: String,
    /// Its `TPMT_SIGNATURE`, by the attestation key.
    pub signature: String,
}

/// The signature of a lease, in hexadecimal. The signed digest can be computed again from the lease's terms and the
/// pairing's counter and policyRef.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSigned {
    /// The bank of the PCRs.
    #[serde(default, skip_serializing_if = "PcrBank::is_default")]
    pub bank: PcrBank,
    /// The PCRs whose values `pcr_digest` covers.
    pub pcrs: Vec<u8>,
    /// SHA-256 over the approved policy and the pairing's policyRef.
    pub digest: String,
    /// The signature over it, r and s.
    pub signature: String,
}

/// One person's approval, with everything that is needed to verify it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedBy {
    /// The person's name in the operator's list of approvers.
    pub principal: String,
    /// The fingerprint of their key, `SHA256:…`.
    pub key: String,
    /// When the person approved, Unix seconds.
    pub time: u64,
    /// The armored SSHSIG over the statement's digest. It contains the public key.
    pub signature: String,
}

/// The last record of a device's own chain that the control plane has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// The number of the chain among those of the device, from 1. Only a pairing can begin another chain.
    pub chain: u32,
    /// The sequence of its last record.
    pub sequence: u64,
    /// The digest of that record, hexadecimal.
    pub digest: String,
}

/// A finding about the records of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RecordFinding {
    /// The records are malformed, do not form a chain, or are larger than a report may contain.
    Malformed,
    /// The device reports fewer records than before: the end was cut off.
    Regress,
    /// A stored record has another digest in the report: the chain was rewritten.
    Fork,
    /// The device has dropped records between the stored ones and those in the report.
    Gap,
    /// The device sends no records, although it did before.
    Absent,
    /// Another chain began with a pairing, which is allowed.
    BeganAnew,
    /// Another chain began with a pairing, although the device reports that nothing changed.
    BeganAnewUnchanged,
}

impl RecordFinding {
    /// Returns the finding for a chain that begins with a pairing in which the device reported `finding`.
    #[must_use]
    pub fn began_anew(finding: Finding) -> Self {
        match finding {
            Finding::NothingChanged => Self::BeganAnewUnchanged,
            _ => Self::BeganAnew,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_and_an_accepted_state_are_recorded_as_text() {
        let granted = pawl_proto::message::Access {
            scopes: vec![pawl_proto::Text::lossy("door")],
            audiences: vec![pawl_proto::Text::lossy("https://api.example")],
        };
        let old = pawl_proto::DeviceId::from_digest([1; 32]);
        let fact = Fact::granted(&granted, Some(old));
        assert_eq!(fact.kind(), "granted");
        let Fact::Granted { scopes, audiences, from } = fact else { panic!() };
        assert_eq!(
            (scopes, audiences, from),
            (vec!["door".to_owned()], vec!["https://api.example".to_owned()], Some(old.to_string()),)
        );
        let state = [(4, pawl_proto::PcrValue::Sha256([1; 32]))].into_iter().collect();
        let Fact::Accepted { pcrs, by } = Fact::accepted(&state, "an operator") else { panic!() };
        assert_eq!((pcrs, by.as_str()), (vec![format!("4={}", "01".repeat(32))], "an operator"));
    }

    #[test]
    fn a_malformed_fact_of_a_known_kind_is_not_read_as_unknown() {
        for kind in Fact::KINDS {
            let wrong = json!({"kind": kind, "detail": {"nothing": "of this"}});
            let read = serde_json::from_value::<Fact>(wrong);
            assert!(!matches!(read, Ok(Fact::Unknown(_))), "{kind}");
        }
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read_as_it_was_written() {
        let written = json!({
            "device": "a".repeat(32), "sequence": 3, "time": 5, "kind": "lease",
            "detail": {"sequence": 1, "epoch": 7, "reset_count": 2, "clock": 9, "pcr_digest": "00"},
        });
        let body = pawl_proto::encode(&written).unwrap();
        let record: Record = pawl_proto::decode(&body, 1024).unwrap();
        assert!(matches!(record.fact, Fact::Lease { epoch: 7, signed: None, .. }), "{record:?}");
        assert_eq!(pawl_proto::encode(&record).unwrap(), body);
    }
}
