//! Devices that ask to be paired and are not enrolled: they are refused, and listed for the operator.

use pawl_proto::message::RefusalCode;
use pawl_verifier::Refusal;
use pawl_verifier::pairing::{OpenedOffer, VendorCheck};

use super::offer::check_device;
use crate::control_plane::ControlPlane;
use crate::http::Network;
use crate::refusal::RequestError;
use crate::store::{PendingRequest, Tx};

/// Refuses a device that is not enrolled, and lists it as pending. Its TPM has opened the offer, certified its counter
/// and quoted its PCRs: so nobody can list a device that they do not have. Everything else about a device is checked
/// later.
///
/// # Errors
/// [`RequestError::Failed`] when the database fails.
pub(super) fn check_enrolment(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    offer: &OpenedOffer,
    from: Network,
) -> Result<Result<(), Refusal>, RequestError> {
    let OpenedOffer { request, claim, vendor_check, .. } = offer;
    let refusal = match check_device(plane, tx, claim, vendor_check, request.replaces) {
        Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::NotEnrolled => refusal,
        Err(RequestError::Failed(error)) => return Err(error.into()),
        Ok(_) | Err(RequestError::Refused(_)) => return Ok(Ok(())),
    };
    let asked = PendingRequest {
        device: claim.device,
        ek_sha256: claim.ek_sha256,
        host: request.host.clone(),
        endorsement: endorsement(vendor_check),
        address: from.to_string(),
        at: plane.clock.now(),
    };
    tx.add_pending_device(&asked, plane.config.limits.pending_per_address)?;
    Ok(Err(refusal))
}

fn endorsement(vendor_check: &VendorCheck) -> String {
    match vendor_check {
        VendorCheck::Unconfigured => "not checked: no vendor CAs are configured".to_owned(),
        VendorCheck::Certified { anchor, .. } => format!("certificate, CA {anchor}"),
        VendorCheck::Uncertified(why) => format!("no certificate: {why}"),
    }
}

#[cfg(test)]
mod tests;
