use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pawl_evidence::credential::make_credential;
use pawl_evidence::rand_core::OsRng;
use pawl_evidence::tpm::Public;
use pawl_proto::message::{
    Credential, HostFacts, PairingOffer, PairingRequest, RefusalCode, Scope, ShortText, TpmStructure,
};
use pawl_proto::{Digest, Nonce, PairingId};
use zeroize::Zeroizing;

use super::Refusal;
use super::request::Claim;

/// Seconds for which an offer stands.
const LIFETIME: u64 = 600;
/// So many offers stand at once.
const LIMIT: usize = 1024;
/// So many for one device. Who knows a device's public key can open offers in its name, and must
/// not keep the device itself out: the oldest makes room.
const LIMIT_PER_DEVICE: usize = 8;

/// The offers that wait for their proof. They live in memory: a control plane that restarts has
/// forgotten them, and devices begin anew.
#[derive(Default)]
pub struct Offers {
    open: Mutex<HashMap<PairingId, Offer>>,
}

/// A claim and what must come back to prove it.
pub(super) struct Offer {
    pub(super) id: PairingId,
    pub(super) claim: Claim,
    pub(super) nonce: Nonce,
    pub(super) policy_ref: Digest,
    pub(super) secret: Zeroizing<[u8; 32]>,
    pub(super) host: HostFacts,
    pub(super) reason: ShortText,
    pub(super) scopes: Vec<Scope>,
    expires: u64,
}

impl Offer {
    pub(super) fn new(claim: Claim, request: &PairingRequest, now: u64) -> Self {
        Self {
            id: PairingId::from_random(crate::random::bytes()),
            claim,
            nonce: Nonce(crate::random::bytes()),
            policy_ref: Digest(crate::random::bytes()),
            secret: Zeroizing::new(crate::random::bytes()),
            host: request.host.clone(),
            reason: request.reason.clone(),
            scopes: request.scopes.clone(),
            expires: now + LIFETIME,
        }
    }

    /// The message to the device.
    pub(super) fn answer(&self, lease_key: &Public) -> Result<PairingOffer, Refusal> {
        let refuse = |error: &dyn std::fmt::Display| Refusal::new(RefusalCode::EndorsementKey, error);
        let credential = make_credential(
            &self.claim.endorsement_key,
            &self.claim.attestation_key.name(),
            self.secret.as_slice(),
            &mut OsRng,
        )
        .map_err(|error| refuse(&error))?;
        let structure = |bytes: Vec<u8>| TpmStructure::new(bytes).map_err(|error| refuse(&error));
        Ok(PairingOffer {
            version: Default::default(),
            pairing: self.id,
            credential: Credential {
                id_object: structure(credential.id_object)?,
                secret: structure(credential.encrypted_secret)?,
            },
            nonce: self.nonce,
            lease_key: structure(lease_key.as_bytes().to_vec())?,
            policy_ref: self.policy_ref,
            approval: None,
        })
    }
}

impl Offers {
    pub(super) fn open(&self, offer: Offer, now: u64) -> Result<(), Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, offer| now < offer.expires);
        let mut of_device: Vec<(u64, PairingId)> = open
            .values()
            .filter(|other| other.claim.device == offer.claim.device)
            .map(|other| (other.expires, other.id))
            .collect();
        of_device.sort_unstable();
        if of_device.len() >= LIMIT_PER_DEVICE
            && let Some((_, oldest)) = of_device.first()
        {
            open.remove(oldest);
        }
        if open.len() >= LIMIT {
            return Err(Refusal::new(
                RefusalCode::Busy,
                "too many pairings at once; try again in some minutes",
            ));
        }
        open.insert(offer.id, offer);
        Ok(())
    }

    /// Takes an offer out, for its one try.
    pub(super) fn take(&self, id: PairingId, now: u64) -> Result<Offer, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&id).filter(|offer| now < offer.expires).ok_or_else(|| {
            Refusal::new(RefusalCode::Stale, "this pairing session is unknown or over; start again")
        })
    }

    /// What a TPM would find out by activating the credential.
    #[cfg(test)]
    pub(crate) fn secret(&self, id: PairingId) -> Option<[u8; 32]> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&id).map(|offer| *offer.secret)
    }
}
