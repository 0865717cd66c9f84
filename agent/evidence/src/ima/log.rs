use std::borrow::Cow;

use super::entry;
use super::entry::{Entry, FIELDS_MAX, Field, ImaError, SHA1_LEN, ima_template_data};
use crate::bytes;
use crate::bytes::LogReader;
use crate::tpm::{HashAlgorithm, PCR_COUNT, TaggedDigest};

/// Reads the entries of `ascii_runtime_measurements`, of such a list for one bank, or of a piece that begins
/// with an entry.
///
/// The text form omits some of the bytes that the kernel hashes. This reader reconstructs them for templates with known
/// fields. A file name with a line feed makes the form ambiguous: prefer [`super::BinaryLog`].
#[derive(Debug, Clone)]
pub struct AsciiLog<'a> {
    rest: &'a [u8],
    offset: usize,
    failed: bool,
}

impl<'a> AsciiLog<'a> {
    /// Starts at the first line; reads nothing yet.
    pub fn new(log: &'a [u8]) -> Self {
        Self { rest: log, offset: 0, failed: false }
    }

    fn next_line(&mut self) -> Result<Entry<'a>, ImaError> {
        let offset = self.offset;
        let length = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = length
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or(ImaError::Truncated { offset })?;
        self.rest = rest.strip_prefix(b"\n").unwrap_or_default();
        self.offset = offset.saturating_add(line.len()).saturating_add(1);
        read_line(line, offset, self.offset)
    }
}

impl<'a> Iterator for AsciiLog<'a> {
    type Item = Result<Entry<'a>, ImaError>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let entry = self.next_line();
        self.failed = entry.is_err();
        Some(entry)
    }
}

fn read_line(line: &[u8], offset: usize, end: usize) -> Result<Entry<'_>, ImaError> {
    let malformed = || ImaError::Malformed { offset };
    // The kernel pads PCRs of one digit with a space.
    let mut parts = line.trim_ascii_start().splitn(4, |byte| *byte == b' ');
    let (Some(pcr), Some(stated), Some(template), Some(columns)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed());
    };
    let pcr = read_pcr(pcr).ok_or_else(malformed)?;
    let stated = bytes::read_lower_hex(stated).and_then(|bytes| of_its_size(&bytes)).ok_or_else(malformed)?;
    // The kernel replaces spaces in names by underscores, so a space always ends a field.
    let columns: Vec<&[u8]> = columns.split(|byte| *byte == b' ').take(FIELDS_MAX + 1).collect();
    let data = match (template, columns.as_slice()) {
        (entry::IMA_TEMPLATE, [digest, name]) => {
            bytes::read_lower_hex(digest).and_then(|digest| ima_template_data(&digest, name))
        }
        (entry::IMA_TEMPLATE, _) => None,
        _ => {
            let fields = entry::template_fields(template).ok_or(ImaError::Template { offset })?;
            template_data(&fields, &columns)
        }
    };
    let data = Cow::Owned(data.ok_or_else(malformed)?);
    Ok(Entry { offset, end, pcr, template, stated, data })
}

/// Returns the bytes that the kernel hashed: each field after its size. An empty column is a field without bytes. The
/// line may lack an empty last column and the space before it.
fn template_data(fields: &[Field], columns: &[&[u8]]) -> Option<Vec<u8>> {
    if columns.len() > fields.len() || columns.len() < fields.len().checked_sub(1)? {
        return None;
    }
    let mut data = Vec::new();
    for (field, column) in fields.iter().zip(columns.iter().copied().chain([&b""[..]])) {
        let is_empty = column.is_empty() && *field != Field::Name;
        let bytes = if is_empty { Vec::new() } else { field_data(*field, column)? };
        data.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
        data.extend(bytes);
    }
    Some(data)
}

fn field_data(field: Field, column: &[u8]) -> Option<Vec<u8>> {
    match field {
        Field::Digest | Field::OtherDigest => {
            // Very old kernels do not name SHA-1 or MD5.
            let colon = column.iter().rposition(|byte| *byte == b':').unwrap_or(0);
            let (label, hex) = column.split_at_checked(colon)?;
            Some([label, b":\0", &bytes::read_lower_hex(hex.strip_prefix(b":").unwrap_or(hex))?].concat())
        }
        Field::Name | Field::Text => Some([column, b"\0"].concat()),
        Field::Signature | Field::Buffer | Field::Bytes => bytes::read_lower_hex(column),
        Field::Number(size) => {
            let number: u64 = std::str::from_utf8(column).ok()?.parse().ok()?;
            let (bytes, rest) =
                number.to_le_bytes().split_at_checked(size).map(|(a, b)| (a.to_vec(), b.to_vec()))?;
            rest.iter().all(|byte| *byte == 0).then_some(bytes)
        }
    }
}

/// Returns the digest of a list for one bank; its size determines the algorithm.
fn of_its_size(bytes: &[u8]) -> Option<TaggedDigest> {
    HashAlgorithm::ALL.into_iter().find_map(|hash| TaggedDigest::new(hash, bytes))
}

fn read_pcr(text: &[u8]) -> Option<u8> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|pcr| *pcr < PCR_COUNT)
}

/// TCG_EVENT_NAME_LEN_MAX. The format of a custom template, which is its name, is not longer.
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

/// Guesses the hash of a list: the one with which the first entry parses, and preferably has the digest of its data. A
/// wrong guess is harmless, because [`Entry::check`] compares the digest of each accepted entry with its data.
fn list_hash(reader: &LogReader<'_>) -> HashAlgorithm {
    let quality = |hash: &HashAlgorithm| match read_entry(&mut reader.clone(), 0, *hash) {
        Some(Ok(entry)) if is_template(entry.template) => 2_u8.saturating_add(entry.check().is_ok().into()),
        Some(_) => 0,
        None => 1,
    };
    // `max_by_key` returns the last of equal candidates, so SHA-1 comes last.
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

/// Reads the next entry; `None` if the bytes end inside it.
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
    let data = if name == entry::IMA_TEMPLATE {
        // The oldest template has no size field, and the kernel hashes it in another form than it lists it.
        let file_digest = reader.bytes(SHA1_LEN)?;
        let Some(data) = ima_template_data(file_digest, reader.sized()?) else { return malformed };
        Cow::Owned(data)
    } else {
        Cow::Borrowed(reader.sized()?)
    };
    Some(Ok(Entry { offset, end: reader.offset(), pcr, template: name, stated, data }))
}
