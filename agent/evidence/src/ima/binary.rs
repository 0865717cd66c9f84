use std::borrow::Cow;

use super::entry::{Entry, SHA1_LEN, ima_template_data};
use super::error::ImaError;
use super::template;
use crate::little_endian::LogReader;
use crate::tpm::{HashAlgorithm, PCR_COUNT, TaggedDigest};

/// TCG_EVENT_NAME_LEN_MAX, and the terms of a custom template.
const TEMPLATE_NAME_MAX_LEN: usize = 255;

/// Reads the entries of `binary_runtime_measurements`, or of a piece that begins with an entry.
///
/// That list contains SHA-1 digests. Newer kernels also keep one list for each bank
/// (`binary_runtime_measurements_sha256`), which differs only in the digests; both are supported.
#[derive(Debug, Clone)]
pub struct BinaryLog<'a> {
    reader: LogReader<'a>,
    hash: HashAlgorithm,
    failed: bool,
}

impl<'a> BinaryLog<'a> {
    /// Reads the first entry to determine the hash of the list.
    pub fn new(log: &'a [u8]) -> Self {
        let reader = LogReader::new(log);
        Self { hash: list_hash(&reader), reader, failed: false }
    }
}

/// Returns the hash with which the first entry is parsed best. This needs no trust: each accepted entry's digest
/// is compared with its data.
fn list_hash(reader: &LogReader<'_>) -> HashAlgorithm {
    let quality = |hash: &HashAlgorithm| match read_entry(&mut reader.clone(), 0, *hash) {
        Some(Ok(entry)) if is_template(entry.template) => 2_u8.saturating_add(entry.check().is_ok().into()),
        Some(_) => 0,
        None => 1,
    };
    // The last of equal candidates wins.
    HashAlgorithm::ALL.into_iter().rev().max_by_key(quality).unwrap_or(HashAlgorithm::Sha1)
}

/// Returns whether this can be the name of a template.
fn is_template(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

impl<'a> Iterator for BinaryLog<'a> {
    type Item = Result<Entry<'a>, ImaError>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_empty() {
            return None;
        }
        let offset = self.reader.offset();
        let entry =
            read_entry(&mut self.reader, offset, self.hash).unwrap_or(Err(ImaError::Truncated { offset }));
        self.failed = entry.is_err();
        Some(entry)
    }
}

/// Returns `None` at the end of the log.
fn read_entry<'a>(
    reader: &mut LogReader<'a>,
    offset: usize,
    hash: HashAlgorithm,
) -> Option<Result<Entry<'a>, ImaError>> {
    let malformed = Some(Err(ImaError::Malformed { offset }));
    let Some(pcr) = u8::try_from(reader.u32()?).ok().filter(|pcr| *pcr < PCR_COUNT) else {
        return malformed;
    };
    let stated = TaggedDigest::new(hash, reader.bytes(hash.digest_len())?)?;
    let name_len = usize::try_from(reader.u32()?).ok()?;
    if name_len > TEMPLATE_NAME_MAX_LEN {
        return malformed;
    }
    let name = reader.bytes(name_len)?;
    let data = if name == template::IMA {
        // The oldest template has no size field, and is hashed in another form than it is listed.
        let file_digest = reader.bytes(SHA1_LEN)?;
        let Some(data) = ima_template_data(file_digest, reader.sized()?) else { return malformed };
        Cow::Owned(data)
    } else {
        Cow::Borrowed(reader.sized()?)
    };
    Some(Ok(Entry { offset, end: reader.offset(), pcr, template: name, stated, data }))
}
