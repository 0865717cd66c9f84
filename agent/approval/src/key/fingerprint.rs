use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "SHA256:";

/// The SHA-256 of a public key, written `SHA256:…` as OpenSSH does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }

    /// The digest itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let base64 = text.strip_prefix(PREFIX).ok_or(NotAFingerprint)?;
        let mut digest = [0; 32];
        match STANDARD_NO_PAD.decode_slice(base64, &mut digest) {
            Ok(32) => Ok(Self(digest)),
            _ => Err(NotAFingerprint),
        }
    }
}

/// The text is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: expected SHA256: and 43 characters, as `ssh-keygen -l` prints it")]
pub struct NotAFingerprint;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let fingerprint = Fingerprint::of(b"a key");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!("SHA256:short".parse::<Fingerprint>(), Err(NotAFingerprint));
        let digest = fingerprint.to_string().replace("SHA256:", "MD5:");
        assert_eq!(digest.parse::<Fingerprint>(), Err(NotAFingerprint));
    }
}
