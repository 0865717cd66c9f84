use std::borrow::Cow;

use super::error::ImaError;
use super::file_digest::FileDigest;
use super::measured::Measured;
use crate::tpm::{Digest, HashAlgorithm};

pub(super) const SHA1_LEN: usize = 20;
/// IMA_EVENT_NAME_LEN_MAX: the template `ima` hashes its file name padded to one byte more.
const IMA_NAME_MAX_LEN: usize = 255;

/// One measurement.
///
/// What it says of a file is worth something once an [`super::Aggregate`] has accepted it, and only where the entry
/// is no violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it begins, in bytes from the start of the piece of log.
    pub offset: usize,
    /// Where the next one begins.
    pub end: usize,
    /// The PCR that it was extended into.
    pub pcr: u8,
    /// The name of the template: `ima-ng`, `ima-sig` and the like. No digest covers it.
    pub template: &'a [u8],
    /// The digest of the template data, as the kernel states it; zeros for a violation.
    pub(super) stated: Digest,
    /// What the kernel hashed.
    pub(super) data: Cow<'a, [u8]>,
}

impl Entry<'_> {
    /// Whether the kernel could not tell what was measured, because the file was written at the same time.
    ///
    /// The log does not say which came first: somebody opened a measured file for writing (time of measure, time of
    /// use), or a file was measured while it was open for writing; the kernel tells the audit log alone. Nor does any
    /// digest cover such an entry: the TPM was extended with ones, so that its path is a mere claim.
    pub fn is_violation(&self) -> bool {
        self.stated == Digest::filled(self.list_hash(), 0)
    }

    /// The hash of the list that it stands in: SHA-1, or that of one bank for the kernel's lists for single banks.
    pub fn list_hash(&self) -> HashAlgorithm {
        self.stated.algorithm()
    }

    /// The path of the file, which need not be UTF-8, or the name of what else was measured. Spaces in it
    /// come as underscores.
    ///
    /// `None` where the entry does not have exactly the fields of its template, and for templates that do not begin
    /// with digest and name.
    pub fn path(&self) -> Option<&[u8]> {
        Measured::read(self).map(|measured| measured.path)
    }

    /// The digest of the file, or of what else was measured.
    ///
    /// `None` where [`Entry::path`] has none, for a violation, and for algorithms that are not known here.
    pub fn file_digest(&self) -> Option<FileDigest> {
        Measured::read(self).and_then(|measured| measured.digest).filter(|_| !self.is_violation())
    }

    /// The file's extended attribute `security.ima`, if it is a signature and the template has it.
    pub fn signature(&self) -> Option<&[u8]> {
        Measured::read(self)?.signature
    }

    /// What was measured itself, where it is no file: a key, a command line for kexec, critical data.
    ///
    /// `None` also where it is not what [`Entry::file_digest`] is the digest of.
    pub fn buffer(&self) -> Option<&[u8]> {
        let buffer = Measured::read(self)?.buffer?;
        let stated = self.file_digest()?.digest;
        (stated.algorithm().digest(&[buffer]) == stated).then_some(buffer)
    }

    /// The digest that a PCR bank was extended with; all ones for a violation.
    pub(super) fn extended(&self, bank: HashAlgorithm) -> Digest {
        if self.is_violation() {
            return Digest::filled(bank, 0xff);
        }
        self.digest(bank)
    }

    /// The same where the kernel has no such hash, or is older than 5.8: SHA-1, padded with zeros.
    pub(super) fn extended_padded(&self, bank: HashAlgorithm) -> Digest {
        if self.is_violation() {
            return Digest::filled(bank, 0xff);
        }
        Digest::zero_padded(bank, self.digest(HashAlgorithm::Sha1).as_bytes())
    }

    /// Checks the stated digest, so that it can stand for the data.
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

    /// The digest of the data. Only what [`Entry::check`] has passed may stand for it.
    fn digest(&self, hash: HashAlgorithm) -> Digest {
        if hash == self.list_hash() { self.stated } else { hash.digest(&[&self.data]) }
    }
}

/// What is hashed for the template `ima`; `None` when the name is too long for it.
pub(super) fn ima_template_data(file_digest: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let padding = IMA_NAME_MAX_LEN.checked_sub(name.len())?.checked_add(1)?;
    let mut data = [file_digest, name].concat();
    data.extend(std::iter::repeat_n(0, padding));
    Some(data)
}
