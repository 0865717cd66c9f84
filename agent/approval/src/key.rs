//! Public keys, in SSH's form (RFC 4253, section 6.6; RFC 5656; RFC 8709; PROTOCOL.u2f).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::wire::Reader;

/// The size limit of a key, in bytes: above that of RSA with 8192 bits.
const MAX_BLOB_LEN: usize = 2048;
const RSA_MIN_BITS: usize = 2048;
const RSA_MAX_BITS: usize = 8192;

/// A public key of a kind that can approve.
///
/// It is well formed. Only verifying a signature shows whether it is a point of its curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    blob: Vec<u8>,
}

impl PublicKey {
    /// Parses the binary form, which a `.pub` file has in Base64.
    ///
    /// # Errors
    /// [`KeyError`] if the bytes are not a key, or not one that can approve.
    pub fn parse_blob(blob: &[u8]) -> Result<Self, KeyError> {
        if blob.len() > MAX_BLOB_LEN {
            return Err(KeyError::Malformed);
        }
        Ok(Self { kind: KeyKind::parse(blob)?, blob: blob.to_vec() })
    }

    /// Returns the binary form.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the fingerprint, `SHA256:…`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }

    /// Returns the key type, the first word of a `.pub` file.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.kind.name()
    }

    /// Returns whether the private key is in a FIDO2 security key.
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        matches!(self.kind, KeyKind::SkEd25519 { .. } | KeyKind::SkEcdsaP256 { .. })
    }

    pub(crate) fn kind(&self) -> &KeyKind {
        &self.kind
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Parses the line of a `.pub` file: algorithm, key in Base64, comment. Ignores the comment.
    fn from_str(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_ascii_whitespace();
        let (Some(algorithm), Some(base64)) = (words.next(), words.next()) else {
            return Err(KeyError::Malformed);
        };
        if base64.len() > MAX_BLOB_LEN.div_ceil(3) * 4 {
            return Err(KeyError::Malformed);
        }
        let blob = STANDARD.decode(base64).map_err(|_| KeyError::Malformed)?;
        let key = Self::parse_blob(&blob)?;
        if key.algorithm() == algorithm { Ok(key) } else { Err(KeyError::Malformed) }
    }
}

/// The keys that can approve, with what verifying needs. Points are uncompressed (SEC 1, 2.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Ed25519 { key: [u8; 32] },
    EcdsaP256 { point: [u8; 65] },
    EcdsaP384 { point: [u8; 97] },
    EcdsaP521 { point: [u8; 133] },
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    SkEd25519 { key: [u8; 32], application: String },
    SkEcdsaP256 { point: [u8; 65], application: String },
}

impl KeyKind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ed25519 { .. } => "ssh-ed25519",
            Self::EcdsaP256 { .. } => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 { .. } => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 { .. } => "ecdsa-sha2-nistp521",
            Self::Rsa { .. } => "ssh-rsa",
            Self::SkEd25519 { .. } => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 { .. } => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn parse(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        let name = reader.name().ok_or(KeyError::Malformed)?;
        let kind = match name {
            "ssh-ed25519" => ed25519(&mut reader).map(|key| Self::Ed25519 { key }),
            "ecdsa-sha2-nistp256" => point(&mut reader, "nistp256").map(|point| Self::EcdsaP256 { point }),
            "ecdsa-sha2-nistp384" => point(&mut reader, "nistp384").map(|point| Self::EcdsaP384 { point }),
            "ecdsa-sha2-nistp521" => point(&mut reader, "nistp521").map(|point| Self::EcdsaP521 { point }),
            "ssh-rsa" => rsa(&mut reader)?,
            "sk-ssh-ed25519@openssh.com" => sk_ed25519(&mut reader),
            "sk-ecdsa-sha2-nistp256@openssh.com" => sk_ecdsa(&mut reader),
            _ if name.contains("-cert-v") => return Err(KeyError::Certificate),
            _ => return Err(KeyError::Algorithm(name.to_owned())),
        };
        reader.end().and(kind).ok_or(KeyError::Malformed)
    }
}

fn ed25519(reader: &mut Reader<'_>) -> Option<[u8; 32]> {
    reader.string()?.try_into().ok()
}

fn point<const N: usize>(reader: &mut Reader<'_>, curve: &str) -> Option<[u8; N]> {
    (reader.name()? == curve).then_some(())?;
    let point: [u8; N] = reader.string()?.try_into().ok()?;
    (point.first() == Some(&4)).then_some(point)
}

fn rsa(reader: &mut Reader<'_>) -> Result<Option<KeyKind>, KeyError> {
    let (Some(exponent), Some(modulus)) = (reader.positive(), reader.positive()) else {
        return Ok(None);
    };
    let leading_zeros = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(leading_zeros).unwrap_or(0));
    if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    Ok(Some(KeyKind::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }))
}

fn sk_ed25519(reader: &mut Reader<'_>) -> Option<KeyKind> {
    let key = ed25519(reader)?;
    Some(KeyKind::SkEd25519 { key, application: reader.name()?.to_owned() })
}

fn sk_ecdsa(reader: &mut Reader<'_>) -> Option<KeyKind> {
    let point = point(reader, "nistp256")?;
    Some(KeyKind::SkEcdsaP256 { point, application: reader.name()?.to_owned() })
}

/// Why a key cannot approve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not the encoding of a key.
    #[error("this is no SSH public key: expected a line such as `ssh-ed25519 AAAA… comment`")]
    Malformed,
    /// It is an SSH certificate instead of a key.
    #[error("SSH certificates are not supported: list and use the plain key")]
    Certificate,
    /// The key type is not supported: DSA, or a type newer than this program.
    #[error("keys of type `{0}` are not supported: use ed25519, ecdsa, rsa or a security key (sk-)")]
    Algorithm(String),
    /// An RSA key is too small to be trusted or too large to verify, in bits.
    #[error(
        "this RSA key has {0} bits: {min} to {max} are accepted",
        min = RSA_MIN_BITS,
        max = RSA_MAX_BITS
    )]
    RsaSize(usize),
}

const PREFIX: &str = "SHA256:";

/// The SHA-256 of a public key, written `SHA256:…` as in OpenSSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }

    /// Returns the digest.
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

/// The text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: expected SHA256: and 43 characters, as `ssh-keygen -l` prints it")]
pub struct NotAFingerprint;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_string;

    fn blob(parts: &[&[u8]]) -> Vec<u8> {
        let mut blob = Vec::new();
        parts.iter().for_each(|part| put_string(&mut blob, part));
        blob
    }

    #[test]
    fn keys_that_cannot_approve_are_told_apart() {
        let cert = blob(&[b"ssh-ed25519-cert-v01@openssh.com", &[0; 32]]);
        assert_eq!(PublicKey::parse_blob(&cert), Err(KeyError::Certificate));
        let dsa = blob(&[b"ssh-dss", &[1]]);
        assert_eq!(PublicKey::parse_blob(&dsa), Err(KeyError::Algorithm("ssh-dss".into())));
        let mut modulus = vec![0x40; 128];
        modulus[0] = 0x01;
        let weak = blob(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
        assert_eq!(PublicKey::parse_blob(&weak), Err(KeyError::RsaSize(1017)));
        let long = blob(&[b"ssh-ed25519", &[0; 33]]);
        assert_eq!(PublicKey::parse_blob(&long), Err(KeyError::Malformed));
        let trailing = blob(&[b"ssh-ed25519", &[0; 32], b""]);
        assert_eq!(PublicKey::parse_blob(&trailing), Err(KeyError::Malformed));
        assert_eq!(PublicKey::parse_blob(&[0; MAX_BLOB_LEN + 1]), Err(KeyError::Malformed));
    }

    #[test]
    fn the_first_word_of_a_line_is_the_type_of_its_key() {
        let base64 = STANDARD.encode(blob(&[b"ssh-ed25519", &[7; 32]]));
        let key: PublicKey = format!("ssh-ed25519 {base64} alice@laptop").parse().unwrap();
        assert_eq!(key.algorithm(), "ssh-ed25519");
        assert!(format!("ssh-rsa {base64}").parse::<PublicKey>().is_err());
        assert!("ssh-ed25519".parse::<PublicKey>().is_err());
    }

    #[test]
    fn text_and_back() {
        let fingerprint = Fingerprint::of(b"a key");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!("SHA256:short".parse::<Fingerprint>(), Err(NotAFingerprint));
        let digest = fingerprint.to_string().replace("SHA256:", "MD5:");
        assert_eq!(digest.parse::<Fingerprint>(), Err(NotAFingerprint));
    }
}
