//! The records of a pairing: the core decides on them, and the store writes them to the disk.

#[cfg(test)]
pub(crate) mod testing;

use pawl_evidence::lease::LeaseTerms;
use pawl_evidence::tpm::{Attest, HashAlgorithm, Name, PcrSelection};
use pawl_proto::codec::Version;
use pawl_proto::message::{
    Broker, Cause, Certificate, Lease, PairingApproved, PairingGrant, Scope, ShortText, TpmStructure,
};
use pawl_proto::signed::OrderKey;
use pawl_proto::{DeviceId, Digest, Epoch, EventId, PairingId, PcrBank};
use pawl_tpm::{LeaseGrant, Tpm};
use serde::{Deserialize, Serialize};

/// `pairing.cbor`: everything about a pairing that is not secret. It stays on the disk after the pairing has ended, because the
/// daemon needs it for the receipt and for the status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PairingRecord {
    /// The version of this file.
    pub version: Version,
    /// The pairing.
    pub pairing: PairingId,
    /// The device.
    pub device: DeviceId,
    /// The epoch in which its keys work.
    pub epoch: Epoch,
    /// The control plane's name, for people.
    pub control_plane: ShortText,
    /// How the control plane checked the endorsement key, for people.
    pub endorsement: ShortText,
    /// The scopes that were granted with the pairing.
    pub scopes: Vec<Scope>,
    /// The broker.
    pub broker: Broker,
    /// The certificate of the link key, and its chain.
    pub link_certificates: Vec<Certificate>,
    /// The keys that sign orders.
    pub order_keys: Vec<OrderKey>,
    /// `TPMT_PUBLIC` of the control plane's lease key.
    pub lease_key: TpmStructure,
    /// `TPMT_PUBLIC` of the control plane's key that authorizes actions.
    pub authorization_key: TpmStructure,
    /// The policyRef of its leases.
    pub policy_ref: Digest,
    /// The TPM name of the epoch counter.
    pub counter_name: TpmStructure,
    /// The TPM name of the attestation key. If the TPM has another one, the disk was moved.
    pub attestation_name: TpmStructure,
    /// The TPM names of the keys that sessions are salted to. Pairings of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_name: Option<TpmStructure>,
    /// The TPM name of the endorsement key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsement_name: Option<TpmStructure>,
}

/// The TPM names in the record of a pairing.
pub(crate) struct TpmNames {
    pub(crate) counter: TpmStructure,
    pub(crate) attestation_key: TpmStructure,
    pub(crate) storage_key: TpmStructure,
    pub(crate) endorsement_key: TpmStructure,
}

impl PairingRecord {
    /// Returns the record of a granted pairing.
    pub(crate) fn new(grant: &PairingGrant, approved: &PairingApproved, names: TpmNames) -> Self {
        Self {
            version: Version,
            pairing: grant.pairing,
            device: grant.device,
            epoch: grant.epoch,
            control_plane: grant.control_plane.clone(),
            endorsement: grant.endorsement.clone(),
            scopes: grant.scopes.clone(),
            broker: grant.broker.clone(),
            link_certificates: grant.link_certificates.clone(),
            order_keys: grant.order_keys.clone(),
            lease_key: approved.lease_key.clone(),
            authorization_key: approved.authorization_key.clone(),
            policy_ref: approved.policy_ref,
            counter_name: names.counter,
            attestation_name: names.attestation_key,
            storage_name: Some(names.storage_key),
            endorsement_name: Some(names.endorsement_key),
        }
    }

    /// Pins the storage root key and the endorsement key of this pairing: from now on the daemon salts TPM sessions to no others.
    pub(crate) fn pin_keys(&self, tpm: &Tpm) {
        match (&self.storage_name, &self.endorsement_name) {
            (Some(storage), Some(endorsement)) => {
                tpm.pin_storage_key(storage.as_bytes());
                tpm.pin_endorsement_key(endorsement.as_bytes());
            }
            _ => tracing::warn!(
                "an earlier version of pawld created the pairing, without the names of the TPM's keys: pawld cannot detect \
                 keys that were replaced on the TPM's bus; pair the device again"
            ),
        }
    }

    /// Returns a lease of this pairing with everything that the TPM needs to check it; none if its terms are malformed.
    pub(crate) fn grant(&self, lease: &Lease) -> Option<LeaseGrant> {
        Some(LeaseGrant {
            lease_public: self.lease_key.as_bytes().to_vec(),
            policy_ref: self.policy_ref.0,
            terms: LeaseTerms {
                selection: PcrSelection::new(bank_hash(lease.bank), lease.pcrs.iter().copied()).ok()?,
                pcr_digest: lease.pcr_digest.0,
                counter_name: Name::from_bytes(self.counter_name.as_bytes()).ok()?,
                epoch: self.epoch.0,
                reset_count_max: lease.reset_count,
                clock_before: lease.clock,
            },
            signature: lease.signature.0,
        })
    }
}

/// `pairing.new/approved.cbor`: an approval. The daemon ends the old pairing and creates the next one on it. Only the TPM that
/// requested it can use it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Approved {
    /// The version of this file.
    pub version: Version,
    /// The control plane's answer, which the daemon has checked.
    pub answer: PairingApproved,
    /// The TPM name of the requesting TPM's attestation key. Another TPM cannot use the approval.
    pub attestation_name: TpmStructure,
}

/// `revocation.cbor`: why the last pairing ended, or is about to end. Without this file a pairing may have ended all the same: only
/// the TPM's counter decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// The version of this file.
    pub version: Version,
    /// The epoch that ended.
    pub ended: Epoch,
    /// What caused the wipe.
    pub cause: Cause,
    /// The event that ordered it; none if there was none.
    pub event: Option<EventId>,
    /// Why.
    pub reason: ShortText,
    /// Unix time, seconds.
    pub time: u64,
    /// Whether the counter has moved on. If not, the wipe was interrupted or the TPM refused, and the daemon still has to
    /// increment it.
    pub counted: bool,
    /// Whether the receipt was made. It is in `receipts/` until the control plane confirms it.
    pub receipted: bool,
}

/// What an earlier process left of an unfinished pairing.
#[derive(Debug)]
pub enum Unfinished {
    /// Nothing.
    Nothing,
    /// An approval whose pairing is not complete.
    Approved {
        /// The approval.
        approved: Box<Approved>,
        /// Whether keys may have been created on it, in the TPM's present epoch or an earlier one.
        may_have_keys: bool,
    },
    /// The new pairing is complete on the disk, and not committed.
    Staged,
    /// Files without a readable approval. They are of no use.
    Scraps,
}

/// A time on the TPM's clock, which the host cannot set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The TPM's clock, ms.
    pub clock_ms: u64,
    /// The TPM's resetCount.
    pub resets: u32,
}

impl Moment {
    /// Returns when the TPM made this `TPMS_ATTEST`; none if it is malformed.
    pub(crate) fn of(attest: &[u8]) -> Option<Self> {
        Attest::unmarshal(attest).ok().map(|attest| Self::read(&attest))
    }

    /// Returns when the TPM made this attestation.
    pub(crate) fn read(attest: &Attest) -> Self {
        Self { clock_ms: attest.clock.clock_ms, resets: attest.clock.reset_count }
    }
}

/// Returns the hash algorithm of a bank.
pub(crate) fn bank_hash(bank: PcrBank) -> HashAlgorithm {
    match bank {
        PcrBank::Sha256 => HashAlgorithm::Sha256,
        PcrBank::Sha384 => HashAlgorithm::Sha384,
    }
}
