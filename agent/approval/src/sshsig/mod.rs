//! Parses and verifies SSHSIG signatures (PROTOCOL.sshsig of OpenSSH).

mod crypto;
mod format;
#[cfg(feature = "sign")]
pub(crate) mod make;

use crate::key::{Fingerprint, PublicKey};
use crate::wire::Reader;
use format::{HashName, MAGIC};

pub use format::SignatureError;

const VERSION: u32 = 1;

/// A parsed signature. Trust nothing in it before [`Signature::verify`].
#[derive(Clone, Debug)]
pub struct Signature {
    key: PublicKey,
    namespace: String,
    hash: HashName,
    /// The inner signature, in the format of the key's algorithm.
    signature: Vec<u8>,
}

impl Signature {
    /// The size limit of an armored signature, in bytes. One by RSA with 8192 bits has about 3 KiB.
    pub const MAX_LEN: usize = format::ARMOR_MAX_LEN;

    /// Parses the output of `ssh-keygen -Y sign`, including the lines around the Base64.
    ///
    /// # Errors
    /// [`SignatureError`] if it is too long, not an SSHSIG signature, or by a key that cannot approve.
    pub fn parse(armored: &str) -> Result<Self, SignatureError> {
        let blob = format::dearmor(armored)?;
        let fields = Fields::read(&blob).ok_or(SignatureError::Malformed)?;
        if fields.version != VERSION {
            return Err(SignatureError::Version(fields.version));
        }
        Ok(Self {
            key: PublicKey::parse_blob(fields.key)?,
            namespace: fields.namespace.to_owned(),
            hash: HashName::parse(fields.hash)?,
            signature: fields.signature.to_vec(),
        })
    }

    /// Returns the key that it claims to be made with.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns the namespace that it claims to be made for: printable ASCII.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Checks that the key signed `message` for `namespace`. [`AllowedSigners`](crate::AllowedSigners) says whose key it
    /// is, and whether it may approve.
    ///
    /// # Errors
    /// [`SignatureError`] says which check failed.
    pub fn verify(
        &self,
        namespace: &str,
        message: &[u8],
        touch: Touch,
    ) -> Result<VerifiedKey, SignatureError> {
        if self.namespace != namespace {
            return Err(SignatureError::Namespace {
                expected: namespace.to_owned(),
                found: self.namespace.clone(),
            });
        }
        let signed = format::to_be_signed(namespace, self.hash, message);
        crypto::verify(self.key.kind(), &self.signature, &signed, touch)?;
        Ok(VerifiedKey(self.key.clone()))
    }
}

/// Whether a security key must attest a touch.
///
/// `ssh-keygen -Y verify` does not require it; an approval by a person must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// A touch is required.
    Require,
    /// No touch is required: accepts keys made with `ssh-keygen -O no-touch-required`.
    Waive,
}

/// The key of a verified signature. Only [`Signature::verify`] creates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedKey(PublicKey);

impl VerifiedKey {
    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.0
    }

    /// Returns the fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    /// Returns the key type.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.0.algorithm()
    }
}

/// The fields of the blob in the armor.
struct Fields<'a> {
    version: u32,
    key: &'a [u8],
    namespace: &'a str,
    hash: &'a str,
    signature: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(blob: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(blob.strip_prefix(MAGIC)?);
        let version = reader.u32()?;
        let key = reader.string()?;
        let namespace = reader.name()?;
        // Reserved: ignored, and not signed.
        let _reserved = reader.string()?;
        let hash = reader.name()?;
        let signature = reader.string()?;
        reader.end()?;
        Some(Self { version, key, namespace, hash, signature })
    }
}
