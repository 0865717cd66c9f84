//! The chain of audit records about a device, and its checkpoints.
//!
//! The control plane keeps the last `records.keep` records of a device. A [`Checkpoint`] replaces the older ones: it
//! holds the sequence and the digest of the last of them, signed by the audit key. Older records that later ones depend
//! on (the last pairings and their approvals) are kept unchanged: the checkpoint carries their digests.

mod retention;

use pawl_proto::record::Link;
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::record::Record;
use serde::{Deserialize, Serialize};

use crate::bundle::{Hex, SignatureError, sign_claims, verify_claims};
use crate::keys::{AuditKey, Authority};

#[cfg(test)]
pub(crate) use retention::trim;
pub(crate) use retention::trim_regularly;

/// A record and its place in the chain.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// The record as it is stored.
    pub link: Link,
    /// Its content; none when it was altered or does not follow from the one before it.
    pub record: Option<Record>,
}

/// Verifies the chain of a device from its first record or from a checkpoint: first the records that the checkpoint
/// carries, then those after it without a gap. Does not verify the checkpoint's signature.
pub fn follow(
    device: DeviceId,
    checkpoint: Option<&Checkpoint>,
    links: impl IntoIterator<Item = Link>,
) -> Vec<Place> {
    let mut carried = checkpoint.map(|checkpoint| checkpoint.carried.as_slice()).unwrap_or_default().iter();
    let (mut before, mut last) = match checkpoint {
        Some(checkpoint) => (checkpoint.digest.0, checkpoint.sequence),
        None => (Link::START, 0),
    };
    let mut places: Vec<Place> = Vec::new();
    for link in links {
        if let Some(digest) = carried.next() {
            let newest = places.last().map_or(0, |place| place.sequence);
            let is_carried = |record: &Record| {
                record.device == device
                    && (newest + 1..=last).contains(&record.sequence)
                    && link.digest == digest.0
            };
            let record: Option<Record> = link.check(link.previous).filter(is_carried);
            let sequence = record.as_ref().map_or(newest, |record| record.sequence);
            places.push(Place { sequence, link, record });
            continue;
        }
        last = last.saturating_add(1);
        let record = check(device, last, before, &link);
        before = link.digest;
        places.push(Place { sequence: last, link, record });
    }
    places
}

fn check(device: DeviceId, sequence: u64, before: Digest, link: &Link) -> Option<Record> {
    link.check(before).filter(|record: &Record| record.sequence == sequence && record.device == device)
}

/// The most records that a checkpoint carries.
pub const MAX_CARRIED: usize = 64;

const TYPE: &str = "pawl-records-checkpoint+jwt";

/// Replaces the dropped records of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The sequence of the last record that it replaces.
    pub sequence: u64,
    /// The digest of that record.
    pub digest: Hex,
    /// When the records were dropped, Unix seconds.
    pub time: u64,
    /// The digests of the replaced records that are kept, in their order; at most [`MAX_CARRIED`].
    pub carried: Vec<Hex>,
    /// A compact JWS over these fields and the device, by the audit key.
    pub signature: String,
}

/// The signed claims.
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
    /// When it cannot be encoded as JSON, which does not happen.
    fn sign(
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

    /// Verifies that a control plane of this authority (its certificate, DER) signed it for this device.
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

#[cfg(test)]
mod tests;
