//! Pairing: from a claim, through the proof that all of it lives in one TPM, to a grant.

mod grant;
mod offers;
mod proof;
mod request;

use std::sync::Arc;

use pawl_proto::PairingId;
use pawl_proto::message::{
    PairingGrant, PairingOffer, PairingProof, PairingRefusal, PairingRequest, RefusalCode, ShortText,
};

pub use offers::Offers;

use crate::control_plane::ControlPlane;
use crate::record::Fact;
use crate::store::StoreError;
use crate::verdict::IssueError;

/// Answers a claim with a credential that only the claimed TPM can open.
///
/// # Errors
/// [`PairingError::Refused`] in words that a technician understands.
pub async fn offer(plane: &Arc<ControlPlane>, request: PairingRequest) -> Result<PairingOffer, PairingError> {
    let now = plane.clock.now();
    let claim = request::Claim::parse(&request)?;
    let claim = request::admit(plane, claim).await?;
    let offer = offers::Offer::new(claim, &request, now);
    let answer = offer.answer(plane.keys.signing.lease.public())?;
    plane.offers.open(offer, now)?;
    Ok(answer)
}

/// Grants the pairing if the proof holds. Each offer is good for one try.
///
/// # Errors
/// [`PairingError::Refused`] in words that a technician understands.
pub async fn prove(
    plane: &Arc<ControlPlane>,
    id: PairingId,
    proof: PairingProof,
) -> Result<PairingGrant, PairingError> {
    let offer = plane.offers.take(id, plane.clock.now())?;
    let device = offer.claim.device;
    let result = grant::grant(plane, offer, proof).await;
    if let Err(PairingError::Refused(refusal)) = &result {
        tracing::warn!(%device, code = %refusal.code, message = %refusal.message, "pairing refused");
        let fact = Fact::Refused { code: refusal.code.to_string(), message: refusal.message.clone() };
        let now = plane.clock.now();
        plane.store.transaction(move |tx| tx.record(device, now, fact)).await?;
    }
    result
}

/// A pairing that was refused: why, for programs and for a technician.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refusal {
    fn new(code: RefusalCode, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// The message on the wire.
    #[must_use]
    pub fn to_message(&self) -> PairingRefusal {
        PairingRefusal {
            version: Default::default(),
            code: self.code,
            message: ShortText::lossy(&self.message),
        }
    }
}

/// A pairing that does not come about.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The control plane's own trouble.
    #[error(transparent)]
    Failed(#[from] IssueError),
}

impl From<StoreError> for PairingError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests;
