//! Templates: the fields that the kernel writes for a measurement (security/integrity/ima/ima_template.c).
//!
//! Digests cover the bytes of the fields, not the *name* of the template. Whoever alters a log in transit can
//! give an entry another template, so no field is read by the template's name if it could have two meanings:
//! every supported template starts with digest and name, whose forms identify them.

/// The oldest template, without sizes before its fields.
pub(super) const IMA: &[u8] = b"ima";

/// IMA_TEMPLATE_NUM_FIELDS_MAX.
pub(super) const FIELDS_MAX: usize = 15;

/// A field, by the form in which the kernel writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `d-ng`: an algorithm and a digest; `d-ngv2`: with a word in front that says what was hashed.
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
pub(super) fn fields(template: &[u8]) -> Option<Vec<Field>> {
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
