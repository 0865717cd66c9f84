use super::der::{BIT_STRING, BOOLEAN, Der, INTEGER, OCTET_STRING, OID, SEQUENCE};

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
