//! Audit records: the decisions about a device, with their evidence.
//!
//! They form a chain for each device ([`pawl_proto::record::Link`]). Each record contains its evidence: the quote of a
//! verdict, the signatures of an approval, the TPM's certificate of the counter in a receipt. So anybody with the chain can
//! verify the decisions again, without the control plane.

mod fact;

use pawl_evidence::tpm::ClockInfo;
use pawl_proto::PcrBank;
use pawl_proto::message::Finding;
use serde::{Deserialize, Serialize};

pub use fact::{Fact, Record};

/// The TPM's time of an attestation.
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

/// An attestation of a TPM, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The covered bytes: their SHA-256 is the qualifying data.
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
    /// Their bank.
    #[serde(default, skip_serializing_if = "PcrBank::is_default")]
    pub bank: PcrBank,
    /// The PCRs whose values `pcr_digest` is made of.
    pub pcrs: Vec<u8>,
    /// SHA-256 over the approved policy and the pairing's policyRef.
    pub digest: String,
    /// The signature over it, r and s.
    pub signature: String,
}

/// One person's approval, with all that is needed to verify it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedBy {
    /// The person's name in the operator's list of approvers.
    pub principal: String,
    /// The fingerprint of their key, `SHA256:…`.
    pub key: String,
    /// When, Unix seconds.
    pub time: u64,
    /// The armored SSHSIG over the statement's digest; the public key is in it.
    pub signature: String,
}

/// The last record of a device's own chain that the control plane has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Which of the device's chains, from 1: another one begins with a pairing, if at all.
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
    /// They cannot be read, do not follow from one another, or are more than a report may carry.
    Malformed,
    /// The device shows fewer records than it has shown before: the end was cut off.
    Regress,
    /// A stored record has another digest in the report: the chain was rewritten.
    Fork,
    /// The device has dropped records between the stored ones and those in the report.
    Gap,
    /// The device sends none, although it did before.
    Absent,
    /// Another chain began, as it may with a pairing.
    BeganAnew,
    /// Another chain began with a pairing, and the device says that nothing about it had changed.
    BeganAnewUnchanged,
}

impl RecordFinding {
    /// The name of a chain that begins anew in a session with this finding of the device.
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
    fn every_kind_that_is_known_is_read_as_itself_or_not_at_all() {
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
