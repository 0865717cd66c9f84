use std::borrow::Cow;

use super::entry::{Entry, SHA1_LEN, ima_template_data};
use super::error::ImaError;
use crate::tpm::PCR_COUNT;

/// The entries of `ascii_runtime_measurements`, or of a piece of it that begins with an entry.
///
/// The text form leaves out what the kernel hashes and is put together again from it: for the templates
/// `ima`, `ima-ng`, `ima-sig` and `ima-buf`. Prefer [`super::BinaryLog`].
#[derive(Debug, Clone)]
pub struct AsciiLog<'a> {
    rest: &'a [u8],
    offset: usize,
    failed: bool,
}

impl<'a> AsciiLog<'a> {
    /// Begins with the first line. Nothing is read yet.
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

    /// Ends with the first error.
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
    let mut columns = line.splitn(4, |byte| *byte == b' ');
    let (Some(pcr), Some(stated), Some(template), Some(fields)) =
        (columns.next(), columns.next(), columns.next(), columns.next())
    else {
        return Err(malformed());
    };
    let pcr = read_pcr(pcr).ok_or_else(malformed)?;
    let stated: [u8; SHA1_LEN] =
        read_hex(stated).and_then(|bytes| bytes.try_into().ok()).ok_or_else(malformed)?;
    // The kernel replaces spaces in names by underscores: a space always ends a field.
    let fields: Vec<&[u8]> = fields.split(|byte| *byte == b' ').collect();
    let data = match (template, fields.as_slice()) {
        (b"ima", [digest, name]) => read_hex(digest).and_then(|digest| ima_template_data(&digest, name)),
        (b"ima-ng", [digest, name]) => template_data(digest, name, None),
        (b"ima-sig" | b"ima-buf", [digest, name]) => template_data(digest, name, Some(b"")),
        (b"ima-sig" | b"ima-buf", [digest, name, extra]) => template_data(digest, name, Some(extra)),
        (b"ima" | b"ima-ng" | b"ima-sig" | b"ima-buf", _) => None,
        _ => return Err(ImaError::Template { offset }),
    };
    let data = Cow::Owned(data.ok_or_else(malformed)?);
    Ok(Entry { offset, end, pcr, template, stated, data })
}

/// Digest with algorithm, name, and for some templates one field more: each with its size in front, names
/// with a zero at their end.
fn template_data(digest: &[u8], name: &[u8], extra: Option<&[u8]>) -> Option<Vec<u8>> {
    let colon = digest.iter().position(|byte| *byte == b':')?;
    let (algorithm, hex) = digest.split_at_checked(colon)?;
    let digest = [algorithm, b":\0", &read_hex(hex.strip_prefix(b":")?)?].concat();
    let mut data = field(&digest)?;
    data.extend(field(&[name, b"\0"].concat())?);
    if let Some(extra) = extra {
        data.extend(field(&read_hex(extra)?)?);
    }
    Some(data)
}

fn field(bytes: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(bytes.len()).ok()?;
    Some([&size.to_le_bytes()[..], bytes].concat())
}

fn read_pcr(text: &[u8]) -> Option<u8> {
    std::str::from_utf8(text).ok()?.trim_start().parse().ok().filter(|pcr| *pcr < PCR_COUNT)
}

fn read_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(hex_digit(*high)? << 4 | hex_digit(*low)?)).collect()
}

fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}
