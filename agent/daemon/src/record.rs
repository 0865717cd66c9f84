//! The records of a pairing that the core decides on and the store keeps.

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

/// `pairing.cbor`: everything about a pairing that is no secret. It outlives the pairing, to say
/// what ended and where the receipt goes.
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
    /// The TPM name of the attestation key: a moved disk finds another one.
    pub attestation_name: TpmStructure,
    /// The TPM names of the keys that sessions are salted to. Pairings of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_name: Option<TpmStructure>,
    /// The TPM name of the endorsement key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsement_name: Option<TpmStructure>,
}

/// The names that a pairing keeps of its TPM.
pub(crate) struct TpmNames {
    pub(crate) counter: TpmStructure,
    pub(crate) attestation_key: TpmStructure,
    pub(crate) storage_key: TpmStructure,
    pub(crate) endorsement_key: TpmStructure,
}

impl PairingRecord {
    /// What a grant and the approval before it amount to.
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

    /// Has the TPM's thread salt sessions to the keys of this pairing's TPM and to no others.
    pub(crate) fn pin_keys(&self, tpm: &Tpm) {
        match (&self.storage_name, &self.endorsement_name) {
            (Some(storage), Some(endorsement)) => {
                tpm.pin_storage_key(storage.as_bytes());
                tpm.pin_endorsement_key(endorsement.as_bytes());
            }
            _ => tracing::warn!(
                "the pairing is of an earlier version and has no names of the TPM's keys: anyone who replaces keys on the \
                 TPM's bus is not found out; pair the device again"
            ),
        }
    }

    /// A lease of this pairing, as the TPM wants it; none when its terms are no terms.
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

/// `pairing.new/approved.cbor`: what was approved. It ends the pairing before it, and lets this
/// device, and no other, make the next one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Approved {
    /// The version of this file.
    pub version: Version,
    /// The control plane's answer, as it was checked.
    pub answer: PairingApproved,
    /// The TPM name of the attestation key that asked: another TPM can do nothing with it.
    pub attestation_name: TpmStructure,
}

/// `revocation.cbor`: why the last pairing ended, or is about to end. Its absence proves nothing;
/// the counter decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// The version of this file.
    pub version: Version,
    /// The epoch that ended.
    pub ended: Epoch,
    /// What began the wipe.
    pub cause: Cause,
    /// The event that ordered it.
    pub event: Option<EventId>,
    /// Why.
    pub reason: ShortText,
    /// Unix time, seconds.
    pub time: u64,
    /// Whether the counter has moved on. If not, the wipe was interrupted or the TPM refused, and the daemon still has to
    /// increment it.
    pub counted: bool,
    /// Whether a receipt was made, which then waits in `receipts/` or has been taken.
    pub receipted: bool,
}

/// What an earlier process left of a pairing that it created.
#[derive(Debug)]
pub enum Unfinished {
    /// Nothing.
    Nothing,
    /// An approval of which no pairing has come yet.
    Approved {
        /// The approval.
        approved: Box<Approved>,
        /// Whether keys may have been created on it, in the TPM's present epoch or an earlier one.
        may_have_keys: bool,
    },
    /// The new pairing is there in full, and has only to take its place.
    Staged,
    /// Files of which nothing can be made.
    Scraps,
}

/// A moment by the TPM's clock, which a host cannot set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The TPM's clock, ms.
    pub clock_ms: u64,
    /// The TPM's resetCount.
    pub resets: u32,
}

impl Moment {
    /// When this `TPMS_ATTEST` was made; none when it is no attestation.
    pub(crate) fn of(attest: &[u8]) -> Option<Self> {
        Attest::unmarshal(attest).ok().map(|attest| Self::read(&attest))
    }

    /// When this attestation was made.
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
