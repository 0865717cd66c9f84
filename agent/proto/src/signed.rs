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
use crate::codec::{DecodeError, EncodeError};
use crate::topic::Topic;
use crate::{codec, limits};

/// A public key that signs orders. A device pins all of them when it pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderKey(VerifyingKey);

impl OrderKey {
    /// Reads an uncompressed or compressed SEC 1 point.
    ///
    /// # Errors
    /// [`VerifyError::Key`] if the bytes are not a point of P-256.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, VerifyError> {
        VerifyingKey::from_sec1_bytes(bytes).map(Self).map_err(|_| VerifyError::Key)
    }

    /// Returns the compressed SEC 1 point, 33 bytes.
    #[must_use]
    pub fn to_sec1(&self) -> Vec<u8> {
        self.0.to_encoded_point(true).as_bytes().to_vec()
    }

    /// Returns the key id: the first eight bytes of the SHA-256 of its compressed point.
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

/// Returns the message in `bytes`, if one of `keys` signed it for `topic`.
///
/// # Errors
/// [`VerifyError`] says which check failed. The payload is parsed only after the signature is verified.
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
        // A revocation waits for this check. In a binary that is optimized for size, p256 takes eight times as long as
        // ring, which a device needs for TLS anyway.
        let point = key.0.to_encoded_point(false);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.as_bytes())
            .verify(bytes, signature)
            .map_err(|_| VerifyError::Signature)
    })?;
    let payload = envelope.payload.as_deref().ok_or(VerifyError::Envelope)?;
    Ok(codec::decode(payload, limits::ORDER)?)
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is not a COSE_Sign1 in deterministic form.
    #[error("not a COSE_Sign1 message in deterministic form")]
    Envelope,
    /// It is not ES256, or has critical headers.
    #[error("the message is signed with another algorithm than ES256")]
    Algorithm,
    /// Its key was not pinned when the device paired.
    #[error("the message is signed by a key that this pairing does not know")]
    UnknownKey,
    /// It is forged, altered, or signed for another topic.
    #[error("the signature does not fit the message and its topic")]
    Signature,
    /// It is signed, but is not the expected message.
    #[error(transparent)]
    Payload(#[from] DecodeError),
    /// The key is not a point of P-256.
    #[error("not a P-256 public key")]
    Key,
}
