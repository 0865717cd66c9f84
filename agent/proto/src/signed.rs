//! Signed orders: COSE_Sign1 (RFC 9052) with ES256 (RFC 9053), bound to their topic.

use coset::iana::Algorithm;
use coset::{CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, RegisteredLabelWithPrivate};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bounded::Blob;
use crate::codec::{self, DecodeError, EncodeError};
use crate::limits;
use crate::topic::Topic;

/// A public key that signs orders; a device pins the set of them when it pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderKey(VerifyingKey);

impl OrderKey {
    /// The key from an uncompressed or compressed SEC 1 point.
    ///
    /// # Errors
    /// [`VerifyError::Key`] when the bytes are no point of P-256.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, VerifyError> {
        VerifyingKey::from_sec1_bytes(bytes).map(Self).map_err(|_| VerifyError::Key)
    }

    /// The compressed SEC 1 point, 33 bytes.
    #[must_use]
    pub fn to_sec1(&self) -> Vec<u8> {
        self.0.to_encoded_point(true).as_bytes().to_vec()
    }

    /// Which key it is: the first eight bytes of SHA-256 over its compressed point.
    #[must_use]
    pub fn id(&self) -> Vec<u8> {
        Sha256::digest(self.to_sec1()).iter().take(8).copied().collect()
    }
}

impl From<&SigningKey> for OrderKey {
    fn from(key: &SigningKey) -> Self {
        Self(*key.verifying_key())
    }
}

impl Serialize for OrderKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_sec1())
    }
}

impl<'de> Deserialize<'de> for OrderKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Blob::<65>::deserialize(deserializer)?;
        Self::from_sec1(bytes.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// Signs `message` for `topic`.
///
/// # Errors
/// [`EncodeError`] as for [`codec::encode`].
pub fn sign<T: Serialize>(message: &T, topic: &Topic, key: &SigningKey) -> Result<Vec<u8>, EncodeError> {
    let payload = codec::encode(message)?;
    let header = HeaderBuilder::new().algorithm(Algorithm::ES256).key_id(OrderKey::from(key).id()).build();
    let envelope = CoseSign1Builder::new()
        .protected(header)
        .payload(payload)
        .create_signature(topic.to_string().as_bytes(), |bytes| {
            let signature: Signature = key.sign(bytes);
            signature.to_bytes().to_vec()
        })
        .build();
    envelope.to_vec().map_err(EncodeError::Envelope)
}

/// The message in `bytes`, if one of `keys` signed it for `topic`.
///
/// # Errors
/// [`VerifyError`] says which check failed. Nothing of the payload is parsed before the
/// signature has been checked.
pub fn verify<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    topic: &Topic,
    keys: &[OrderKey],
) -> Result<T, VerifyError> {
    codec::check_size(bytes, limits::ORDER)?;
    let envelope = CoseSign1::from_slice(bytes).map_err(|_| VerifyError::Envelope)?;
    let canonical = envelope.clone().to_vec().map_err(|_| VerifyError::Envelope)?;
    if canonical != bytes || !envelope.unprotected.is_empty() {
        return Err(VerifyError::Envelope);
    }
    let header = &envelope.protected.header;
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES256)) || !header.crit.is_empty() {
        return Err(VerifyError::Algorithm);
    }
    let key = keys.iter().find(|key| key.id() == header.key_id).ok_or(VerifyError::UnknownKey)?;
    envelope.verify_signature(topic.to_string().as_bytes(), |signature, bytes| {
        // By ring, which a device has for TLS in any case: a revocation waits for this check, and in
        // a binary that is made to be small p256 takes eight times as long.
        let point = key.0.to_encoded_point(false);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.as_bytes())
            .verify(bytes, signature)
            .map_err(|_| VerifyError::Signature)
    })?;
    let payload = envelope.payload.as_deref().ok_or(VerifyError::Envelope)?;
    Ok(codec::decode(payload, limits::ORDER)?)
}

/// Why an order is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Not a COSE_Sign1 in deterministic form.
    #[error("not a COSE_Sign1 message in deterministic form")]
    Envelope,
    /// Not ES256, or with critical headers.
    #[error("the message is signed with another algorithm than ES256")]
    Algorithm,
    /// A key that was not pinned when the device paired.
    #[error("the message is signed by a key that this pairing does not know")]
    UnknownKey,
    /// Forged, altered, or signed for another topic.
    #[error("the signature does not fit the message and its topic")]
    Signature,
    /// Signed, and yet not the message that was due.
    #[error(transparent)]
    Payload(#[from] DecodeError),
    /// No point of P-256.
    #[error("not a P-256 public key")]
    Key,
}
