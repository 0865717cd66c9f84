//! What a device claims in its request, and whether it may try to prove it.

use std::sync::Arc;

use pawl_evidence::attest::AttestationKey;
use pawl_evidence::endorsement::EkTemplate;
use pawl_evidence::tpm::{NvPublic, Public};
use pawl_proto::message::{PairingRequest, RefusalCode, Standing};
use pawl_proto::{DeviceId, Digest, Epoch, limits};

use super::{PairingError, Refusal};
use crate::control_plane::ControlPlane;
use crate::store::Tx;

/// A claim that is well formed. Nothing in it is proven but that the endorsement key, if it has
/// a certificate, is a genuine TPM's.
pub(super) struct Claim {
    pub(super) device: DeviceId,
    pub(super) endorsement_key: Public,
    pub(super) ek_sha256: Digest,
    pub(super) template: EkTemplate,
    certificates: Vec<Vec<u8>>,
    pub(super) attestation_key: AttestationKey,
    pub(super) counter: NvPublic,
    pub(super) epoch: Epoch,
    /// How the endorsement key was checked, for people.
    pub(super) endorsement: String,
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
            certificates: request
                .endorsement_certificates
                .iter()
                .map(|der| der.as_bytes().to_vec())
                .collect(),
            attestation_key,
            counter,
            epoch: request.epoch,
            endorsement: String::new(),
        })
    }

    /// Checks the endorsement key's certificate, where there is one and somebody to ask.
    fn endorse(mut self, plane: &ControlPlane) -> Result<Self, Refusal> {
        self.endorsement = match self.certificates.split_first() {
            Some((leaf, chain)) if !plane.vendor_cas.is_empty() => {
                let endorsement = plane
                    .vendor_cas
                    .check(&self.endorsement_key, leaf, chain, plane.clock.now())
                    .map_err(|error| Refusal::new(RefusalCode::EndorsementKey, error))?;
                format!("certificate, CA {}", endorsement.anchor)
            }
            _ => "enrolled by hash".to_owned(),
        };
        Ok(self)
    }
}

/// Lets a claim through if the device is enrolled and may be paired in that epoch.
pub(super) async fn admit(plane: &Arc<ControlPlane>, claim: Claim) -> Result<Claim, PairingError> {
    let (device, ek_sha256, epoch) = (claim.device, claim.ek_sha256, claim.epoch);
    let ak_name = claim.attestation_key.name().as_bytes().to_vec();
    plane
        .store
        .transaction(move |tx| {
            check_enrolled(tx, device, ek_sha256)?;
            check_epoch(tx, device, &ak_name, epoch)
        })
        .await?;
    Ok(claim.endorse(plane)?)
}

/// The device is enrolled and not suspended.
pub(super) fn check_enrolled(tx: &Tx<'_>, device: DeviceId, ek_sha256: Digest) -> Result<(), PairingError> {
    let Some(device) = tx.device(device)?.filter(|device| device.ek_sha256 == ek_sha256) else {
        return Err(Refusal::new(
            RefusalCode::NotEnrolled,
            format_args!(
                "nobody enrolled this device. On the control plane: pawl-control-plane enrol --ek-sha256 {ek_sha256}"
            ),
        )
        .into());
    };
    match device.standing {
        Standing::Active => Ok(()),
        Standing::Suspended => {
            let reason = device.standing_reason.unwrap_or_default();
            let message = format!("the device is suspended ({reason}); an operator must resume it first");
            Err(Refusal::new(RefusalCode::Suspended, message).into())
        }
    }
}

/// No pairing was ever granted in that epoch, and nothing later was seen.
pub(super) fn check_epoch(
    tx: &Tx<'_>,
    device: DeviceId,
    ak_name: &[u8],
    epoch: Epoch,
) -> Result<(), PairingError> {
    let paired = tx.newest_pairing(device)?.map(|pairing| pairing.epoch);
    let seen = tx.high_water(ak_name)?.map(|highest| highest.epoch);
    if paired.is_some_and(|paired| epoch <= paired) || seen.is_some_and(|seen| epoch < seen) {
        return Err(Refusal::new(
            RefusalCode::EpochSpent,
            format_args!("epoch {epoch} is spent; the device has to move its counter on and ask again"),
        )
        .into());
    }
    Ok(())
}
