//! What an SSHSIG signature is over: not the message, but a digest of it in an envelope that no other
//! protocol of SSH can mistake for its own.

use ring::digest;

use super::SignatureError;
use crate::wire::put_string;

pub(super) const MAGIC: &[u8] = b"SSHSIG";

/// The digest of the message.
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

/// The bytes that the key signs.
pub(crate) fn to_be_signed(namespace: &str, hash: HashName, message: &[u8]) -> Vec<u8> {
    let mut signed = MAGIC.to_vec();
    put_string(&mut signed, namespace.as_bytes());
    put_string(&mut signed, b"");
    put_string(&mut signed, hash.as_str().as_bytes());
    put_string(&mut signed, hash.digest(message).as_ref());
    signed
}
