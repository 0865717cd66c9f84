use super::der::{
    BIT_STRING, BOOLEAN, Der, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, UTC_TIME, read_time,
};
use super::key::{SignatureAlgorithm, SubjectKey};

/// The size limit of a list, in bytes. The largest lists of TPM vendors have a few hundred KiB.
pub(crate) const REVOCATION_LIST_MAX_LEN: usize = 16 * 1024 * 1024;
const ENTRIES_MAX: usize = 500_000;
const EXTENSIONS_MAX: usize = 64;
/// The length limit of a serial number; RFC 5280 allows 20 bytes.
const SERIAL_MAX_LEN: usize = 64;
const EXTENSIONS: u8 = 0xa0;
/// id-ce, 2.5.29; the last byte selects the extension.
const ID_CE: &[u8] = &[0x55, 0x1d];
const REASON_CODE: u8 = 21;
const INVALIDITY_DATE: u8 = 24;
const DELTA_CRL_INDICATOR: u8 = 27;
const ISSUING_DISTRIBUTION_POINT: u8 = 28;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;
const CRL_NUMBER: u8 = 20;
const INDIRECT_CRL: u8 = 0x84;

/// A CertificateList (RFC 5280, section 5); well formed, not verified.
///
/// It revokes certificates of its issuer by serial number. Delta lists and indirect lists are refused.
#[derive(Debug, Clone)]
pub(crate) struct RevocationList {
    algorithm: SignatureAlgorithm,
    /// The digest of the signed bytes.
    digest: Vec<u8>,
    signature: Vec<u8>,
    /// The complete Name, compared byte for byte.
    pub(crate) issuer: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) this_update: i64,
    /// Seconds since 1970; `None` if the issuer does not announce a next list.
    pub(crate) next_update: Option<i64>,
    /// The issuing distribution point: an issuer may split its certificates between lists.
    pub(crate) scope: Vec<u8>,
    /// Serial numbers without leading zeros, sorted.
    revoked: Vec<Box<[u8]>>,
}

/// Why a CertificateList is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListError {
    Malformed,
    TooLarge,
    Algorithm,
    Delta,
    Indirect,
    Critical,
}

impl ListError {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "it is not a well-formed X.509 revocation list",
            Self::TooLarge => "it is a revocation list of more than 16 MiB or 500000 entries",
            Self::Algorithm => "it is a revocation list whose signature algorithm is not accepted",
            Self::Delta => "it is a delta revocation list; import the complete one",
            Self::Indirect => "it is an indirect revocation list, which is not supported",
            Self::Critical => "it is a revocation list with a critical extension that is not supported",
        }
    }
}

impl RevocationList {
    /// Reads a list in DER.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ListError> {
        if bytes.len() > REVOCATION_LIST_MAX_LEN {
            return Err(ListError::TooLarge);
        }
        let Outer { signed, whole, algorithm, signature } = Outer::read(bytes).ok_or(ListError::Malformed)?;
        let mut fields = Fields::read(signed, algorithm).ok_or(ListError::Malformed)?;
        let scope = read_extensions(fields.extensions.take())?;
        let revoked = read_entries(fields.entries.take())?;
        let algorithm = SignatureAlgorithm::read(Der::new(algorithm)).ok_or(ListError::Malformed)?;
        let algorithm = algorithm.ok_or(ListError::Algorithm)?;
        Ok(Self {
            algorithm,
            digest: algorithm.hash().digest(&[whole]).as_bytes().to_vec(),
            signature: signature.to_vec(),
            issuer: fields.issuer.to_vec(),
            this_update: fields.this_update,
            next_update: fields.next_update,
            scope,
            revoked,
        })
    }

    /// Returns whether `issuer`'s key signed this list.
    pub(crate) fn is_signed_by(&self, issuer: &SubjectKey) -> bool {
        self.algorithm.verifies(issuer, &self.digest, &self.signature)
    }

    /// Returns whether the certificate with this serial number is on the list.
    pub(crate) fn revokes(&self, serial: &[u8]) -> bool {
        let serial = without_leading_zeros(serial);
        self.revoked.binary_search_by(|listed| listed.as_ref().cmp(serial)).is_ok()
    }

    /// Returns the number of revoked certificates.
    pub(crate) fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Returns whether the list is outdated or not valid yet.
    pub(crate) fn is_stale_at(&self, now: i64) -> bool {
        now < self.this_update || self.next_update.is_some_and(|next| now > next)
    }
}

struct Outer<'a> {
    /// The content of the TBSCertList.
    signed: &'a [u8],
    /// The same including its header: the signed bytes.
    whole: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Outer<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut outer = Der::new(bytes);
        let mut list = outer.inside(SEQUENCE).filter(|_| outer.is_empty())?;
        let signed = list.expect(SEQUENCE)?;
        let algorithm = list.expect(SEQUENCE)?.content;
        let (unused_bits, signature) = list.expect(BIT_STRING)?.content.split_first()?;
        let ends = *unused_bits == 0 && list.is_empty();
        ends.then_some(Self { signed: signed.content, whole: signed.whole, algorithm, signature })
    }
}

struct Fields<'a> {
    issuer: &'a [u8],
    this_update: i64,
    next_update: Option<i64>,
    entries: Option<Der<'a>>,
    extensions: Option<Der<'a>>,
}

impl<'a> Fields<'a> {
    /// Reads the content of a TBSCertList. `algorithm` is the signature algorithm outside of it, which must be
    /// equal.
    fn read(signed: &'a [u8], algorithm: &[u8]) -> Option<Self> {
        let mut fields = Der::new(signed);
        fields.optional(INTEGER);
        if fields.expect(SEQUENCE)?.content != algorithm {
            return None;
        }
        let issuer = fields.expect(SEQUENCE)?.whole;
        let this_update = read_time(fields.any()?)?;
        let next_update = fields.optional(UTC_TIME).or_else(|| fields.optional(GENERALIZED_TIME));
        let next_update = match next_update {
            Some(time) => Some(read_time(time)?),
            None => None,
        };
        let entries = fields.optional(SEQUENCE).map(|entries| Der::new(entries.content));
        let extensions = match fields.optional(EXTENSIONS) {
            Some(extensions) => Some(Der::new(extensions.content).inside(SEQUENCE)?),
            None => None,
        };
        fields.is_empty().then_some(Self { issuer, this_update, next_update, entries, extensions })
    }
}

fn read_entries(entries: Option<Der<'_>>) -> Result<Vec<Box<[u8]>>, ListError> {
    let mut revoked: Vec<Box<[u8]>> = Vec::new();
    let Some(mut entries) = entries else { return Ok(revoked) };
    while !entries.is_empty() {
        if revoked.len() >= ENTRIES_MAX {
            return Err(ListError::TooLarge);
        }
        let mut entry = entries.inside(SEQUENCE).ok_or(ListError::Malformed)?;
        let serial = entry.expect(INTEGER).ok_or(ListError::Malformed)?.content;
        entry.any().and_then(read_time).ok_or(ListError::Malformed)?;
        for_each_extension(
            entry.optional(SEQUENCE).map(|list| Der::new(list.content)),
            |id, critical, _| {
                match id.strip_prefix(ID_CE) {
                    // A certificate is revoked for every reason code, certificateHold included.
                    Some(&[REASON_CODE | INVALIDITY_DATE]) => Ok(()),
                    _ if critical => Err(ListError::Critical),
                    _ => Ok(()),
                }
            },
        )?;
        if serial.len() > SERIAL_MAX_LEN {
            return Err(ListError::Malformed);
        }
        revoked.push(without_leading_zeros(serial).into());
    }
    revoked.sort_unstable();
    revoked.dedup();
    Ok(revoked)
}

/// Reads the list's own extensions; returns the issuing distribution point.
fn read_extensions(extensions: Option<Der<'_>>) -> Result<Vec<u8>, ListError> {
    let mut scope = Vec::new();
    for_each_extension(extensions, |id, critical, value| {
        match id.strip_prefix(ID_CE) {
            Some(&[AUTHORITY_KEY_IDENTIFIER | CRL_NUMBER]) => {}
            Some(&[DELTA_CRL_INDICATOR]) => return Err(ListError::Delta),
            Some(&[ISSUING_DISTRIBUTION_POINT]) => {
                let mut point = Der::new(value).inside(SEQUENCE).ok_or(ListError::Malformed)?;
                while !point.is_empty() {
                    let field = point.any().ok_or(ListError::Malformed)?;
                    if field.tag == INDIRECT_CRL && field.content != [0] {
                        return Err(ListError::Indirect);
                    }
                }
                scope = value.to_vec();
            }
            _ if critical => return Err(ListError::Critical),
            _ => {}
        }
        Ok(())
    })?;
    Ok(scope)
}

fn for_each_extension<'a>(
    list: Option<Der<'a>>,
    mut each: impl FnMut(&[u8], bool, &'a [u8]) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let Some(mut list) = list else { return Ok(()) };
    let mut count = 0_usize;
    while !list.is_empty() {
        count = count.saturating_add(1);
        if count > EXTENSIONS_MAX {
            return Err(ListError::Malformed);
        }
        let mut extension = list.inside(SEQUENCE).ok_or(ListError::Malformed)?;
        let id = extension.expect(OID).ok_or(ListError::Malformed)?.content;
        let critical = extension.optional(BOOLEAN).is_some_and(|flag| flag.content != [0]);
        let value = extension.expect(OCTET_STRING).ok_or(ListError::Malformed)?.content;
        each(id, critical, value)?;
    }
    Ok(())
}

fn without_leading_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}
