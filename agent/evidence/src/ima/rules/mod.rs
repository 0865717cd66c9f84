//! A policy's rules for the files that a device measured.
//!
//! [`Rules`] explain an entry by an allowed digest, a signature, or an excluded path. An entry without an explanation
//! is an [`Offender`] in the [`Findings`]. The rules do not weigh offenders and violations, nor check whether the log
//! is anchored: the appraisal does so later, without a second pass over the entries.

mod findings;
mod offender;

use std::collections::BTreeSet;
use std::fmt;

use pawl_wildcard::Step;
use thiserror::Error;

use super::file_digest::FileDigest;
use crate::tpm::{HashAlgorithm, TaggedDigest, sha256};
use crate::x509;
use crate::x509::PublicKeyInfo;

pub use findings::Findings;
pub use offender::{Offender, Why};

/// The rules. Any one of them suffices to explain an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// Digests of files and other measured objects.
    pub digests: BTreeSet<FileDigest>,
    /// Signers whose signatures (`security.ima`) allow a file.
    pub signers: Vec<Signer>,
    /// Paths that are not checked. Root can put or mount anything there.
    pub exclusions: Vec<PathPattern>,
}

/// A [`RuleSet`] with its id, by which findings identify the rules that made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    set: RuleSet,
    id: [u8; 32],
}

impl Rules {
    /// Computes the id of a set of rules.
    pub fn new(set: RuleSet) -> Self {
        let id = identify(&set);
        Self { set, id }
    }

    /// Returns the SHA-256 of the rules: two sets with the same id judge every log alike.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Returns the set of rules.
    pub fn set(&self) -> &RuleSet {
        &self.set
    }
}

fn identify(set: &RuleSet) -> [u8; 32] {
    let mut text = String::from("pawl ima rules 1\n");
    let mut line = |kind: &str, value: &str| {
        // The length prevents two values from reading as another pair.
        text.push_str(&format!("{kind} {} {value}\n", value.len()));
    };
    for digest in &set.digests {
        line("digest", &digest.to_string());
    }
    for signer in &set.signers {
        line("signer", &signer.identity());
    }
    for exclusion in &set.exclusions {
        line("exclude", exclusion.as_str());
    }
    sha256(&[text.as_bytes()])
}

/// The length limit of a pattern, which bounds the cost of a comparison.
const PATTERN_MAX_LEN: usize = 512;

/// A pattern that matches whole paths, byte by byte: `*` matches any bytes but `/`, `**` any bytes, `?` one byte
/// but `/`. Logs have underscores for spaces; in a pattern, a space or an underscore matches either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    steps: Vec<Step<u8>>,
}

/// Why a text is not a valid pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty or too long.
    #[error("a path pattern has 1 to {PATTERN_MAX_LEN} bytes")]
    Length,
    /// It has three or more stars in a row, which would match the same as two.
    #[error("`***` in a path pattern: `*` stands for anything but a slash, `**` for anything")]
    Stars,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > PATTERN_MAX_LEN {
            return Err(PatternError::Length);
        }
        if text.contains("***") {
            return Err(PatternError::Stars);
        }
        let mut steps = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            steps.push(match byte {
                b'*' if bytes.next_if_eq(&b'*').is_some() => Step::Across,
                b'*' => Step::Within,
                b'?' => Step::One,
                b' ' => Step::Exactly(b'_'),
                byte => Step::Exactly(byte),
            });
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the whole path matches. Takes at most time proportional to path × pattern.
    pub fn matches(&self, path: &[u8]) -> bool {
        pawl_wildcard::matches(&self.steps, path.iter().copied(), |byte| byte != b'/')
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A trusted signer of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    name: String,
    key: PublicKeyInfo,
    /// The ids by which signatures name the key.
    key_ids: Vec<u32>,
}

/// Why a file does not contain a usable key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignerError {
    /// It is neither a certificate nor a public key.
    #[error(
        "not one X.509 certificate and not one public key in PEM or DER (`openssl x509`, `openssl pkey -pubout`)"
    )]
    Form,
    /// Signatures of its key cannot be checked.
    #[error("its signatures cannot be checked: use RSA of 2048 to 4096 bits, or ECDSA on P-256 or P-384")]
    Key,
}

impl Signer {
    /// Reads a signer's key: an X.509 certificate or a SubjectPublicKeyInfo, in PEM or DER. Only the
    /// certificate's key and key identifier count, as in the kernel's keyrings; `name` is for display.
    ///
    /// # Errors
    /// [`SignerError`] says what is wrong.
    pub fn read(name: String, bytes: &[u8]) -> Result<Self, SignerError> {
        let (key, stated_id) = x509::read_public_key(bytes).ok_or(SignerError::Form)?;
        if !key.can_verify() {
            return Err(SignerError::Key);
        }
        let computed = HashAlgorithm::Sha1.digest(&[key.bits()]);
        let ids = [Some(computed.as_bytes()), stated_id.as_deref()];
        let key_ids = ids.into_iter().flatten().filter_map(|id| id.last_chunk::<4>().copied());
        Ok(Self { name, key_ids: key_ids.map(u32::from_be_bytes).collect(), key })
    }

    /// Returns the signer's name for display.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key and its ids, without the name.
    fn identity(&self) -> String {
        format!("{} {:x?}", HashAlgorithm::Sha256.digest(&[self.key.whole()]), self.key_ids)
    }

    /// Returns whether signatures with this key id may be by this key: evmctl derives the id from the SHA-1 of
    /// the key, or from the certificate's subjectKeyIdentifier.
    fn has_key_id(&self, id: u32) -> bool {
        self.key_ids.contains(&id)
    }

    fn verifies(&self, hash: HashAlgorithm, digest: &TaggedDigest, signature: &[u8]) -> bool {
        self.key.verifies(hash, digest.as_bytes(), signature)
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        PathPattern::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_match_within_a_directory_and_across() {
        assert!(matches("/var/log/*", b"/var/log/syslog"));
        assert!(!matches("/var/log/*", b"/var/log/journal/system.journal"));
        assert!(matches("/var/log/**", b"/var/log/journal/system.journal"));
        assert!(matches("/var/**/*.journal", b"/var/log/a/b/system.journal"));
        assert!(!matches("/var/**/*.journal", b"/var/log/a/b.journal/x"));
        assert!(matches("**", b""));
        assert!(matches("/run/?/x", b"/run/1/x") && !matches("/run/?/x", b"/run///x"));
        assert!(matches("/a*b*c", b"/abbbcbc") && !matches("/a*b*c", b"/abbb/c"));
    }

    #[test]
    fn a_pattern_must_match_the_whole_path() {
        assert!(!matches("/var/log", b"/var/log/x"));
        assert!(!matches("/var/log", b"/x/var/log"));
    }

    #[test]
    fn names_need_not_be_utf_8_and_spaces_are_underscores() {
        assert!(matches("/srv/*.bin", b"/srv/\xff\xfe.bin"));
        assert!(matches("/srv/my file", b"/srv/my_file"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        assert_eq!(PathPattern::new(""), Err(PatternError::Length));
        assert_eq!(PathPattern::new(&"x".repeat(513)), Err(PatternError::Length));
        assert_eq!(PathPattern::new("/a/***"), Err(PatternError::Stars));
    }

    #[test]
    fn time_is_bounded_with_many_stars() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, "a".repeat(4000).replace("aaaaaaaaaaa", "aaaaaaaaaa/").as_bytes()));
    }
}
