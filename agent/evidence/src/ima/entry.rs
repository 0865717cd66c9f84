use std::borrow::Cow;

use super::error::ImaError;
use crate::tpm::{Digest, HashAlgorithm};

pub(super) const TEMPLATE_IMA: &[u8] = b"ima";
pub(super) const SHA1_LEN: usize = 20;
/// IMA_EVENT_NAME_LEN_MAX: the template `ima` hashes its file name padded to one byte more.
const IMA_NAME_MAX_LEN: usize = 255;

/// One measurement.
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
    /// The SHA-1 digest of the template data, as the kernel states it; zeros for a violation.
    pub(super) stated: [u8; SHA1_LEN],
    /// What the kernel hashed.
    pub(super) data: Cow<'a, [u8]>,
}

impl Entry<'_> {
    /// Whether the kernel could not tell what was measured: the file was open for writing at the same time.
    pub fn is_violation(&self) -> bool {
        self.stated == [0; SHA1_LEN]
    }

    /// The path of the file, which need not be UTF-8, or the name of what else was measured. Spaces in it
    /// come as underscores.
    ///
    /// `None` for templates that do not begin with digest and name.
    pub fn path(&self) -> Option<&[u8]> {
        if self.template == TEMPLATE_IMA {
            let (_, padded) = self.data.split_at_checked(SHA1_LEN)?;
            return padded.split(|byte| *byte == 0).next();
        }
        let (_digest, rest) = split_field(&self.data)?;
        let (path, _) = split_field(rest)?;
        path.strip_suffix(b"\0")
    }

    /// The digest that a PCR bank was extended with; all ones for a violation.
    pub(super) fn extended(&self, bank: HashAlgorithm) -> Digest {
        if self.is_violation() {
            return Digest::filled(bank, 0xff);
        }
        bank.digest(&[&self.data])
    }

    /// The same where the kernel has no such hash, or is older than 5.8: SHA-1, padded with zeros.
    pub(super) fn extended_padded(&self, bank: HashAlgorithm) -> Digest {
        if self.is_violation() {
            return Digest::filled(bank, 0xff);
        }
        Digest::zero_padded(bank, &self.stated)
    }

    /// Checks the stated digest, so that it can stand for the data.
    pub(super) fn check(&self) -> Result<(), ImaError> {
        let computed = HashAlgorithm::Sha1.digest(&[&self.data]);
        if self.is_violation() || computed.as_bytes() == self.stated {
            return Ok(());
        }
        Err(ImaError::Altered { offset: self.offset })
    }
}

/// What is hashed for the template `ima`; `None` when the name is too long for it.
pub(super) fn ima_template_data(file_digest: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let padding = IMA_NAME_MAX_LEN.checked_sub(name.len())?.checked_add(1)?;
    let mut data = [file_digest, name].concat();
    data.extend(std::iter::repeat_n(0, padding));
    Some(data)
}

/// Takes a field, a 32-bit size and that many bytes, off the front of template data.
fn split_field(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = data.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*size)).ok()?)
}
