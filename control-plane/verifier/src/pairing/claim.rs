//! Parses the claims in a pairing request, and checks whether the device may try to prove them.

use pawl_evidence::attest::AttestationKey;
use pawl_evidence::endorsement::{EkEndorsement, EkTemplate, VendorCas};
use pawl_evidence::tpm::{NvPublic, Public};
use pawl_proto::message::{PairingRequest, RefusalCode, Standing};
use pawl_proto::{DeviceId, Digest, Epoch, limits};

use crate::refusal::Refusal;

/// A well-formed claim. Nothing in it is proven. [`Claim::check_vendor`] checks whether a vendor certifies the endorsement key.
pub struct Claim {
    /// The device id, derived from the endorsement key.
    pub device: DeviceId,
    /// The endorsement key.
    pub endorsement_key: Public,
    /// SHA-256 of its public area.
    pub ek_sha256: Digest,
    /// The TCG template of the endorsement key.
    pub template: EkTemplate,
    /// The attestation key.
    pub attestation_key: AttestationKey,
    /// The public area of the epoch counter, with the attribute `written`.
    pub counter: NvPublic,
    /// The counter's value.
    pub epoch: Epoch,
}

impl Claim {
    /// Parses a request.
    ///
    /// # Errors
    /// [`Refusal`] if the request is malformed, or if a key or the counter differs from those that pawld creates.
    pub fn parse(request: &PairingRequest) -> Result<Self, Refusal> {
        let malformed = |what: &str, why: &dyn std::fmt::Display| {
            Refusal::new(RefusalCode::Malformed, format_args!("{what}: {why}"))
        };
        let ek_bytes = request.endorsement_key.as_bytes();
        let endorsement_key =
            Public::unmarshal(ek_bytes).map_err(|error| malformed("endorsement key", &error))?;
        if DeviceId::from_endorsement_key(ek_bytes) != request.device {
            return Err(malformed("device", &"the id is not derived from the endorsement key"));
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
            return Err(malformed("epoch", &"the value is out of range"));
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

    /// Checks the endorsement key's certificate. `cas` are the TPM vendors that the operator trusts, `None` if none are
    /// configured; `now` is Unix time in seconds.
    ///
    /// # Errors
    /// [`Refusal`] if the certificate is evidence against the device: it was revoked, belongs to another key, or the issuer that
    /// it names did not sign it.
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

/// The result of checking an endorsement key against the TPM vendors' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VendorCheck {
    /// No vendor is configured.
    Unconfigured,
    /// A trusted vendor certifies the key.
    Certified {
        /// The file of the trusted CA.
        anchor: String,
        /// The issuers whose revocation list is out of date.
        stale_lists: Vec<String>,
    },
    /// No trusted vendor certifies the key, for this reason.
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

    /// Returns why the check fails for a device that needs a vendor's certificate; `None` if it passes.
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

/// A device as the operator enrolled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledDevice {
    /// SHA-256 of its endorsement key's public area.
    pub ek_sha256: Digest,
    /// Whether the device is active or suspended.
    pub standing: Standing,
    /// The reason for a suspension.
    pub standing_reason: Option<String>,
    /// Whether the operator allows it to pair without a TPM vendor's certificate.
    pub without_certificate: bool,
}

/// Checks that the device is not suspended, and that it is enrolled or can be enrolled by a person's approval. If vendors are
/// configured, a device that none of them certifies must have been enrolled `--without-certificate`. `has_approvers`: whether
/// the operator has configured approvers.
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
            "no trusted vendor certifies this device's TPM ({why}). An operator must import the vendor's CA, or enrol \
             the device with --without-certificate"
        );
        Refusal::new(RefusalCode::EndorsementKey, message)
    };
    let Some(device) = enrolled.filter(|device| device.ek_sha256 == ek_sha256) else {
        // A pairing with `replaces` always needs a person, who vouches for the new device. The person cannot see whether
        // its key is in a TPM, so the certificate is still required.
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

/// Who enrols a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// An operator enrolled it before it requested a pairing.
    Before,
    /// The person who approves the session enrols it.
    ByApproval,
}

/// A device that another device requests to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacedDevice {
    /// The device.
    pub id: DeviceId,
    /// Whether it is enrolled.
    pub is_enrolled: bool,
    /// The device that has already replaced it.
    pub replaced_by: Option<DeviceId>,
}

/// Checks that the device to replace is enrolled, is not the requesting device, and that no third device has replaced it.
///
/// # Errors
/// [`Refusal`]
pub fn check_replaced(device: DeviceId, replaced: Option<ReplacedDevice>) -> Result<(), Refusal> {
    let Some(replaced) = replaced else { return Ok(()) };
    let refuse = |message: &str| Err(Refusal::new(RefusalCode::Malformed, message));
    if replaced.id == device {
        return refuse("a device cannot replace itself; omit --replaces");
    }
    if !replaced.is_enrolled {
        return refuse("the device to replace is not enrolled; check its id");
    }
    if replaced.replaced_by.is_some_and(|other| other != device) {
        return refuse("another device has already replaced that device");
    }
    Ok(())
}
