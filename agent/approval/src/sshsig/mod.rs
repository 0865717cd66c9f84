//! SSHSIG signatures (PROTOCOL.sshsig of OpenSSH): parsing and verifying.

mod armor;
mod crypto;
mod error;
#[cfg(feature = "sign")]
pub(crate) mod make;
mod signed;

pub use self::error::SignatureError;
use self::signed::{HashName, MAGIC};
use crate::key::{Fingerprint, PublicKey};
use crate::wire::Reader;

const VERSION: u32 = 1;

/// A signature that was read and not verified: nothing in it may be trusted.
#[derive(Clone, Debug)]
pub struct Signature {
    key: PublicKey,
    namespace: String,
    hash: HashName,
    /// The inner signature, in the form of the key's algorithm.
    signature: Vec<u8>,
}

impl Signature {
    /// How long an armored signature may be, in bytes. One by RSA with 8192 bits takes about 3 KiB.
    pub const MAX_LEN: usize = armor::MAX_LEN;

    /// Reads what `ssh-keygen -Y sign` writes, the lines around the Base64 included.
    ///
    /// # Errors
    /// [`SignatureError`] when it is too long, no SSHSIG signature, or by a key that cannot approve.
    pub fn parse(armored: &str) -> Result<Self, SignatureError> {
        let blob = armor::dearmor(armored)?;
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

    /// The key that it claims to be from.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The namespace that it claims to be made for: printable ASCII.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Checks that the holder of the key signed `message` for `namespace`. Whose key it is, and whether
    /// it may approve, is [`AllowedSigners`](crate::AllowedSigners)' to say.
    ///
    /// # Errors
    /// [`SignatureError`] says what does not fit; all of them are refusals.
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
        let signed = signed::to_be_signed(namespace, self.hash, message);
        crypto::verify(self.key.kind(), &self.signature, &signed, touch)?;
        Ok(VerifiedKey(self.key.clone()))
    }
}

/// Whether a security key must say that somebody touched it when it signed.
///
/// `ssh-keygen -Y verify` does not ask; an approval by a person must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It must.
    Require,
    /// It need not: keys made with `ssh-keygen -O no-touch-required` count.
    Waive,
}

/// A key whose holder made a signature that was verified. Exists only as the outcome of
/// [`Signature::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedKey(PublicKey);

impl VerifiedKey {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.0
    }

    /// The key's name for people.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    /// The kind of key.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.0.algorithm()
    }
}

/// The blob inside the armor, cut into its fields.
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
        // To be ignored, and not signed.
        let _reserved = reader.string()?;
        let hash = reader.name()?;
        let signature = reader.string()?;
        reader.end()?;
        Some(Self { version, key, namespace, hash, signature })
    }
}
