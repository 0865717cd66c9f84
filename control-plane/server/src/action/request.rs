use p256::ecdsa::VerifyingKey;
use pawl_proto::message::{RefusalCode, ShortText};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PairingId};
use serde::Deserialize;

use crate::token::assertion::{Assertion, claimed_device};
use crate::token::jws::{self, Malformed};
use pawl_verifier::Refusal;

/// The type of a request, so that no other JWT of the device key passes for one.
const TYPE: &str = "pawl-action+jwt";

/// What a device asks to be let, signed by its device key: which works only under a lease.
pub(super) struct ActionRequest {
    pub(super) assertion: Assertion,
    pub(super) pairing: PairingId,
    pub(super) epoch: Epoch,
    pub(super) action: ShortText,
    pub(super) resource: ShortText,
    /// SHA-256 of what the action acts with.
    pub(super) subject: Digest,
    /// The workload's own session.
    pub(super) context: ShortText,
    pub(super) origin: ShortText,
    pub(super) reason: ShortText,
    pub(super) nonce: Nonce,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(flatten)]
    assertion: Assertion,
    pairing: PairingId,
    epoch: u64,
    action: ShortText,
    resource: ShortText,
    digest: String,
    session: ShortText,
    origin: ShortText,
    #[serde(default)]
    reason: ShortText,
    nonce: String,
}

/// Which device asks, before anything has been checked.
pub(super) fn device(text: &str) -> Result<DeviceId, Refusal> {
    claimed_device(text).map_err(refuse)
}

impl ActionRequest {
    /// The request, if this key of this device signed it for this endpoint, now.
    pub(super) fn verify(
        text: &str,
        device: DeviceId,
        key: &VerifyingKey,
        endpoint: &str,
        now: u64,
    ) -> Result<Self, Refusal> {
        let verified = jws::verify::<Claims>(text, key).map_err(refuse)?;
        if verified.header.typ.as_deref() != Some(TYPE) {
            return Err(refuse(Malformed("typ: it is pawl-action+jwt")));
        }
        let claims = verified.claims;
        claims.assertion.check(device, endpoint, now).map_err(refuse)?;
        Ok(Self {
            pairing: claims.pairing,
            epoch: Epoch(claims.epoch),
            action: claims.action,
            resource: claims.resource,
            subject: Digest(bytes(&claims.digest, "digest: it is 64 hexadecimal digits")?),
            context: claims.session,
            origin: claims.origin,
            reason: claims.reason,
            nonce: Nonce(bytes(&claims.nonce, "nonce: it is 64 hexadecimal digits")?),
            assertion: claims.assertion,
        })
    }
}

fn bytes(text: &str, problem: &'static str) -> Result<[u8; 32], Refusal> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| refuse(Malformed(problem)))
}

fn refuse(error: Malformed) -> Refusal {
    Refusal::new(RefusalCode::Malformed, format_args!("the request for an action: {error}"))
}
