use std::fmt;

use thiserror::Error;

use crate::tpm::{HashAlgorithm, TaggedDigest};
use crate::x509::{self, PublicKeyInfo};

/// A trusted signer of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    name: String,
    key: PublicKeyInfo,
    /// The ids by which signatures name the key.
    key_ids: Vec<u32>,
}

/// Why a file does not contain a usable key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignerError {
    /// It is neither a certificate nor a public key.
    #[error(
        "not one X.509 certificate and not one public key in PEM or DER (`openssl x509`, `openssl pkey -pubout`)"
    )]
    Form,
    /// Signatures of its key cannot be checked.
    #[error("its signatures cannot be checked: use RSA of 2048 to 4096 bits, or ECDSA on P-256 or P-384")]
    Key,
}

impl Signer {
    /// Reads a signer's key: an X.509 certificate or a SubjectPublicKeyInfo, in PEM or DER. Only the
    /// certificate's key and key identifier count, as in the kernel's keyrings; `name` is for display.
    ///
    /// # Errors
    /// [`SignerError`] says what is wrong.
    pub fn read(name: String, bytes: &[u8]) -> Result<Self, SignerError> {
        let (key, stated_id) = x509::read_public_key(bytes).ok_or(SignerError::Form)?;
        if !key.can_verify() {
            return Err(SignerError::Key);
        }
        let computed = HashAlgorithm::Sha1.digest(&[key.bits()]);
        let ids = [Some(computed.as_bytes()), stated_id.as_deref()];
        let key_ids = ids.into_iter().flatten().filter_map(|id| id.last_chunk::<4>().copied());
        Ok(Self { name, key_ids: key_ids.map(u32::from_be_bytes).collect(), key })
    }

    /// Returns the signer's name for display.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key and its ids, without the name.
    pub(super) fn identity(&self) -> String {
        format!("{} {:x?}", HashAlgorithm::Sha256.digest(&[self.key.whole()]), self.key_ids)
    }

    /// Returns whether signatures with this key id may be by this key: evmctl derives the id from the SHA-1 of
    /// the key, or from the certificate's subjectKeyIdentifier.
    pub(super) fn has_key_id(&self, id: u32) -> bool {
        self.key_ids.contains(&id)
    }

    pub(super) fn verifies(&self, hash: HashAlgorithm, digest: &TaggedDigest, signature: &[u8]) -> bool {
        self.key.verifies(hash, digest.as_bytes(), signature)
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
