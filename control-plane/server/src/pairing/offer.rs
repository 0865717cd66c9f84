//! Offers, which are not kept: secret and nonce follow from a key of ours, the session's id, the
//! offer's end and the request. The device brings the request and the end back with its proof. So no
//! claim takes any memory, and no claim takes the place of another.

use std::sync::Arc;

use pawl_proto::codec::Version;
use pawl_proto::message::{PairingOffer, PairingRequest, SessionProof};
use pawl_proto::{Digest, Nonce, SessionId};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::claim::{Claim, VendorCheck, check_enrolled, check_replaced};
use super::{credential, proof};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::session;

/// Seconds within which an offer is proven.
const OFFER: u64 = 600;

/// Answers a claim with a credential that only the claimed TPM can open. Nothing is proven yet,
/// and nothing is kept.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn offer(plane: &Arc<ControlPlane>, request: PairingRequest) -> Result<PairingOffer, RequestError> {
    let claim = Claim::parse(&request)?;
    let vendor_check = claim.endorse(plane, &request)?;
    let session = SessionId::from_random(crate::random::bytes());
    let expires = plane.clock.now() + OFFER;
    let Derived { secret, nonce } = Derived::new(plane, session, expires, &request)?;
    let credential = credential::of_secret(&claim, secret.as_slice())?;
    let replaces = request.replaces;
    let plane_in_tx = Arc::clone(plane);
    plane
        .store
        .transaction(move |tx| {
            check_enrolled(&plane_in_tx, tx, &claim, &vendor_check, replaces)?;
            check_replaced(tx, claim.device, replaces)
        })
        .await?;
    Ok(PairingOffer { version: Version, session, credential, nonce, expires })
}

/// An offer that the claimed TPM has opened: endorsement key and attestation key share it.
pub(super) struct Offered {
    pub(super) id: SessionId,
    pub(super) request: PairingRequest,
    pub(super) claim: Claim,
    pub(super) vendor_check: VendorCheck,
    pub(super) nonce: Nonce,
}

impl Offered {
    /// The offer that a proof answers: of ours, for this request, in its time, and opened.
    pub(super) fn of_proof(
        plane: &ControlPlane,
        id: SessionId,
        proof: &SessionProof,
    ) -> Result<Self, RequestError> {
        let now = plane.clock.now();
        if now >= proof.expires || proof.expires > now + OFFER {
            return Err(session::stale().into());
        }
        let Derived { secret, nonce } = Derived::new(plane, id, proof.expires, &proof.request)?;
        proof::check_secret(secret.as_slice().ct_eq(proof.secret.as_bytes()).into())?;
        let request = proof.request.clone();
        let claim = Claim::parse(&request)?;
        let vendor_check = claim.endorse(plane, &request)?;
        Ok(Self { id, request, claim, vendor_check, nonce })
    }
}

struct Derived {
    secret: Zeroizing<[u8; 32]>,
    nonce: Nonce,
}

impl Derived {
    fn new(
        plane: &ControlPlane,
        id: SessionId,
        expires: u64,
        request: &PairingRequest,
    ) -> Result<Self, RequestError> {
        let request = Digest::of(&pawl_proto::encode(request)?);
        let (id, expires) = (id.to_string(), expires.to_be_bytes());
        let about: [&[u8]; 3] = [id.as_bytes(), &expires, request.as_bytes()];
        Ok(Self {
            secret: plane.keys.offers.derive("secret", &about),
            nonce: Nonce(*plane.keys.offers.derive("nonce", &about)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Device, Rig};

    #[tokio::test]
    async fn an_offer_binds_the_request_the_session_and_its_end() {
        let rig = Rig::new();
        let plane = &rig.plane;
        let mut device = Device::enrolled(plane).await;
        let offer = offer(plane, device.request()).await.unwrap();
        let proof = device.session_proof(&offer);
        assert!(Offered::of_proof(plane, offer.session, &proof).is_ok());

        let refused = |id, proof: &SessionProof| Offered::of_proof(plane, id, proof).is_err();
        let other = SessionId::from_random([9; 16]);
        assert!(refused(other, &proof));
        let later = SessionProof { expires: proof.expires - 1, ..proof.clone() };
        assert!(refused(offer.session, &later));
        let mut request = proof.request.clone();
        request.attended = !request.attended;
        assert!(refused(offer.session, &SessionProof { request, ..proof.clone() }));
        rig.clock.advance(OFFER);
        assert!(refused(offer.session, &proof));
    }
}
