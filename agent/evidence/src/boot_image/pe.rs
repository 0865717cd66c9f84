use std::borrow::Cow;

use thiserror::Error;

use super::IMAGE_MAX_LEN;
use crate::bytes::LogReader;
use crate::tpm::{HashAlgorithm, TaggedDigest};

const PE_OFFSET_AT: usize = 0x3c;
const PE32: u16 = 0x010b;
const PE32_PLUS: u16 = 0x020b;
/// Offsets from the start of the optional header, equal in PE32 and PE32+.
const HEADERS_LEN_AT: usize = 60;
const CHECKSUM_AT: usize = 64;
const CHECKSUM_LEN: usize = 4;
const CERTIFICATES_ENTRY: usize = 4;
const DIRECTORY_ENTRY_LEN: usize = 8;
const COFF_HEADER_LEN: usize = 20;
/// The format's own limit for images.
const SECTIONS_MAX: u16 = 96;

/// An EFI image: PE32 or PE32+ (Microsoft PE Format) with well-formed headers.
#[derive(Debug, Clone)]
pub struct PeImage<'a> {
    file: &'a [u8],
    headers_len: usize,
    checksum_at: usize,
    /// The offset of the certificate table's entry, if there is one.
    certificates_at: Option<usize>,
    certificates_len: usize,
    sections: Vec<Section<'a>>,
}

#[derive(Debug, Clone)]
struct Section<'a> {
    /// Padded with zeros.
    name: [u8; 8],
    /// The start of `raw` in the file.
    offset: usize,
    /// The bytes in the file, mostly with padding at the end.
    raw: &'a [u8],
    len_in_memory: usize,
}

impl<'a> PeImage<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// If the file is too long, is not a PE image, or ends before a part that its headers name.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        if file.len() > IMAGE_MAX_LEN {
            return Err(ImageError::TooLong(file.len()));
        }
        let header = Header::read(file).ok_or(ImageError::NotPe)?;
        if header.headers_len > file.len() {
            return Err(ImageError::Truncated("header"));
        }
        if header.certificates_len > file.len() {
            return Err(ImageError::Truncated("certificate table"));
        }
        let sections = read_sections(file, &header)?;
        Ok(Self {
            file,
            headers_len: header.headers_len,
            checksum_at: header.checksum_at,
            certificates_at: header.certificates_at,
            certificates_len: header.certificates_len,
            sections,
        })
    }

    /// Returns the Authenticode digest (Windows Authenticode Portable Executable Signature Format). Firmware measures
    /// it when it loads the image, and signers sign it.
    ///
    /// The crate `authenticode` computes the same digest for each image of systemd-boot. It differs from EDK II for a
    /// certificate table that has a length and no offset: EDK II subtracts the length from the end of the file, the
    /// crate does not. The crate also parses signatures, and for that needs crates for certificates that Pawl does not
    /// use.
    pub fn authenticode(&self, algorithm: HashAlgorithm) -> TaggedDigest {
        let mut parts = self.hashed_headers();
        let mut hashed_to = self.headers_len;
        let mut sections: Vec<_> = self.sections.iter().collect();
        sections.sort_by_key(|section| section.offset);
        for section in sections {
            parts.push(section.raw);
            hashed_to = hashed_to.saturating_add(section.raw.len());
        }
        let end = self.file.len().saturating_sub(self.certificates_len);
        parts.push(self.file.get(hashed_to..end).unwrap_or_default());
        algorithm.digest(&parts)
    }

    /// Returns the content of a section, such as `.linux`, as the running image reads it: cut to its length in memory
    /// if the file pads it, filled with zeros if the file has less.
    pub fn section(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let section = self.sections.iter().find(|section| section.is_named(name))?;
        Some(match section.raw.get(..section.len_in_memory) {
            Some(content) => Cow::Borrowed(content),
            None => {
                let mut content = section.raw.to_vec();
                content.resize(section.len_in_memory, 0);
                Cow::Owned(content)
            }
        })
    }

    /// Returns whether the image has a signature. Does not verify it.
    pub fn is_signed(&self) -> bool {
        self.certificates_len > 0
    }

    /// Returns the headers without the checksum and the certificate table's entry, because signing an image changes
    /// these two.
    fn hashed_headers(&self) -> Vec<&'a [u8]> {
        let after_checksum = self.checksum_at.saturating_add(CHECKSUM_LEN);
        let gap = self.certificates_at.unwrap_or(after_checksum);
        let after_gap = self.certificates_at.map_or(gap, |at| at.saturating_add(DIRECTORY_ENTRY_LEN));
        [0..self.checksum_at, after_checksum..gap, after_gap..self.headers_len]
            .into_iter()
            .map(|range| self.file.get(range).unwrap_or_default())
            .collect()
    }
}

impl Section<'_> {
    fn is_named(&self, name: &str) -> bool {
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        name.len() <= padded.len() && padded == self.name
    }
}

/// The offsets and lengths in the headers. The caller checks them against the file's length.
struct Header {
    headers_len: usize,
    checksum_at: usize,
    certificates_at: Option<usize>,
    certificates_len: usize,
    sections_at: usize,
    section_count: u16,
}

impl Header {
    fn read(file: &[u8]) -> Option<Self> {
        if !file.starts_with(b"MZ") {
            return None;
        }
        let pe_at = usize::try_from(reader_at(file, PE_OFFSET_AT)?.u32()?).ok()?;
        let mut coff = reader_at(file, pe_at)?;
        if coff.array()? != *b"PE\0\0" {
            return None;
        }
        let (_machine, section_count) = (coff.u16()?, coff.u16()?);
        let (_time, _symbols_at, _symbol_count) = (coff.u32()?, coff.u32()?, coff.u32()?);
        let optional_len = usize::from(coff.u16()?);
        let optional_at = pe_at.checked_add(4 + COFF_HEADER_LEN)?;
        let optional = file.get(optional_at..optional_at.checked_add(optional_len)?)?;
        let directories_at = match reader_at(optional, 0)?.u16()? {
            PE32 => 96,
            PE32_PLUS => 112,
            _ => return None,
        };
        let count = reader_at(optional, directories_at - 4)?.u32()?;
        let entry_at = directories_at + CERTIFICATES_ENTRY * DIRECTORY_ENTRY_LEN;
        let has_entry = usize::try_from(count).ok()? > CERTIFICATES_ENTRY;
        let certificates_len = if has_entry { reader_at(optional, entry_at + 4)?.u32()? } else { 0 };
        Some(Self {
            headers_len: usize::try_from(reader_at(optional, HEADERS_LEN_AT)?.u32()?).ok()?,
            checksum_at: optional_at.checked_add(CHECKSUM_AT)?,
            certificates_at: if has_entry { Some(optional_at.checked_add(entry_at)?) } else { None },
            certificates_len: usize::try_from(certificates_len).ok()?,
            sections_at: optional_at.checked_add(optional_len)?,
            section_count: Some(section_count).filter(|count| *count <= SECTIONS_MAX)?,
        })
    }
}

fn read_sections<'a>(file: &'a [u8], header: &Header) -> Result<Vec<Section<'a>>, ImageError> {
    let mut table = reader_at(file, header.sections_at).ok_or(ImageError::Truncated("section table"))?;
    let mut sections = Vec::new();
    let mut total: usize = 0;
    for _ in 0..header.section_count {
        let section = read_section(file, &mut table).ok_or(ImageError::Truncated("section"))?;
        // With overlapping sections, a short file would cost hashing its bytes many times.
        total = total.saturating_add(section.raw.len());
        if total > file.len() {
            return Err(ImageError::Truncated("section"));
        }
        if section.len_in_memory > IMAGE_MAX_LEN {
            return Err(ImageError::TooLong(section.len_in_memory));
        }
        sections.push(section);
    }
    Ok(sections)
}

fn read_section<'a>(file: &'a [u8], table: &mut LogReader<'_>) -> Option<Section<'a>> {
    let name = table.array()?;
    let (len_in_memory, _address) = (table.u32()?, table.u32()?);
    let (raw_len, offset) = (usize::try_from(table.u32()?).ok()?, usize::try_from(table.u32()?).ok()?);
    let _relocations = table.bytes(16)?;
    let raw = match raw_len {
        // The section is zeroed memory, and its offset in the file may be anything.
        0 => &[],
        len => file.get(offset..offset.checked_add(len)?)?,
    };
    Some(Section { name, offset, raw, len_in_memory: usize::try_from(len_in_memory).ok()? })
}

fn reader_at(bytes: &[u8], offset: usize) -> Option<LogReader<'_>> {
    bytes.get(offset..).map(LogReader::new)
}

/// Why the measurements of a file cannot be predicted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file, or one of its sections in memory, is longer than [`IMAGE_MAX_LEN`].
    #[error("the file has or needs {0} bytes, more than the {IMAGE_MAX_LEN} that are read")]
    TooLong(usize),
    /// The file is not a PE image.
    #[error("the file is not an EFI image: it has no PE header")]
    NotPe,
    /// The file ends before a part that its headers name.
    #[error("the EFI image is cut off: its {0} lies beyond the end of the file")]
    Truncated(&'static str),
    /// A section that a unified kernel image must have is missing.
    #[error("the EFI image has no section {0}: it is not a unified kernel image")]
    NotUnified(&'static str),
    /// A section makes the stub add to the initrd, or choose between alternatives.
    #[error(
        "the unified kernel image has a section {0}, for which the stub changes what it measures: \
         this cannot be predicted"
    )]
    Unpredictable(&'static str),
    /// The command line is not text that all stubs treat alike.
    #[error(
        "the kernel command line must be UTF-8, and must begin neither with a space nor with a control character"
    )]
    CommandLine,
}
