//! The format of an SSHSIG signature: the armor, and what the key signs. That is not the message, but a digest of it in
//! an envelope that no other protocol of SSH can mistake for its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::key::KeyError;
use crate::wire::put_string;

pub(super) const MAGIC: &[u8] = b"SSHSIG";

/// The hash of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashName {
    Sha256,
    Sha512,
}

impl HashName {
    pub(super) fn parse(name: &str) -> Result<Self, SignatureError> {
        [Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|hash| hash.as_str() == name)
            .ok_or_else(|| SignatureError::Hash(name.to_owned()))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digest(self, message: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message)
    }
}

/// Returns the bytes that the key signs.
pub(crate) fn to_be_signed(namespace: &str, hash: HashName, message: &[u8]) -> Vec<u8> {
    let mut signed = MAGIC.to_vec();
    put_string(&mut signed, namespace.as_bytes());
    put_string(&mut signed, b"");
    put_string(&mut signed, hash.as_str().as_bytes());
    put_string(&mut signed, hash.digest(message).as_ref());
    signed
}

pub(super) const ARMOR_MAX_LEN: usize = 4096;

pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
pub(super) const END: &str = "-----END SSH SIGNATURE-----";

/// Returns the bytes in the armor. Ignores space around and in it, because people paste signatures.
pub(super) fn dearmor(armored: &str) -> Result<Vec<u8>, SignatureError> {
    if armored.len() > ARMOR_MAX_LEN {
        return Err(SignatureError::TooLong);
    }
    let base64 = armored
        .trim()
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END))
        .ok_or(SignatureError::NotArmored)?;
    let base64: String = base64.split_ascii_whitespace().collect();
    STANDARD.decode(base64).map_err(|_| SignatureError::NotArmored)
}

/// Why a signature is refused. For operators; it contains only printable characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// It is longer than [`Signature::MAX_LEN`](super::Signature::MAX_LEN).
    #[error("the signature is longer than {} bytes", super::Signature::MAX_LEN)]
    TooLong,
    /// It is not Base64 between the two lines. It may have been cut off.
    #[error(
        "this is no whole SSH signature: expected all lines from -----BEGIN SSH SIGNATURE----- to \
         -----END SSH SIGNATURE-----"
    )]
    NotArmored,
    /// The armor is complete, but its content is malformed.
    #[error("the SSH signature is malformed")]
    Malformed,
    /// The version of SSHSIG is not 1.
    #[error("the SSH signature is of version {0}; version 1 is supported")]
    Version(u32),
    /// The key cannot approve.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The hash is neither SHA-256 nor SHA-512.
    #[error("the SSH signature is over a digest by `{0}`: sha256 and sha512 are supported")]
    Hash(String),
    /// The namespace is another one.
    #[error("the signature was made for the namespace `{found}`, not `{expected}`")]
    Namespace {
        /// The expected namespace.
        expected: String,
        /// The namespace in the signature.
        found: String,
    },
    /// It is RSA with SHA-1.
    #[error(
        "the signature uses RSA with SHA-1 (ssh-rsa), which is broken: update the SSH agent that made it"
    )]
    Sha1,
    /// It is a FIDO2 signature of a browser, which has another format.
    #[error(
        "signatures through a browser (webauthn) are not supported: sign with ssh-keygen or an ssh-agent"
    )]
    WebAuthn,
    /// The key's type does not have this signature algorithm.
    #[error("the signature's algorithm `{signature}` is not one of a key of type `{key}`")]
    Algorithm {
        /// The type of the key.
        key: &'static str,
        /// The algorithm that the signature names.
        signature: String,
    },
    /// The security key signed without a touch.
    #[error("the security key signed without being touched: nobody may have been there")]
    Untouched,
    /// It is for another message, by another key, or altered.
    #[error("the signature does not verify: it was made by another key, for something else, or was altered")]
    Invalid,
}
