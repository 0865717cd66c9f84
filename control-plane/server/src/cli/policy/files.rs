//! What an IMA log says was run, as a list of digests for a policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, Entry, ImaError, Outcome};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

/// The kernel's own first entry, for which no list is needed.
const BOOT_AGGREGATE: &[u8] = b"boot_aggregate";

/// The digests of all files that were run, with their paths, as `sha256sum` prints them.
pub(super) struct Files {
    pub(super) list: String,
    /// The quoted PCR 10 accounts for the log.
    pub(super) anchored: bool,
}

impl Files {
    /// Reads the part of a log, binary or ASCII, that the quoted PCR 10 accounts for.
    pub(super) fn learn(log: &[u8], quoted: &TaggedDigest) -> Result<Self, FilesError> {
        // A binary log begins with the number of a PCR in 32 bits, little-endian.
        if log.get(1..4) == Some(&[0, 0, 0]) {
            Self::of(BinaryLog::new, log, quoted)
        } else {
            Self::of(AsciiLog::new, log, quoted)
        }
    }

    fn of<'a, I>(
        read: impl Fn(&'a [u8]) -> I,
        log: &'a [u8],
        quoted: &TaggedDigest,
    ) -> Result<Self, FilesError>
    where
        I: Iterator<Item = Result<Entry<'a>, ImaError>>,
    {
        let (consumed, anchored) = match Aggregate::new(quoted.algorithm()).advance(read(log), quoted)? {
            Outcome::Anchored { consumed, .. } => (consumed, true),
            Outcome::Unanchored => (log.len(), false),
            Outcome::Inactive => return Err(FilesError::Inactive),
            Outcome::Diverged => return Err(FilesError::Diverged),
        };
        let mut files = BTreeMap::new();
        for entry in read(log.get(..consumed).unwrap_or_default()) {
            let entry = entry?;
            let path = entry.path().filter(|path| *path != BOOT_AGGREGATE);
            let digest = entry.file_digest().filter(|file| file.digest.algorithm() != HashAlgorithm::Sha1);
            if let (Some(path), Some(digest)) = (path, digest) {
                files.entry(digest).or_insert_with(|| path.escape_ascii().to_string());
            }
        }
        let mut list = String::new();
        for (digest, path) in files {
            let _ = writeln!(list, "{digest}  {path}");
        }
        Ok(Self { list, anchored })
    }
}

/// An IMA log from which nothing is learnt.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FilesError {
    #[error(transparent)]
    Log(#[from] ImaError),
    #[error("the device's last report shows that IMA is off")]
    Inactive,
    #[error(
        "the device's last report does not account for this log: copy the log from the device after `refresh`, \
         in the same boot"
    )]
    Diverged,
    #[error("the device's last report does not cover PCR 10")]
    NotQuoted,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pawl_evidence::ima::FileDigest;

    use super::*;

    fn log(boot: &str, file: &str) -> Vec<u8> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        std::fs::read(fixtures.join(boot).join(file)).unwrap()
    }

    /// PCR 10 after the whole log.
    fn pcr_10(log: &[u8]) -> TaggedDigest {
        let mut aggregate = Aggregate::new(HashAlgorithm::Sha256);
        assert_eq!(aggregate.absorb(BinaryLog::new(log)).unwrap(), log.len());
        *aggregate.value()
    }

    #[test]
    fn a_list_has_the_files_of_the_log_in_either_form() {
        let binary = log("x86-good", "ima_binary_runtime_measurements");
        let quoted = pcr_10(&binary);
        let files = Files::learn(&binary, &quoted).unwrap();
        assert!(files.anchored && files.list.contains("  /init\n"), "{}", files.list);
        assert!(!files.list.contains("boot_aggregate"));
        for line in files.list.lines() {
            line.split_whitespace().next().unwrap().parse::<FileDigest>().unwrap();
        }
        let ascii = log("x86-good", "ima_ascii_runtime_measurements");
        assert_eq!(Files::learn(&ascii, &quoted).unwrap().list, files.list);
    }

    #[test]
    fn nothing_is_learnt_from_a_log_that_the_report_does_not_account_for() {
        let log_of_another = log("x86-good-2nd-boot", "ima_binary_runtime_measurements");
        let quoted = pcr_10(&log("x86-good", "ima_binary_runtime_measurements"));
        assert!(matches!(Files::learn(&log_of_another, &quoted), Err(FilesError::Diverged)));
    }

    #[test]
    fn a_log_that_nothing_ties_to_the_tpm_is_learnt_as_such() {
        let log = log("arm64-good", "ima_binary_runtime_measurements");
        let never_extended = TaggedDigest::filled(HashAlgorithm::Sha256, 0);
        assert!(!Files::learn(&log, &never_extended).unwrap().anchored);
    }
}
