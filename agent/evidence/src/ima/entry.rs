//! One measurement, and its template: the fields that the kernel writes for it
//! (security/integrity/ima/ima_template.c).
//!
//! Digests cover the bytes of the fields, not the *name* of the template. Anyone who alters a log in transit can give an
//! entry another template, so no field is read by the template's name if it could have two meanings: every supported
//! template starts with digest and name, whose forms identify them.

use std::borrow::Cow;

use thiserror::Error;

use super::file_digest::FileDigest;
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
    /// The bytes that the kernel hashed.
    pub(super) data: Cow<'a, [u8]>,
}

impl Entry<'_> {
    /// Returns whether the kernel could not determine the measured content, because the file was written at the
    /// same time.
    ///
    /// Either a process opened a measured file for writing (time of measure, time of use), or the kernel measured a
    /// file that was open for writing. Only the audit log distinguishes the two. No digest covers such an entry: the
    /// kernel extends the PCR with ones, so the path is only a claim.
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

    /// Returns the digest with which kernels before 5.8, or without the bank's hash, extend the bank: SHA-1, padded
    /// with zeros.
    pub(super) fn extended_padded(&self, bank: HashAlgorithm) -> TaggedDigest {
        if self.is_violation() {
            return TaggedDigest::filled(bank, 0xff);
        }
        TaggedDigest::zero_padded(bank, self.digest(HashAlgorithm::Sha1).as_bytes())
    }

    /// Checks that the stated digest is the digest of the data.
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

/// Returns the bytes that the kernel hashes for the template `ima`; `None` if the name is too long for it.
pub(super) fn ima_template_data(file_digest: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let padding = IMA_NAME_MAX_LEN.checked_sub(name.len())?.checked_add(1)?;
    let mut data = [file_digest, name].concat();
    data.extend(std::iter::repeat_n(0, padding));
    Some(data)
}

/// The known fields of an entry, each read only if it can have no other meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<'e> {
    /// `None` for unknown algorithms.
    pub(super) digest: Option<FileDigest>,
    pub(super) path: &'e [u8],
    pub(super) signature: Option<&'e [u8]>,
    pub(super) buffer: Option<&'e [u8]>,
}

impl<'e> Measured<'e> {
    /// Returns `None` if the entry does not have exactly the fields of its template, or the template is unknown.
    pub(super) fn read(entry: &'e Entry<'_>) -> Option<Self> {
        let data: &[u8] = &entry.data;
        if entry.template == IMA_TEMPLATE {
            Self::read_old(data)
        } else {
            Self::read_fields(entry.template, data)
        }
    }

    fn read_fields(template: &[u8], data: &'e [u8]) -> Option<Self> {
        let kinds = template_fields(template)?;
        let fields = split_all(data)?;
        if fields.len() != kinds.len() {
            return None;
        }
        let field = |wanted| {
            let position = kinds.iter().position(|kind| *kind == wanted)?;
            fields.get(position).copied().filter(|field| !field.is_empty())
        };
        let digest = field(Field::Digest)?;
        let path = field(Field::Name)?.strip_suffix(b"\0")?;
        // A digest field contains a zero byte and a path never does, so neither can be taken for the other.
        if path.contains(&0) || !digest.contains(&0) {
            return None;
        }
        let digest = FileDigest::read_field(digest);
        Some(Self { digest, path, signature: field(Field::Signature), buffer: field(Field::Buffer) })
    }

    /// Reads the template `ima`: a digest of 20 bytes, then the name padded with zeros.
    fn read_old(data: &'e [u8]) -> Option<Self> {
        // Otherwise an attacker could relabel an entry of a newer template, and its fields would be read as a digest
        // and a path that the kernel never measured.
        if split_all(data).is_some() {
            return None;
        }
        let (digest, name) = data.split_at_checked(SHA1_LEN)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        let (path, padding) = name.split_at_checked(end)?;
        let digest = FileDigest::read_field(&[b"sha1:\0", digest].concat());
        padding.iter().all(|byte| *byte == 0).then_some(Self { digest, path, signature: None, buffer: None })
    }
}

/// Splits the data into its fields, each after its size; `None` unless the last one ends with the data.
fn split_all(mut data: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let (size, rest) = data.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*size)).ok()?)?;
        // Unlimited empty fields would take more memory than the log's bytes.
        if fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push(field);
        data = rest;
    }
    Some(fields)
}

/// The oldest template, without sizes before its fields.
pub(super) const IMA_TEMPLATE: &[u8] = b"ima";

/// IMA_TEMPLATE_NUM_FIELDS_MAX.
pub(super) const FIELDS_MAX: usize = 15;

/// A field, by the form in which the kernel writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `d-ng`: an algorithm and a digest; `d-ngv2`: the same after `ima:` or `verity:`, the input of the hash.
    Digest,
    /// `n-ng`: a path, or the name of another measured object.
    Name,
    /// `sig`: the file's extended attribute `security.ima`, if it is a signature.
    Signature,
    /// `buf`: the measured data itself.
    Buffer,
    /// `d-modsig`: the digest of a file without its appended signature.
    OtherDigest,
    /// Bytes; hexadecimal in the text form.
    Bytes,
    /// Text with a trailing zero byte.
    Text,
    /// A number with this many bytes.
    Number(usize),
}

/// Returns the fields of a template, in order; `None` if it is unknown.
///
/// A custom format (`ima_template_fmt=`) is its own name.
pub(super) fn template_fields(template: &[u8]) -> Option<Vec<Field>> {
    let format: &[u8] = match template {
        b"ima-ng" => b"d-ng|n-ng",
        b"ima-ngv2" => b"d-ngv2|n-ng",
        b"ima-sig" => b"d-ng|n-ng|sig",
        b"ima-sigv2" => b"d-ngv2|n-ng|sig",
        b"ima-buf" => b"d-ng|n-ng|buf",
        b"ima-modsig" => b"d-ng|n-ng|sig|d-modsig|modsig",
        b"evm-sig" => b"d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
        custom => custom,
    };
    let fields: Option<Vec<Field>> =
        format.split(|byte| *byte == b'|').take(FIELDS_MAX.saturating_add(1)).map(field).collect();
    fields.filter(|fields| fields.starts_with(&[Field::Digest, Field::Name]) && fields.len() <= FIELDS_MAX)
}

fn field(name: &[u8]) -> Option<Field> {
    Some(match name {
        b"d-ng" | b"d-ngv2" => Field::Digest,
        b"n-ng" => Field::Name,
        b"sig" => Field::Signature,
        b"buf" => Field::Buffer,
        b"d-modsig" => Field::OtherDigest,
        b"modsig" | b"evmsig" | b"xattrlengths" | b"xattrvalues" => Field::Bytes,
        b"xattrnames" => Field::Text,
        b"iuid" | b"igid" => Field::Number(4),
        b"imode" => Field::Number(2),
        _ => return None,
    })
}

/// Why an IMA log cannot be read. Offsets are in bytes from the start of the piece of log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImaError {
    /// The log ends inside an entry.
    #[error("the IMA log is cut off inside the entry at offset {offset}")]
    Truncated {
        /// The start of the entry.
        offset: usize,
    },
    /// The entry is malformed.
    #[error("the IMA log's entry at offset {offset} is malformed")]
    Malformed {
        /// The start of the entry.
        offset: usize,
    },
    /// The text form cannot be converted back into the bytes that the kernel hashed.
    #[error("the template of the IMA entry at offset {offset} is not supported as text: send the binary log")]
    Template {
        /// The start of the entry.
        offset: usize,
    },
    /// The entry's stated template digest is not the digest of its data.
    #[error("the IMA log's entry at offset {offset} was altered: its digest is not that of its data")]
    Altered {
        /// The start of the entry.
        offset: usize,
    },
    /// As [`ImaError::Altered`], in a list with longer digests than SHA-1's.
    #[error(
        "the digest of the IMA log's entry at offset {offset} has the size of {expected} and is not that of its data: \
         the list has an unsupported hash, such as SM3 (send binary_runtime_measurements instead), or it was altered"
    )]
    Hash {
        /// The start of the entry.
        offset: usize,
        /// The hash with digests of this size.
        expected: HashAlgorithm,
    },
}
