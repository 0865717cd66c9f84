//! Assurance records: what was decided about a device, and on what ground.
//!
//! Each record's digest covers the digest of the one before, so that none can be altered or taken
//! out without breaking all that follow.

use pawl_proto::codec::EncodeError;
use pawl_proto::{DeviceId, Digest, limits};
use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "kebab-case")]
pub enum Fact {
    /// An operator enrolled the device.
    Enrolled {
        /// SHA-256 of its endorsement key.
        ek_sha256: String,
        /// What the operator calls it.
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
        /// The scopes.
        scopes: Vec<String>,
        /// The name of the attestation key.
        attestation_key: String,
        /// Why a pairing was wanted.
        reason: String,
    },
    /// A pairing was refused.
    Refused {
        /// For programs.
        code: String,
        /// What the technician was told.
        message: String,
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
}

/// A record in its chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The record, encoded.
    pub body: Vec<u8>,
    /// The digest of the record before it; zeros for the first.
    pub previous: Digest,
    /// SHA-256 over `previous` and `body`.
    pub digest: Digest,
}

impl Link {
    /// The link that follows `previous`.
    ///
    /// # Errors
    /// [`EncodeError`] as for [`pawl_proto::encode`].
    pub fn forge(previous: Digest, record: &Record) -> Result<Self, EncodeError> {
        let body = pawl_proto::encode(record)?;
        let digest = chain(previous, &body);
        Ok(Self { body, previous, digest })
    }

    /// The record, if it is whole and follows `previous`.
    #[must_use]
    pub fn check(&self, previous: Digest) -> Option<Record> {
        if self.previous != previous || self.digest != chain(previous, &self.body) {
            return None;
        }
        pawl_proto::decode(&self.body, limits::MESSAGE).ok()
    }
}

fn chain(previous: Digest, body: &[u8]) -> Digest {
    Digest::of(&[previous.as_bytes().as_slice(), body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64) -> Record {
        let device = DeviceId::from_digest([7; 32]);
        Record { device, sequence, time: 5, fact: Fact::Suspended { reason: "audit".to_owned() } }
    }

    #[test]
    fn a_link_holds_in_its_place_alone() {
        let first = Link::forge(Digest([0; 32]), &record(1)).unwrap();
        let second = Link::forge(first.digest, &record(2)).unwrap();
        assert_eq!(first.check(Digest([0; 32])), Some(record(1)));
        assert_eq!(second.check(first.digest), Some(record(2)));
        assert_eq!(second.check(Digest([0; 32])), None);
    }

    #[test]
    fn an_altered_record_breaks_the_chain() {
        let mut link = Link::forge(Digest([0; 32]), &record(1)).unwrap();
        *link.body.last_mut().unwrap() ^= 1;
        assert_eq!(link.check(Digest([0; 32])), None);
    }
}
