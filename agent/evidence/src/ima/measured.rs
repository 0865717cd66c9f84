use super::entry::{Entry, SHA1_LEN};
use super::file_digest::FileDigest;
use super::template::{self, Field};

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
        if entry.template == template::IMA {
            Self::read_old(data)
        } else {
            Self::read_fields(entry.template, data)
        }
    }

    fn read_fields(template: &[u8], data: &'e [u8]) -> Option<Self> {
        let kinds = template::fields(template)?;
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
        // Otherwise fields of a newer template would be read as a digest and a path that nobody measured.
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
        if fields.len() == template::FIELDS_MAX {
            return None;
        }
        fields.push(field);
        data = rest;
    }
    Some(fields)
}
