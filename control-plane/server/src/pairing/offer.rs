use std::sync::Arc;

use pawl_proto::SessionId;
use pawl_proto::message::{PairingOffer, PairingRequest};
use pawl_verifier::pairing::{Claim, OfferError};

use super::enrolment::{check_device, check_place, warn_of_stale_lists};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;

/// Answers a claim with a credential that only the claimed TPM can open. Nothing is proven yet,
/// and nothing is kept.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn offer(plane: &Arc<ControlPlane>, request: PairingRequest) -> Result<PairingOffer, RequestError> {
    let now = plane.clock.now();
    let claim = Claim::parse(&request)?;
    let vendor_check = claim.check_vendor(plane.vendors.current().as_deref(), &request, now)?;
    warn_of_stale_lists(claim.device, &vendor_check);
    let session = SessionId::from_random(plane.random.bytes());
    let offer = plane.keys.offers.offer(&claim, &request, session, now, &mut plane.random.clone())?;
    let (plane_in_tx, replaces) = (Arc::clone(plane), request.replaces);
    plane
        .store
        .transaction(move |tx| {
            check_device(&plane_in_tx, tx, &claim, &vendor_check, replaces)?;
            check_place(tx, claim.device, replaces)
        })
        .await?;
    Ok(offer)
}

impl From<OfferError> for RequestError {
    fn from(error: OfferError) -> Self {
        match error {
            OfferError::Refused(refusal) => refusal.into(),
            OfferError::Encode(error) => error.into(),
        }
    }
}
