//! What a device claims in its request, and whether it may try to prove it.

use pawl_evidence::attest::AttestationKey;
use pawl_evidence::endorsement::{EkEndorsement, EkTemplate, VendorCas};
use pawl_evidence::tpm::{NvPublic, Public};
use pawl_proto::message::{PairingRequest, RefusalCode, Standing};
use pawl_proto::{DeviceId, Digest, Epoch, limits};

use crate::refusal::Refusal;

/// A claim that is well formed. The endorsement key may be a genuine TPM's, see [`Claim::check_vendor`]; the
/// rest of it is not proven.
pub struct Claim {
    /// The device id, which follows from the endorsement key.
    pub device: DeviceId,
    /// The endorsement key.
    pub endorsement_key: Public,
    /// SHA-256 of its public area.
    pub ek_sha256: Digest,
    /// The TCG template that it was made from.
    pub template: EkTemplate,
    /// The attestation key.
    pub attestation_key: AttestationKey,
    /// The epoch counter, written.
    pub counter: NvPublic,
    /// The counter's value.
    pub epoch: Epoch,
}

impl Claim {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Refusal`] when a key is not of the make that pawld's are, or the request is malformed.
    pub fn parse(request: &PairingRequest) -> Result<Self, Refusal> {
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

    /// Checks the endorsement key's certificate. `cas` are the TPM vendors that the operator trusts, none if none are
    /// configured; `now` is Unix time in seconds.
    ///
    /// # Errors
    /// When the certificate speaks against the device: it was revoked, is another key's or not signed by the
    /// issuer that it names.
    pub fn check_vendor(
        &self,
        cas: Option<&VendorCas>,
        request: &PairingRequest,
        now: u64,
    ) -> Result<VendorCheck, Refusal> {
        let Some(cas) = cas else { return Ok(VendorCheck::Unconfigured) };
        let certificates: Vec<&[u8]> =
            request.endorsement_certificates.iter().map(|der| der.as_bytes()).collect();
        let Some((leaf, chain)) = certificates.split_first() else {
            return Ok(VendorCheck::Uncertified("the TPM has no endorsement certificate".to_owned()));
        };
        match cas.check(&self.endorsement_key, leaf, chain, now) {
            Ok(EkEndorsement { anchor, stale_lists, .. }) => {
                Ok(VendorCheck::Certified { anchor, stale_lists })
            }
            Err(error) if error.is_adverse() => Err(Refusal::new(RefusalCode::EndorsementKey, error)),
            Err(error) => Ok(VendorCheck::Uncertified(error.to_string())),
        }
    }
}

/// What the TPM vendors' certificates say of an endorsement key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VendorCheck {
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
    /// Returns the file of the trusted CA.
    #[must_use]
    pub fn anchor(&self) -> Option<String> {
        match self {
            Self::Certified { anchor, .. } => Some(anchor.clone()),
            Self::Unconfigured | Self::Uncertified(_) => None,
        }
    }

    /// Returns why a device that needs a vendor's certificate has none.
    fn shortfall(&self) -> Option<&str> {
        match self {
            Self::Uncertified(why) => Some(why),
            Self::Unconfigured | Self::Certified { .. } => None,
        }
    }

    /// Returns how the endorsement key was checked, for people.
    #[must_use]
    pub fn describe(&self, enrolment: Enrolment) -> String {
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

/// What the operator knows of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledDevice {
    /// SHA-256 of its endorsement key's public area.
    pub ek_sha256: Digest,
    /// Whether it may work.
    pub standing: Standing,
    /// Why it may not.
    pub standing_reason: Option<String>,
    /// Whether the operator lets it pair without a TPM vendor's certificate.
    pub without_certificate: bool,
}

/// Checks that the device is not suspended, and that it is enrolled or, if not, may become so by the approval of
/// a person. Where vendors are configured, a device that none of them certifies must have been enrolled
/// `--without-certificate`. `has_approvers`: the operator has named persons who may approve.
///
/// # Errors
/// [`Refusal`]
pub fn check_enrolled(
    enrolled: Option<&EnrolledDevice>,
    claim: &Claim,
    vendor_check: &VendorCheck,
    replaces: Option<DeviceId>,
    has_approvers: bool,
) -> Result<Enrolment, Refusal> {
    let ek_sha256 = claim.ek_sha256;
    let shortfall = vendor_check.shortfall();
    let uncertified = |why: &str| {
        let message = format!(
            "no trusted vendor certifies this device's TPM ({why}). An operator imports the vendor's CA, or enrols \
             the device with --without-certificate"
        );
        Refusal::new(RefusalCode::EndorsementKey, message)
    };
    let Some(device) = enrolled.filter(|device| device.ek_sha256 == ek_sha256) else {
        // A pairing with `replaces` always needs a person, who then vouches for the new device, but cannot see
        // whether its key is in a TPM.
        let vouched = replaces.is_some() && has_approvers;
        return match shortfall {
            Some(why) if vouched => Err(uncertified(why)),
            None if vouched => Ok(Enrolment::ByApproval),
            _ => {
                let option = if shortfall.is_some() { " --without-certificate" } else { "" };
                let message = format!(
                    "this device is not enrolled. On the control plane: pawl-control-plane enrol --ek-sha256 \
                     {ek_sha256}{option}"
                );
                Err(Refusal::new(RefusalCode::NotEnrolled, message))
            }
        };
    };
    match device.standing {
        Standing::Active => match shortfall {
            Some(why) if !device.without_certificate => Err(uncertified(why)),
            _ => Ok(Enrolment::Before),
        },
        _ => {
            let reason = device.standing_reason.as_deref().unwrap_or_default();
            let message = format!("the device is suspended ({reason}); an operator must resume it first");
            Err(Refusal::new(RefusalCode::Suspended, message))
        }
    }
}

/// How a device comes to be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// An operator enrolled it.
    Before,
    /// The person who approves the session does.
    ByApproval,
}

/// A device whose place another one asks to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacedDevice {
    /// The device.
    pub id: DeviceId,
    /// Whether it is enrolled.
    pub is_enrolled: bool,
    /// The device that has taken its place.
    pub replaced_by: Option<DeviceId>,
}

/// Checks that the device whose place is to be taken is another one, and that no third has taken it.
///
/// # Errors
/// [`Refusal`]
pub fn check_replaced(device: DeviceId, replaced: Option<ReplacedDevice>) -> Result<(), Refusal> {
    let Some(replaced) = replaced else { return Ok(()) };
    let refuse = |message: &str| Err(Refusal::new(RefusalCode::Malformed, message));
    if replaced.id == device {
        return refuse("a device does not replace itself; leave --replaces out");
    }
    if !replaced.is_enrolled {
        return refuse("the device that is to be replaced is unknown here; check its id");
    }
    if replaced.replaced_by.is_some_and(|other| other != device) {
        return refuse("another device has replaced that one already");
    }
    Ok(())
}
