use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::tpm::{HashAlgorithm, TaggedDigest};

/// The digest that the kernel measured for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDigest {
    /// The input of the hash.
    pub of: Hashed,
    /// The digest of that input.
    pub digest: TaggedDigest,
}

/// The input of a file's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hashed {
    /// The bytes of the file, or of the buffer that was measured.
    Contents,
    /// The fs-verity descriptor, which contains the root of the file's hash tree.
    Verity,
}

impl FileDigest {
    /// Parses the field `d-ng` or `d-ngv2`: algorithm, colon, zero, digest; `d-ngv2` starts with `ima:` or `verity:`.
    /// Returns `None` for unknown algorithms.
    pub(super) fn read_field(field: &[u8]) -> Option<Self> {
        let zero = field.iter().position(|byte| *byte == 0)?;
        let (label, digest) = field.split_at_checked(zero)?;
        let label = std::str::from_utf8(label.strip_suffix(b":")?).ok()?;
        let (of, algorithm) = split_label(label)?;
        let digest = TaggedDigest::new(algorithm.parse().ok()?, digest.strip_prefix(b"\0")?)?;
        Some(Self { of, digest })
    }
}

impl fmt::Display for FileDigest {
    /// Writes the kernel's text form; omits `ima:`, the prefix of a digest of contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Hashed::Contents => write!(f, "{:?}", self.digest),
            Hashed::Verity => write!(f, "verity:{:?}", self.digest),
        }
    }
}

/// Why a text is not the digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileDigestError {
    /// It has another form.
    #[error(
        "not a digest: write it as sha256sum prints it, or as the IMA log does: `sha256:…`, `sha512:…`, `verity:sha256:…`"
    )]
    Form,
    /// It is a SHA-1 digest.
    #[error("SHA-1 digests are not accepted: use sha256, sha384 or sha512")]
    Weak,
}

impl FromStr for FileDigest {
    type Err = FileDigestError;

    /// Parses `sha256:…` and similar, optionally with `ima:` or `verity:` in front, and a bare hexadecimal
    /// digest, whose length determines the algorithm.
    fn from_str(text: &str) -> Result<Self, FileDigestError> {
        let (of, algorithm, hex) = match text.rsplit_once(':') {
            Some((label, hex)) => {
                let (of, algorithm) = split_label(label).ok_or(FileDigestError::Form)?;
                (of, algorithm.parse().map_err(|_| FileDigestError::Form)?, hex)
            }
            None => (Hashed::Contents, by_length(text).ok_or(FileDigestError::Form)?, text),
        };
        if algorithm == HashAlgorithm::Sha1 {
            return Err(FileDigestError::Weak);
        }
        let digest = crate::bytes::read_lower_hex(hex.as_bytes())
            .and_then(|bytes| TaggedDigest::new(algorithm, &bytes));
        Ok(Self { of, digest: digest.ok_or(FileDigestError::Form)? })
    }
}

fn split_label(label: &str) -> Option<(Hashed, &str)> {
    match label.split_once(':') {
        None => Some((Hashed::Contents, label)),
        Some(("ima", algorithm)) => Some((Hashed::Contents, algorithm)),
        Some(("verity", algorithm)) => Some((Hashed::Verity, algorithm)),
        Some(_) => None,
    }
}

fn by_length(hex: &str) -> Option<HashAlgorithm> {
    HashAlgorithm::ALL.into_iter().find(|algorithm| Some(hex.len()) == algorithm.digest_len().checked_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_people_and_the_kernel_write_are_read() {
        let hex = "ab".repeat(32);
        let bare: FileDigest = hex.parse().unwrap();
        assert_eq!(bare.to_string(), format!("sha256:{hex}"));
        assert_eq!(format!("ima:sha256:{hex}").parse(), Ok(bare));
        let verity: FileDigest = format!("verity:sha256:{hex}").parse().unwrap();
        assert_eq!((verity.of, verity.digest), (Hashed::Verity, bare.digest));
        assert_ne!(verity, bare);
    }

    #[test]
    fn sha1_digests_and_malformed_texts_are_refused() {
        assert_eq!("0".repeat(40).parse::<FileDigest>(), Err(FileDigestError::Weak));
        assert_eq!(format!("sha1:{}", "0".repeat(40)).parse::<FileDigest>(), Err(FileDigestError::Weak));
        for text in ["", "sha256:", "sha256:00", "md5:00", "evm:sha256:00", "xyz"] {
            assert_eq!(text.parse::<FileDigest>(), Err(FileDigestError::Form), "{text}");
        }
    }
}
