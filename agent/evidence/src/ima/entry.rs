use std::borrow::Cow;

use super::error::ImaError;
use super::file_digest::FileDigest;
use super::measured::Measured;
use crate::tpm::{HashAlgorithm, TaggedDigest};

pub(super) const SHA1_LEN: usize = 20;
/// IMA_EVENT_NAME_LEN_MAX. The template `ima` hashes its file name padded to one byte more.
const IMA_NAME_MAX_LEN: usize = 255;

/// One measurement.
///
/// Trust its content only after an [`super::Aggregate`] has accepted it, and only if it is not a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its start, in bytes from the start of the piece of log.
    pub offset: usize,
    /// The start of the next entry.
    pub end: usize,
    /// The PCR that it was extended into.
    pub pcr: u8,
    /// The name of the template: `ima-ng`, `ima-sig` and similar. No digest covers it.
    pub template: &'a [u8],
    /// The digest of the template data that the kernel states; zeros for a violation.
    pub(super) stated: TaggedDigest,
    /// What the kernel hashed.
    pub(super) data: Cow<'a, [u8]>,
}

impl Entry<'_> {
    /// Returns whether the kernel could not determine the measured content, because the file was written at the
    /// same time.
    ///
    /// Either a measured file was opened for writing (time of measure, time of use), or a file was measured
    /// while it was open for writing; the log does not say which, only the audit log does. No digest covers such
    /// an entry: the TPM was extended with ones, so its path is only a claim.
    pub fn is_violation(&self) -> bool {
        self.stated == TaggedDigest::filled(self.list_hash(), 0)
    }

    /// Returns the hash of its list: SHA-1, or one bank's in the kernel's lists for single banks.
    pub fn list_hash(&self) -> HashAlgorithm {
        self.stated.algorithm()
    }

    /// Returns the path of the file, which may not be UTF-8, or the name of another measured object. Spaces
    /// appear as underscores.
    ///
    /// `None` if the entry does not have exactly the fields of its template, and for templates that do not begin
    /// with digest and name.
    pub fn path(&self) -> Option<&[u8]> {
        Measured::read(self).map(|measured| measured.path)
    }

    /// Returns the digest of the file or the other measured object.
    ///
    /// `None` if [`Entry::path`] is `None`, for a violation, and for unknown algorithms.
    pub fn file_digest(&self) -> Option<FileDigest> {
        Measured::read(self).and_then(|measured| measured.digest).filter(|_| !self.is_violation())
    }

    /// Returns the file's extended attribute `security.ima`, if it is a signature and the template has it.
    pub fn signature(&self) -> Option<&[u8]> {
        Measured::read(self)?.signature
    }

    /// Returns the measured data itself, if it is not a file: a key, a command line for kexec, critical data.
    ///
    /// `None` if [`Entry::file_digest`] is not the digest of that data.
    pub fn buffer(&self) -> Option<&[u8]> {
        let buffer = Measured::read(self)?.buffer?;
        let stated = self.file_digest()?.digest;
        (stated.algorithm().digest(&[buffer]) == stated).then_some(buffer)
    }

    /// Returns the digest with which a PCR bank was extended; all ones for a violation.
    pub(super) fn extended(&self, bank: HashAlgorithm) -> TaggedDigest {
        if self.is_violation() {
            return TaggedDigest::filled(bank, 0xff);
        }
        self.digest(bank)
    }

    /// Returns the extended digest of kernels before 5.8, or without the bank's hash: SHA-1, padded with zeros.
    pub(super) fn extended_padded(&self, bank: HashAlgorithm) -> TaggedDigest {
        if self.is_violation() {
            return TaggedDigest::filled(bank, 0xff);
        }
        TaggedDigest::zero_padded(bank, self.digest(HashAlgorithm::Sha1).as_bytes())
    }

    /// Checks that the stated digest is the data's.
    pub(super) fn check(&self) -> Result<(), ImaError> {
        let hash = self.list_hash();
        if self.is_violation() || hash.digest(&[&self.data]) == self.stated {
            return Ok(());
        }
        Err(match hash {
            HashAlgorithm::Sha1 => ImaError::Altered { offset: self.offset },
            expected => ImaError::Hash { offset: self.offset, expected },
        })
    }

    /// Returns the digest of the data. Before [`Entry::check`] has passed, the stated digest proves nothing.
    fn digest(&self, hash: HashAlgorithm) -> TaggedDigest {
        if hash == self.list_hash() { self.stated } else { hash.digest(&[&self.data]) }
    }
}

/// Returns what is hashed for the template `ima`; `None` if the name is too long for it.
pub(super) fn ima_template_data(file_digest: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let padding = IMA_NAME_MAX_LEN.checked_sub(name.len())?.checked_add(1)?;
    let mut data = [file_digest, name].concat();
    data.extend(std::iter::repeat_n(0, padding));
    Some(data)
}
