use std::borrow::Cow;

use super::entry::{Entry, ima_template_data};
use super::error::ImaError;
use super::template;
use crate::little_endian::LogReader;
use crate::tpm::PCR_COUNT;

/// TCG_EVENT_NAME_LEN_MAX, and the terms of a custom template.
const TEMPLATE_NAME_MAX_LEN: usize = 255;

/// The entries of `binary_runtime_measurements`, or of a piece of it that begins with an entry.
#[derive(Debug, Clone)]
pub struct BinaryLog<'a> {
    reader: LogReader<'a>,
    failed: bool,
}

impl<'a> BinaryLog<'a> {
    /// Begins with the first entry. Nothing is read yet.
    pub fn new(log: &'a [u8]) -> Self {
        Self { reader: LogReader::new(log), failed: false }
    }
}

impl<'a> Iterator for BinaryLog<'a> {
    type Item = Result<Entry<'a>, ImaError>;

    /// Ends with the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_empty() {
            return None;
        }
        let offset = self.reader.offset();
        let entry = read_entry(&mut self.reader, offset).unwrap_or(Err(ImaError::Truncated { offset }));
        self.failed = entry.is_err();
        Some(entry)
    }
}

/// `None` when the log ends.
fn read_entry<'a>(reader: &mut LogReader<'a>, offset: usize) -> Option<Result<Entry<'a>, ImaError>> {
    let malformed = Some(Err(ImaError::Malformed { offset }));
    let Some(pcr) = u8::try_from(reader.u32()?).ok().filter(|pcr| *pcr < PCR_COUNT) else {
        return malformed;
    };
    let stated = reader.array()?;
    let name = reader.sized()?;
    if name.len() > TEMPLATE_NAME_MAX_LEN {
        return malformed;
    }
    let data = if name == template::IMA {
        // The oldest template: no size of its own, and hashed in another form than it is listed.
        let file_digest = reader.bytes(stated.len())?;
        let Some(data) = ima_template_data(file_digest, reader.sized()?) else { return malformed };
        Cow::Owned(data)
    } else {
        Cow::Borrowed(reader.sized()?)
    };
    Some(Ok(Entry { offset, end: reader.offset(), pcr, template: name, stated, data }))
}
