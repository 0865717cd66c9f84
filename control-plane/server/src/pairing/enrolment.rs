//! Whether a device may ask for a pairing now, by what the database holds.

use pawl_proto::DeviceId;
use pawl_verifier::pairing::{
    Claim, EnrolledDevice, Enrolment, ReplacedDevice, VendorCheck, check_enrolled, check_replaced,
};

use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::store::{StoreError, Tx};

/// Checks that the device is enrolled, or may become so by the approval of a person.
pub(super) fn check_device(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    claim: &Claim,
    vendor_check: &VendorCheck,
    replaces: Option<DeviceId>,
) -> Result<Enrolment, RequestError> {
    let enrolled = tx.device(claim.device)?.map(|device| EnrolledDevice {
        ek_sha256: device.ek_sha256,
        standing: device.standing,
        standing_reason: device.standing_reason,
        without_certificate: device.without_certificate,
    });
    let has_approvers = plane.config.approvals.allowed_signers.is_some();
    Ok(check_enrolled(enrolled.as_ref(), claim, vendor_check, replaces, has_approvers)?)
}

/// Checks the device whose place is to be taken.
pub(super) fn check_place(
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<(), RequestError> {
    let replaced = replaces.map(|id| replaced_device(tx, id)).transpose()?;
    Ok(check_replaced(device, replaced)?)
}

fn replaced_device(tx: &Tx<'_>, id: DeviceId) -> Result<ReplacedDevice, StoreError> {
    let device = tx.device(id)?;
    let is_enrolled = device.is_some();
    Ok(ReplacedDevice { id, is_enrolled, replaced_by: device.and_then(|device| device.replaced_by) })
}

/// Logs the revocation lists that are out of date.
pub(super) fn warn_of_stale_lists(device: DeviceId, vendor_check: &VendorCheck) {
    if let VendorCheck::Certified { stale_lists, .. } = vendor_check {
        for issuer in stale_lists {
            tracing::warn!(%device, %issuer, "the issuer's revocation list is out of date");
        }
    }
}
