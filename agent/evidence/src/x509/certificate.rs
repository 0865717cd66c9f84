use super::der;
use super::der::{BIT_STRING, BOOLEAN, Der, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, read_time};
use super::key::{PublicKeyInfo, SignatureAlgorithm, SubjectKey};

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
    /// Ignores trailing bytes 0x00 or 0xff, because NV indices are often larger than their certificate.
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
        // The algorithm occurs twice. The signature covers this copy, but not the outer one.
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

/// Reads the extensions; skips the obsolete unique identifiers before them.
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

const EXTENSIONS_MAX: usize = 64;

/// id-ce, 2.5.29; the last byte selects the extension.
const ID_CE: &[u8] = &[0x55, 0x1d];
const SUBJECT_KEY_IDENTIFIER: u8 = 14;
const KEY_USAGE: u8 = 15;
const SUBJECT_ALT_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const CERTIFICATE_POLICIES: u8 = 32;
const EXTENDED_KEY_USAGE: u8 = 37;

/// The extensions that a path check needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// BasicConstraints marks a CA.
    pub(crate) is_ca: bool,
    /// The maximum number of CA certificates between this one and the leaf.
    pub(crate) path_len: Option<u64>,
    /// KeyUsage, if present, includes keyCertSign.
    pub(crate) may_sign_certificates: bool,
    /// The purposes that ExtendedKeyUsage names, as the contents of their OIDs.
    pub(crate) purposes: Vec<Vec<u8>>,
    /// The subject key identifier (RFC 5280, section 4.2.1.2).
    pub(crate) subject_key_id: Option<Vec<u8>>,
    /// A critical extension is unknown.
    pub(crate) has_unknown_critical: bool,
}

impl Extensions {
    /// Reads the content of the SEQUENCE OF Extension; `None` if it is malformed.
    pub(super) fn read(mut list: Der<'_>) -> Option<Self> {
        let mut extensions = Self { may_sign_certificates: true, ..Self::default() };
        let mut count = 0;
        while !list.is_empty() {
            count += 1;
            if count > EXTENSIONS_MAX {
                return None;
            }
            let mut extension = list.inside(SEQUENCE)?;
            let id = extension.expect(OID)?.content;
            let critical = extension.optional(BOOLEAN).is_some_and(|flag| flag.content != [0]);
            let value = Der::new(extension.expect(OCTET_STRING)?.content);
            extensions.add(id, critical, value)?;
        }
        Some(extensions)
    }

    fn add(&mut self, id: &[u8], critical: bool, mut value: Der<'_>) -> Option<()> {
        match id.strip_prefix(ID_CE) {
            Some(&[BASIC_CONSTRAINTS]) => self.read_basic_constraints(value)?,
            Some(&[SUBJECT_KEY_IDENTIFIER]) => {
                self.subject_key_id = Some(value.expect(OCTET_STRING)?.content.to_vec());
            }
            Some(&[KEY_USAGE]) => self.may_sign_certificates = read_key_usage(value)?,
            Some(&[EXTENDED_KEY_USAGE]) => self.purposes.extend(read_extended_key_usage(value)?),
            // The TCG puts manufacturer and model into a critical subjectAltName; certificate policies restrict
            // nothing here.
            Some(&[SUBJECT_ALT_NAME | CERTIFICATE_POLICIES]) => {}
            _ => self.has_unknown_critical |= critical,
        }
        Some(())
    }

    fn read_basic_constraints(&mut self, mut value: Der<'_>) -> Option<()> {
        let mut constraints = value.inside(SEQUENCE)?;
        self.is_ca = constraints.optional(BOOLEAN).is_some_and(|flag| flag.content != [0]);
        self.path_len = match constraints.optional(INTEGER) {
            Some(length) => Some(read_small_integer(length.content)?),
            None => None,
        };
        Some(())
    }
}

fn read_small_integer(digits: &[u8]) -> Option<u64> {
    let negative = digits.first().is_none_or(|digit| digit & 0x80 != 0);
    let value = digits.iter().fold(0_u64, |value, digit| value << 8 | u64::from(*digit));
    (!negative && digits.len() <= 8).then_some(value)
}

/// Returns whether keyCertSign, bit 5, is set.
fn read_key_usage(mut value: Der<'_>) -> Option<bool> {
    let bits = value.expect(BIT_STRING)?.content;
    let (_unused_bits, bits) = bits.split_first()?;
    Some(bits.first().is_some_and(|bits| bits & 0x04 != 0))
}

fn read_extended_key_usage(mut value: Der<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = value.inside(SEQUENCE)?;
    let mut purposes = Vec::new();
    while !list.is_empty() {
        purposes.push(list.expect(OID)?.content.to_vec());
    }
    Some(purposes)
}

/// Reads a single key from a certificate, with its key identifier, or a bare key; in PEM or DER.
pub(crate) fn read_public_key(bytes: &[u8]) -> Option<(PublicKeyInfo, Option<Vec<u8>>)> {
    let certificates = der::pem_blocks(bytes, "CERTIFICATE")?;
    let keys = der::pem_blocks(bytes, "PUBLIC KEY")?;
    match (certificates.as_slice(), keys.as_slice()) {
        ([certificate], []) => of_certificate(&Certificate::read(certificate)?),
        ([], [key]) => Some((PublicKeyInfo::read(key)?, None)),
        ([], []) => match Certificate::read(bytes) {
            Some(certificate) => of_certificate(&certificate),
            None => Some((PublicKeyInfo::read(bytes)?, None)),
        },
        _ => None,
    }
}

fn of_certificate(certificate: &Certificate) -> Option<(PublicKeyInfo, Option<Vec<u8>>)> {
    let key = PublicKeyInfo::read(&certificate.key_info)?;
    Some((key, certificate.extensions.subject_key_id.clone()))
}

/// Returns whether `issuer`'s key signed `certificate`.
pub(crate) fn is_signed_by(certificate: &Certificate, issuer: &SubjectKey) -> bool {
    certificate.algorithm.is_some_and(|algorithm| {
        let digest = algorithm.hash().digest(&[&certificate.signed]);
        algorithm.verifies(issuer, digest.as_bytes(), &certificate.signature)
    })
}
