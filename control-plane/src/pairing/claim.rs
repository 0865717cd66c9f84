//! What a device claims in its request, and whether it may try to prove it.

use pawl_evidence::attest::AttestationKey;
use pawl_evidence::endorsement::EkTemplate;
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
        if request.endorsement_certificates.len() > limits::CHAIN || request.scopes.len() > limits::SCOPES {
            return Err(malformed("request", &"too many certificates or scopes"));
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

    /// Checks the endorsement key's certificate, where there is one and somebody to ask; says so for
    /// people.
    pub(super) fn endorse(
        &self,
        plane: &ControlPlane,
        request: &PairingRequest,
    ) -> Result<Option<String>, Refusal> {
        let certificates: Vec<Vec<u8>> =
            request.endorsement_certificates.iter().map(|der| der.as_bytes().to_vec()).collect();
        match certificates.split_first() {
            Some((leaf, chain)) if !plane.vendor_cas.is_empty() => {
                let endorsement = plane
                    .vendor_cas
                    .check(&self.endorsement_key, leaf, chain, plane.clock.now())
                    .map_err(|error| Refusal::new(RefusalCode::EndorsementKey, error))?;
                Ok(Some(format!("certificate, CA {}", endorsement.anchor)))
            }
            _ => Ok(None),
        }
    }
}

/// The device is not suspended, and it is enrolled or, if not, may become so by the approval of a
/// person.
pub(super) fn check_enrolled(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    claim: &Claim,
    replaces: Option<DeviceId>,
) -> Result<Enrolment, RequestError> {
    let ek_sha256 = claim.ek_sha256;
    let Some(device) = tx.device(claim.device)?.filter(|device| device.ek_sha256 == ek_sha256) else {
        // A pairing with `replaces` always needs a person, who then vouches for the new device.
        if replaces.is_some() && plane.config.approvals.allowed_signers.is_some() {
            return Ok(Enrolment::ByApproval);
        }
        return Err(Refusal::new(
            RefusalCode::NotEnrolled,
            format_args!(
                "nobody enrolled this device. On the control plane: pawl-control-plane enrol --ek-sha256 {ek_sha256}"
            ),
        )
        .into());
    };
    match device.standing {
        Standing::Active => Ok(Enrolment::Before),
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

impl Enrolment {
    /// How an endorsement key without a certificate is known, for people.
    pub(super) fn by_hash(self) -> String {
        match self {
            Self::Before => "enrolled by hash",
            Self::ByApproval => "approved by hash",
        }
        .to_owned()
    }
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
