//! Checks against the database whether a device may request a pairing now.

use std::sync::Arc;

use pawl_proto::message::{PairingOffer, PairingRequest, RefusalCode};
use pawl_proto::{DeviceId, SessionId};
use pawl_verifier::pairing::{
    Claim, EnrolledDevice, Enrolment, OfferError, ReplacedDevice, VendorCheck, check_enrolled, check_replaced,
};

use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};

/// Answers a claim with a credential that only the claimed TPM can open, even the claim of a device that is not
/// enrolled. Nothing is proven yet, and nothing is stored.
///
/// # Errors
/// [`RequestError::Refused`] with a message for the technician.
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
            match check_device(&plane_in_tx, tx, &claim, &vendor_check, replaces) {
                // `open` refuses it once its TPM has proven itself, and lists it as pending for the operator.
                Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::NotEnrolled => {}
                checked => drop(checked?),
            }
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

/// Checks that the device is enrolled, or can be enrolled by a person's approval.
pub(super) fn check_device(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    claim: &Claim,
    vendor_check: &VendorCheck,
    replaces: Option<DeviceId>,
) -> Result<Enrolment, RequestError> {
    let enrolled = tx.enrolled_device(claim.device)?.map(|device| EnrolledDevice {
        ek_sha256: device.ek_sha256,
        standing: device.standing,
        standing_reason: device.standing_reason,
        without_certificate: device.without_certificate,
    });
    let has_approvers = plane.config.approvals.allowed_signers.is_some();
    Ok(check_enrolled(enrolled.as_ref(), claim, vendor_check, replaces, has_approvers)?)
}

/// Checks the device that is to be replaced.
pub(super) fn check_place(
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<(), RequestError> {
    let replaced = replaces.map(|id| replaced_device(tx, id)).transpose()?;
    Ok(check_replaced(device, replaced)?)
}

fn replaced_device(tx: &Tx<'_>, id: DeviceId) -> Result<ReplacedDevice, StoreError> {
    let device = tx.enrolled_device(id)?;
    let is_enrolled = device.is_some();
    Ok(ReplacedDevice { id, is_enrolled, replaced_by: device.and_then(|device| device.replaced_by) })
}

/// Logs the outdated revocation lists.
pub(super) fn warn_of_stale_lists(device: DeviceId, vendor_check: &VendorCheck) {
    if let VendorCheck::Certified { stale_lists, .. } = vendor_check {
        for issuer in stale_lists {
            tracing::warn!(%device, %issuer, "the issuer's revocation list is out of date");
        }
    }
}
