use std::sync::Arc;

use pawl_proto::codec::Version;
use pawl_proto::message::{PairingOffer, PairingRequest};
use pawl_proto::{Nonce, SessionId};

use super::case::Case;
use super::claim::{Claim, check_enrolled, check_replaced};
use super::credential;
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::session;

/// Answers a claim with a credential that only the claimed TPM can open. Nothing is proven yet,
/// and nothing changes.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn offer(plane: &Arc<ControlPlane>, request: PairingRequest) -> Result<PairingOffer, RequestError> {
    let claim = Claim::parse(&request)?;
    let vendor_check = claim.endorse(plane, &request)?;
    let (secret, credential) = credential::make(&claim)?;
    let offer = PairingOffer {
        version: Version,
        session: SessionId::from_random(crate::random::bytes()),
        credential,
        nonce: Nonce(crate::random::bytes()),
    };
    let (id, device, replaces) = (offer.session, claim.device, request.replaces);
    let nonce = offer.nonce;
    let plane_in_tx = Arc::clone(plane);
    plane
        .store
        .transaction(move |tx| {
            let enrolment = check_enrolled(&plane_in_tx, tx, &claim, &vendor_check, replaces)?;
            check_replaced(tx, device, replaces)?;
            let endorsement = vendor_check.describe(enrolment);
            let body = Case::new(request, endorsement, vendor_check.anchor(), nonce).encode()?;
            let now = plane_in_tx.clock.now();
            Ok::<_, RequestError>(session::offer(tx, id, device, secret.as_slice(), body, now)?)
        })
        .await?;
    Ok(offer)
}
