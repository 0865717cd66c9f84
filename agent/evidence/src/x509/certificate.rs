use super::der::{Der, INTEGER, OID, SEQUENCE, SET};
use super::extensions::Extensions;
use super::signature::SignatureAlgorithm;
use super::subject_key::SubjectKey;
use super::time::read_time;

/// The size limit of a certificate, in bytes. Real ones have 700 to 2,500.
const CERTIFICATE_MAX_LEN: usize = 16 * 1024;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const SHOWN_NAME_MAX_LEN: usize = 64;

/// An X.509 certificate (RFC 5280); well formed, not verified.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The signed bytes.
    pub(super) signed: Vec<u8>,
    pub(super) algorithm: Option<SignatureAlgorithm>,
    pub(super) signature: Vec<u8>,
    /// The content of the INTEGER.
    pub(crate) serial: Vec<u8>,
    /// The complete Name, compared byte for byte.
    pub(crate) issuer: Vec<u8>,
    /// As `issuer`.
    pub(crate) subject: Vec<u8>,
    /// Seconds since 1970, both inclusive.
    validity: (i64, i64),
    pub(crate) key: SubjectKey,
    /// The complete SubjectPublicKeyInfo.
    pub(super) key_info: Vec<u8>,
    pub(crate) extensions: Extensions,
}

impl Certificate {
    /// Reads a certificate; `None` if it is malformed.
    ///
    /// Ignores trailing zeros and ones, because NV indices are often larger than their certificate.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > CERTIFICATE_MAX_LEN {
            return None;
        }
        let mut outer = Der::new(bytes);
        let mut certificate = outer.inside(SEQUENCE)?;
        let padding = outer.rest();
        if !(padding.iter().all(|byte| *byte == 0x00) || padding.iter().all(|byte| *byte == 0xff)) {
            return None;
        }
        let signed = certificate.expect(SEQUENCE)?;
        let algorithm = certificate.expect(SEQUENCE)?;
        let signature = certificate.bit_string()?.to_vec();

        let mut fields = Der::new(signed.content);
        fields.optional(VERSION);
        let serial = fields.expect(INTEGER)?.content.to_vec();
        // The algorithm occurs twice, and the signature does not cover this copy.
        if fields.expect(SEQUENCE)?.content != algorithm.content {
            return None;
        }
        let issuer = fields.expect(SEQUENCE)?.whole.to_vec();
        let mut validity = fields.inside(SEQUENCE)?;
        let validity = (read_time(validity.any()?)?, read_time(validity.any()?)?);
        let subject = fields.expect(SEQUENCE)?.whole.to_vec();
        let key_info = fields.expect(SEQUENCE)?;
        let key = SubjectKey::read(Der::new(key_info.content))?;
        Some(Self {
            signed: signed.whole.to_vec(),
            algorithm: SignatureAlgorithm::read(Der::new(algorithm.content))?,
            signature,
            serial,
            issuer,
            subject,
            validity,
            key,
            key_info: key_info.whole.to_vec(),
            extensions: read_extensions(fields)?,
        })
    }

    /// Returns whether the algorithm of its own signature is accepted.
    pub(crate) fn has_accepted_algorithm(&self) -> bool {
        self.algorithm.is_some()
    }

    /// Returns the first and the last second of validity, since 1970.
    pub(crate) fn validity(&self) -> (i64, i64) {
        self.validity
    }

    pub(crate) fn is_valid_at(&self, now: i64) -> bool {
        let (from, to) = self.validity;
        (from..=to).contains(&now)
    }
}

/// Returns a Name for display: its common name, or a note that it has none.
pub(crate) fn shown(name: &[u8]) -> String {
    attribute(name, COMMON_NAME).map_or_else(|| String::from("(no common name)"), shown_text)
}

/// Returns the organization of a Name, for display.
pub(crate) fn organization(name: &[u8]) -> Option<String> {
    attribute(name, ORGANIZATION).map(shown_text)
}

fn shown_text(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(SHOWN_NAME_MAX_LEN).collect()
}

/// Returns the common name of a Name, for comparison; `None` if it has none in UTF-8 or one of its subsets.
pub(crate) fn common_name(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(attribute(name, COMMON_NAME)?).ok()
}

/// Skips the unique identifiers, which nobody uses.
fn read_extensions(mut fields: Der<'_>) -> Option<Extensions> {
    while !fields.is_empty() {
        let field = fields.any()?;
        if field.tag == EXTENSIONS {
            return Extensions::read(Der::new(field.content).inside(SEQUENCE)?);
        }
    }
    Extensions::read(Der::new(&[]))
}

/// Returns the text of the first attribute of this type.
fn attribute<'a>(name: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let mut sets = Der::new(name).inside(SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.inside(SET)?;
        while !set.is_empty() {
            let mut attribute = set.inside(SEQUENCE)?;
            if attribute.expect(OID)?.content == kind {
                return Some(attribute.any()?.content);
            }
        }
    }
    None
}
