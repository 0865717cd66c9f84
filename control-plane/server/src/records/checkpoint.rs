use pawl_proto::DeviceId;
use serde::{Deserialize, Serialize};

use crate::bundle::{Hex, SignatureError, sign_claims, verify_claims};
use crate::keys::{AuditKey, Authority};

/// No checkpoint carries more records.
pub const MAX_CARRIED: usize = 64;

const TYPE: &str = "pawl-records-checkpoint+jwt";

/// What stands for the records that were dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The place of the last record that it stands for. The next one follows it.
    pub sequence: u64,
    /// The digest of that record.
    pub digest: Hex,
    /// When the records were dropped, Unix seconds.
    pub time: u64,
    /// The digests of those of the records that are still there, in their order; at most [`MAX_CARRIED`].
    pub carried: Vec<Hex>,
    /// A compact JWS over all of this and the device, by the audit key.
    pub signature: String,
}

/// What is signed.
#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Claims {
    device: DeviceId,
    sequence: u64,
    digest: Hex,
    iat: u64,
    carried: Vec<Hex>,
}

impl Checkpoint {
    /// Signs a checkpoint of a device's records.
    ///
    /// # Errors
    /// When JSON cannot hold it, which does not happen.
    pub(super) fn sign(
        device: DeviceId,
        (sequence, digest): (u64, Hex),
        carried: Vec<Hex>,
        time: u64,
        key: &AuditKey,
        authority: &Authority,
    ) -> Result<Self, serde_json::Error> {
        let mut checkpoint = Self { sequence, digest, time, carried, signature: String::new() };
        checkpoint.signature = sign_claims(TYPE, &checkpoint.claims(device), key, authority.certificate())?;
        Ok(checkpoint)
    }

    /// Checks that a control plane of this authority (its certificate, DER) signed it for this device.
    ///
    /// # Errors
    /// [`SignatureError`]
    pub fn verify(&self, device: DeviceId, authority: &[u8]) -> Result<(), SignatureError> {
        let claims: Claims = verify_claims(TYPE, &self.signature, self.time, authority)?;
        if claims == self.claims(device) { Ok(()) } else { Err(SignatureError::Contents) }
    }

    fn claims(&self, device: DeviceId) -> Claims {
        let Self { sequence, digest, time, carried, .. } = self;
        Claims { device, sequence: *sequence, digest: *digest, iat: *time, carried: carried.clone() }
    }
}
