use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use thiserror::Error;

/// A hash algorithm of PCR banks, names and policies (TPM_ALG_ID, TCG Algorithm Registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// For old logs only; no decision relies on SHA-1.
    Sha1,
    /// The usual bank of quotes and leases.
    Sha256,
    /// The name algorithm of the high-range P-384 endorsement key.
    Sha384,
    /// Appears in event logs of servers.
    Sha512,
}

/// The name of a hash algorithm is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown hash algorithm: use sha1, sha256, sha384 or sha512")]
pub struct UnknownHash;

impl HashAlgorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the TPM_ALG_ID.
    pub const fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// Returns the algorithm with this TPM_ALG_ID, if it is supported.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// Returns the size of a digest in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Returns the name in the notation of tpm2-tools and the kernel.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Hashes the parts in sequence.
    pub fn digest(self, parts: &[&[u8]]) -> TaggedDigest {
        match self {
            Self::Sha1 => TaggedDigest::zero_padded(self, &hash::<Sha1>(parts)),
            Self::Sha256 => TaggedDigest::zero_padded(self, &hash::<Sha256>(parts)),
            Self::Sha384 => TaggedDigest::zero_padded(self, &hash::<Sha384>(parts)),
            Self::Sha512 => TaggedDigest::zero_padded(self, &hash::<Sha512>(parts)),
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownHash;

    fn from_str(name: &str) -> Result<Self, UnknownHash> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(UnknownHash)
    }
}

/// A digest with its algorithm (TPMT_HA). `pawl_proto::Digest` is a SHA-256 digest in a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaggedDigest {
    algorithm: HashAlgorithm,
    /// Zero after the algorithm's length.
    buffer: [u8; 64],
}

impl TaggedDigest {
    /// Tags bytes with their algorithm; `None` if their number is not the algorithm's digest length.
    pub fn new(algorithm: HashAlgorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.digest_len()).then(|| Self::zero_padded(algorithm, bytes))
    }

    /// Returns a digest with all bytes equal to `byte`; a PCR after a reset is all zeros or all ones.
    pub fn filled(algorithm: HashAlgorithm, byte: u8) -> Self {
        Self::zero_padded(algorithm, &[byte; 64])
    }

    /// Returns a PCR's value before any extend (TCG PC Client Platform TPM Profile, section 4.6).
    pub fn at_reset(algorithm: HashAlgorithm, pcr: u8) -> Self {
        Self::filled(algorithm, if (17..=22).contains(&pcr) { 0xff } else { 0 })
    }

    /// Returns the algorithm.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Returns the bytes, as many as a digest of the algorithm has.
    pub fn as_bytes(&self) -> &[u8] {
        let (digest, _) = self.buffer.split_at_checked(self.algorithm.digest_len()).unwrap_or_default();
        digest
    }

    /// Extends as the TPM extends a PCR: H(self ‖ data).
    pub fn extend(&self, data: &[u8]) -> Self {
        self.algorithm.digest(&[self.as_bytes(), data])
    }

    /// Returns the bytes, padded with zeros or cut to the algorithm's length.
    pub(crate) fn zero_padded(algorithm: HashAlgorithm, bytes: &[u8]) -> Self {
        let mut buffer = [0; 64];
        for (to, from) in buffer.iter_mut().zip(bytes).take(algorithm.digest_len()) {
            *to = *from;
        }
        Self { algorithm, buffer }
    }
}

impl PartialOrd for TaggedDigest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TaggedDigest {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.algorithm, self.buffer).cmp(&(other.algorithm, other.buffer))
    }
}

impl fmt::Display for TaggedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for TaggedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm)
    }
}

/// Returns SHA-256 as an array, for digests with a fixed algorithm.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hash::<Sha256>(parts).into()
}

fn hash<H: sha2::Digest>(parts: &[&[u8]]) -> sha2::digest::Output<H> {
    let mut state = H::new();
    for part in parts {
        state.update(part);
    }
    state.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_exactly_its_algorithms_length() {
        assert!(TaggedDigest::new(HashAlgorithm::Sha256, &[0; 31]).is_none());
        assert!(TaggedDigest::new(HashAlgorithm::Sha256, &[0; 33]).is_none());
        assert_eq!(TaggedDigest::filled(HashAlgorithm::Sha1, 0xff).as_bytes(), [0xff; 20]);
        assert_eq!(TaggedDigest::filled(HashAlgorithm::Sha1, 0xff).buffer[20..], [0; 44]);
    }

    #[test]
    fn a_log_of_one_separator_gives_the_well_known_pcr() {
        let separator = HashAlgorithm::Sha256.digest(&[&[0; 4]]);
        let pcr = TaggedDigest::filled(HashAlgorithm::Sha256, 0).extend(separator.as_bytes());
        assert_eq!(pcr.to_string(), "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969");
    }
}
