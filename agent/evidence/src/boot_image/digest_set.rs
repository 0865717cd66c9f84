use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tpm::{HashAlgorithm, TaggedDigest};

/// The digests of one thing for every bank that a TPM may have.
///
/// As JSON: `{"sha1": "…", "sha256": "…", "sha384": "…", "sha512": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct DigestSet([TaggedDigest; HashAlgorithm::ALL.len()]);

/// A set of digests lacks one, or has one that is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a set of digests must have sha1, sha256, sha384 and sha512 in hexadecimal")]
pub struct DigestSetError;

impl DigestSet {
    /// Hashes bytes with every algorithm.
    pub fn of(bytes: &[u8]) -> Self {
        Self::each(|algorithm| algorithm.digest(&[bytes]))
    }

    /// Computes each algorithm's digest. `digest` must return a digest of the given algorithm.
    pub(crate) fn each(digest: impl Fn(HashAlgorithm) -> TaggedDigest) -> Self {
        Self(HashAlgorithm::ALL.map(digest))
    }

    /// Returns the digest for one bank.
    pub fn get(&self, bank: HashAlgorithm) -> Option<&TaggedDigest> {
        self.0.iter().find(|digest| digest.algorithm() == bank)
    }
}

impl From<DigestSet> for BTreeMap<String, String> {
    fn from(set: DigestSet) -> Self {
        set.0.iter().map(|digest| (digest.algorithm().to_string(), digest.to_string())).collect()
    }
}

impl TryFrom<BTreeMap<String, String>> for DigestSet {
    type Error = DigestSetError;

    fn try_from(texts: BTreeMap<String, String>) -> Result<Self, DigestSetError> {
        let read = |algorithm: HashAlgorithm| {
            let bytes = crate::lower_hex::read(texts.get(algorithm.as_str())?.as_bytes())?;
            TaggedDigest::new(algorithm, &bytes)
        };
        let digests: Option<Vec<TaggedDigest>> = HashAlgorithm::ALL.into_iter().map(read).collect();
        digests.and_then(|digests| digests.try_into().ok()).map(Self).ok_or(DigestSetError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_json_and_is_refused_when_incomplete() {
        let set = DigestSet::of(b"initrd");
        let json = serde_json::to_string(&set).unwrap();
        assert!(json.contains("\"sha384\":\""));
        assert_eq!(serde_json::from_str::<DigestSet>(&json).unwrap(), set);
        assert_eq!(set.get(HashAlgorithm::Sha384), Some(&HashAlgorithm::Sha384.digest(&[b"initrd"])));
        for wrong in [json.replace("sha512", "sha3"), json.replacen(":\"", ":\"0", 1), String::from("{}")] {
            assert!(serde_json::from_str::<DigestSet>(&wrong).is_err(), "{wrong}");
        }
    }
}
