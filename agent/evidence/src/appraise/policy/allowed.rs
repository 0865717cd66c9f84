use serde::de::{self, Deserialize, Deserializer};

use crate::ima::{FileDigest, Hashed};
use crate::tpm::{Digest, HashAlgorithm};

/// Something that is allowed, by its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// What is compared.
    pub digest: Digest,
    /// What an operator calls it; for people alone.
    pub name: String,
}

impl Allowed {
    /// The entry of a list that allows this digest.
    pub(super) fn find<'a>(list: &'a [Self], digest: &Digest) -> Option<&'a Self> {
        list.iter().find(|allowed| allowed.digest == *digest)
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Allowed", deny_unknown_fields)]
        struct Written {
            digest: String,
            #[serde(default)]
            name: String,
        }
        let written = Written::deserialize(deserializer)?;
        let digest = sha256(&written.digest).map_err(de::Error::custom)?;
        Ok(Self { digest, name: written.name })
    }
}

/// Reads a SHA-256 as `sha256sum` prints it, or with `sha256:` in front.
pub(super) fn sha256(text: &str) -> Result<Digest, String> {
    let malformed = || format!("{text:?} is no SHA-256: give 64 hexadecimal digits");
    let read: FileDigest = text.trim().to_ascii_lowercase().parse().map_err(|_| malformed())?;
    let plain = read.of == Hashed::Contents && read.digest.algorithm() == HashAlgorithm::Sha256;
    if plain { Ok(read.digest) } else { Err(malformed()) }
}
