//! What a pairing is asked for.

use pawl_proto::bounded::TooLong;
use pawl_proto::codec::Version;
use pawl_proto::local::PairRequest;
use pawl_proto::message::{PairingRequest, Scope};
use pawl_proto::{DeviceId, Epoch, Nonce, limits};
use pawl_tpm::{Counter, Identity};

use super::Past;
use crate::posture;
use crate::random;
use crate::shared::Shared;

/// A pairing that somebody, or the daemon itself, wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What the caller says; the kernel's word on who they are stands in front of its origin.
    pub(crate) request: PairRequest,
    /// Somebody stands at the device, who can show a code or approve.
    pub(crate) attended: bool,
    pub(crate) past: Past,
}

impl Wanted {
    /// The message, for the TPM of `identity` with this counter.
    pub(super) fn message(
        &self,
        shared: &Shared,
        identity: &Identity,
        counter: &Counter,
    ) -> Result<PairingRequest, TooLong> {
        let PairRequest { reason, scopes, replaces, origin, again: _ } = &self.request;
        let scopes: &[Scope] = if scopes.is_empty() { &shared.config.pairing.scopes } else { scopes };
        let certificates = identity.ek_certificates.iter().take(limits::CHAIN);
        Ok(PairingRequest {
            version: Version,
            device: DeviceId::from_endorsement_key(&identity.ek_public),
            endorsement_key: identity.ek_public.clone().try_into()?,
            endorsement_certificates: certificates
                .map(|certificate| certificate.clone().try_into())
                .collect::<Result<_, _>>()?,
            attestation_key: identity.ak_public.clone().try_into()?,
            counter: counter.public.clone().try_into()?,
            epoch: Epoch(counter.epoch),
            host: posture::facts(),
            nonce: Nonce(random::bytes()),
            origin: origin.clone(),
            finding: self.past.finding(&identity.ak_name),
            former: self.past.former(&identity.ak_name),
            replaces: *replaces,
            attended: self.attended,
            reason: reason.clone(),
            scopes: scopes.to_vec(),
            audiences: shared.config.audiences(),
        })
    }
}
