//! Templates: which fields the kernel writes of a measurement (security/integrity/ima/ima_template.c).
//!
//! No digest covers the *name* of a template, only the bytes of its fields. Anyone who may alter a log on its way can
//! give an entry another template, so nothing is read by name alone that could be read in two ways: digest and name
//! come first in every template that is understood, and show by their form that they are what they ought to be.

/// The oldest template: no sizes in front of its fields.
pub(super) const IMA: &[u8] = b"ima";

/// IMA_TEMPLATE_NUM_FIELDS_MAX.
pub(super) const FIELDS_MAX: usize = 15;

/// A field, by the form in which the kernel writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `d-ng`: an algorithm and a digest; `d-ngv2`: with the word in front that says what was hashed.
    Digest,
    /// `n-ng`: a path, or the name of what else was measured.
    Name,
    /// `sig`: the file's extended attribute `security.ima`, if it is a signature.
    Signature,
    /// `buf`: what was measured, itself.
    Buffer,
    /// `d-modsig`: the digest of a file without the signature at its end.
    OtherDigest,
    /// Bytes, in hexadecimal in the text form.
    Bytes,
    /// Text with a zero at its end.
    Text,
    /// A number of so many bytes.
    Number(usize),
}

/// The fields of a template, in order; `None` for one that is not understood.
///
/// A format of one's own (`ima_template_fmt=`) is its own name.
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
