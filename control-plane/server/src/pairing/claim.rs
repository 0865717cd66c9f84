//! What a device claims in its request, and whether it may try to prove it.

use pawl_evidence::attest::AttestationKey;
use pawl_evidence::endorsement::{EkEndorsement, EkTemplate};
use pawl_evidence::tpm::{NvPublic, Public};
use pawl_proto::message::{PairingRequest, RefusalCode, Standing};
use pawl_proto::{DeviceId, Digest, Epoch, limits};

use crate::control_plane::ControlPlane;
use crate::refusal::{Refusal, RequestError};
use crate::store::Tx;

/// A claim that is well formed. Nothing in it is proven but that the endorsement key, if it has
/// a certificate, is a genuine TPM's.
pub(super) struct Claim {
    pub(super) device: DeviceId,
    pub(super) endorsement_key: Public,
    pub(super) ek_sha256: Digest,
    pub(super) template: EkTemplate,
    pub(super) attestation_key: AttestationKey,
    pub(super) counter: NvPublic,
    pub(super) epoch: Epoch,
}

impl Claim {
    pub(super) fn parse(request: &PairingRequest) -> Result<Self, Refusal> {
        let malformed = |what: &str, why: &dyn std::fmt::Display| {
            Refusal::new(RefusalCode::Malformed, format_args!("{what}: {why}"))
        };
        let ek_bytes = request.endorsement_key.as_bytes();
        let endorsement_key =
            Public::unmarshal(ek_bytes).map_err(|error| malformed("endorsement key", &error))?;
        if DeviceId::from_endorsement_key(ek_bytes) != request.device {
            return Err(malformed("device", &"the id does not follow from the endorsement key"));
        }
        if request.endorsement_certificates.len() > limits::CHAIN
            || request.scopes.len() > limits::SCOPES
            || request.audiences.len() > limits::AUDIENCES
        {
            return Err(malformed("request", &"too many certificates, scopes or audiences"));
        }
        let template = EkTemplate::of(&endorsement_key)
            .map_err(|error| Refusal::new(RefusalCode::EndorsementKey, error))?;

        let attestation_key = Public::unmarshal(request.attestation_key.as_bytes())
            .map_err(|error| malformed("attestation key", &error))?;
        let attestation_key = AttestationKey::from_public(attestation_key)
            .map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
        let counter = NvPublic::unmarshal(request.counter.as_bytes())
            .map_err(|error| malformed("epoch counter", &error))?;
        counter.check_epoch_counter().map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
        if i64::try_from(request.epoch.0).is_err() {
            return Err(malformed("epoch", &"no counter comes so far"));
        }
        Ok(Self {
            device: request.device,
            endorsement_key,
            ek_sha256: Digest::of(ek_bytes),
            template,
            attestation_key,
            counter,
            epoch: request.epoch,
        })
    }

    /// Checks the endorsement key's certificate, where vendors are configured.
    ///
    /// # Errors
    /// When the certificate speaks against the device: it was revoked, is another key's or not signed by the
    /// issuer that it names.
    pub(super) fn endorse(
        &self,
        plane: &ControlPlane,
        request: &PairingRequest,
    ) -> Result<VendorCheck, Refusal> {
        let Some(cas) = plane.vendors.current() else { return Ok(VendorCheck::Unconfigured) };
        let certificates: Vec<&[u8]> =
            request.endorsement_certificates.iter().map(|der| der.as_bytes()).collect();
        let Some((leaf, chain)) = certificates.split_first() else {
            return Ok(VendorCheck::Uncertified("the TPM has no endorsement certificate".to_owned()));
        };
        match cas.check(&self.endorsement_key, leaf, chain, plane.clock.now()) {
            Ok(EkEndorsement { anchor, stale_lists, .. }) => {
                for issuer in &stale_lists {
                    tracing::warn!(device = %self.device, %issuer, "the issuer's revocation list is out of date");
                }
                Ok(VendorCheck::Certified { anchor, stale_lists })
            }
            Err(error) if error.is_adverse() => Err(Refusal::new(RefusalCode::EndorsementKey, error)),
            Err(error) => Ok(VendorCheck::Uncertified(error.to_string())),
        }
    }
}

/// What the TPM vendors' certificates say of an endorsement key.
pub(super) enum VendorCheck {
    /// No vendor is configured.
    Unconfigured,
    /// A trusted vendor certifies it.
    Certified {
        /// The file of the trusted CA.
        anchor: String,
        /// The issuers whose revocation list is out of date.
        stale_lists: Vec<String>,
    },
    /// No trusted vendor certifies it; why.
    Uncertified(String),
}

impl VendorCheck {
    /// The file of the trusted CA.
    pub(super) fn anchor(&self) -> Option<String> {
        match self {
            Self::Certified { anchor, .. } => Some(anchor.clone()),
            Self::Unconfigured | Self::Uncertified(_) => None,
        }
    }

    /// Why a device that needs a vendor's certificate has none.
    fn shortfall(&self, plane: &ControlPlane) -> Option<&str> {
        match self {
            Self::Uncertified(why) if plane.vendors.are_required() => Some(why),
            _ => None,
        }
    }

    /// How the endorsement key was checked, for people.
    pub(super) fn describe(&self, enrolment: Enrolment) -> String {
        match (self, enrolment) {
            (Self::Certified { anchor, stale_lists }, _) if stale_lists.is_empty() => {
                format!("certificate, CA {anchor}")
            }
            (Self::Certified { anchor, stale_lists }, _) => {
                let issuers = stale_lists.join(", ");
                format!("certificate, CA {anchor}; revocation list out of date: {issuers}")
            }
            (Self::Uncertified(why), _) => format!("hash alone, enrolled --without-certificate: {why}"),
            (Self::Unconfigured, Enrolment::Before) => "enrolled by hash".to_owned(),
            (Self::Unconfigured, Enrolment::ByApproval) => "approved by hash".to_owned(),
        }
    }
}

/// Checks that the device is not suspended, and that it is enrolled or, if not, may become so by the approval of
/// a person. Where vendors are configured, a device that none of them certifies must have been enrolled
/// `--without-certificate`.
pub(super) fn check_enrolled(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    claim: &Claim,
    vendor_check: &VendorCheck,
    replaces: Option<DeviceId>,
) -> Result<Enrolment, RequestError> {
    let ek_sha256 = claim.ek_sha256;
    let shortfall = vendor_check.shortfall(plane);
    let uncertified = |why: &str| {
        let message = format!(
            "no trusted vendor certifies this device's TPM ({why}). An operator imports the vendor's CA, or enrols \
             the device with --without-certificate"
        );
        RequestError::from(Refusal::new(RefusalCode::EndorsementKey, message))
    };
    let Some(device) = tx.device(claim.device)?.filter(|device| device.ek_sha256 == ek_sha256) else {
        // A pairing with `replaces` always needs a person, who then vouches for the new device, but cannot see
        // whether its key is in a TPM.
        let vouched = replaces.is_some() && plane.config.approvals.allowed_signers.is_some();
        return match shortfall {
            Some(why) if vouched => Err(uncertified(why)),
            None if vouched => Ok(Enrolment::ByApproval),
            _ => {
                let option = if shortfall.is_some() { " --without-certificate" } else { "" };
                let message = format!(
                    "nobody enrolled this device. On the control plane: pawl-control-plane enrol --ek-sha256 \
                     {ek_sha256}{option}"
                );
                Err(Refusal::new(RefusalCode::NotEnrolled, message).into())
            }
        };
    };
    match device.standing {
        Standing::Active => match shortfall {
            Some(why) if !device.without_certificate => Err(uncertified(why)),
            _ => Ok(Enrolment::Before),
        },
        Standing::Suspended => {
            let reason = device.standing_reason.unwrap_or_default();
            let message = format!("the device is suspended ({reason}); an operator must resume it first");
            Err(Refusal::new(RefusalCode::Suspended, message).into())
        }
    }
}

/// How a device comes to be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enrolment {
    /// An operator enrolled it.
    Before,
    /// The person who approves the session does.
    ByApproval,
}

/// The device whose place is to be taken is another one, and no third has taken it.
pub(super) fn check_replaced(
    tx: &Tx<'_>,
    device: DeviceId,
    replaces: Option<DeviceId>,
) -> Result<(), RequestError> {
    let Some(replaces) = replaces else { return Ok(()) };
    let refuse = |message: &str| Refusal::new(RefusalCode::Malformed, message);
    if replaces == device {
        return Err(refuse("a device does not replace itself; leave --replaces out").into());
    }
    let replaced = tx
        .device(replaces)?
        .ok_or_else(|| refuse("the device that is to be replaced is unknown here; check its id"))?;
    if replaced.replaced_by.is_some_and(|other| other != device) {
        return Err(refuse("another device has replaced that one already").into());
    }
    Ok(())
}
