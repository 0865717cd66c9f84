use super::uefi::{Guid, Variable};
use crate::bytes::LogReader;
use crate::tpm::{HashAlgorithm, TaggedDigest};
use crate::x509;

const CERT_X509: Guid =
    Guid::new(0xa5c0_59a1, 0x94e4, 0x4aa7, [0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72]);
const CERT_SHA1: Guid =
    Guid::new(0x826c_a512, 0xcf10, 0x4ac9, [0xb1, 0x87, 0xbe, 0x01, 0x49, 0x66, 0x31, 0xbd]);
const CERT_SHA256: Guid =
    Guid::new(0xc1c4_1626, 0x504c, 0x4092, [0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28]);
const CERT_SHA384: Guid =
    Guid::new(0xff3e_5307, 0x9fd0, 0x48c9, [0x85, 0xf1, 0x8a, 0xd5, 0x6c, 0x70, 0x1e, 0x01]);
const CERT_SHA512: Guid =
    Guid::new(0x093e_0fae, 0xa6c4, 0x4f50, [0x9f, 0x1b, 0xd4, 0x1e, 0x2b, 0x89, 0xc1, 0x9a]);

const OWNER_LEN: usize = 16;

/// The keys and digests in one of Secure Boot's variables (UEFI, section 32.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureDatabase {
    /// The variable.
    pub which: DatabaseName,
    /// Its entries, in order.
    pub entries: Vec<SignatureEntry>,
}

/// The variables of Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DatabaseName {
    /// `PK`: the owner of the machine.
    PlatformKey,
    /// `KEK`: who may change `db` and `dbx`.
    KeyExchangeKeys,
    /// `db`: the allowed signers and images.
    Allowed,
    /// `dbx`: the forbidden signers and images.
    Forbidden,
    /// `dbt`: the trusted time stamp authorities.
    TimeStamps,
    /// `dbr`: the signers of recovery images.
    Recovery,
}

/// One EFI_SIGNATURE_DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureEntry {
    /// The owner that the entry states; unverified.
    pub owner: Guid,
    /// The certificate or digest.
    pub signature: Signature,
}

/// The subject of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// Everything signed under a certificate.
    Certificate(CertificateId),
    /// One image, by its Authenticode digest.
    Image(TaggedDigest),
    /// Another type, by its GUID.
    Other(Guid),
}

/// A certificate's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    /// SHA-256 of its DER form.
    pub fingerprint: TaggedDigest,
    /// The subject's common name, if it has one.
    pub subject: Option<String>,
}

impl SignatureDatabase {
    /// Returns `None` if it is another variable, or malformed. An absent variable has no entries.
    pub(super) fn of(variable: &Variable<'_>) -> Option<Self> {
        let which =
            DatabaseName::ALL.into_iter().find(|which| variable.is(which.vendor(), which.as_str()))?;
        Self::read(which, variable.data)
    }

    /// Reads the value of the variable; `None` if it is malformed.
    pub(in crate::eventlog) fn read(which: DatabaseName, lists: &[u8]) -> Option<Self> {
        Some(Self { which, entries: read_lists(lists)? })
    }
}

impl DatabaseName {
    const ALL: [Self; 6] = [
        Self::PlatformKey,
        Self::KeyExchangeKeys,
        Self::Allowed,
        Self::Forbidden,
        Self::TimeStamps,
        Self::Recovery,
    ];

    /// Returns the name of the variable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PlatformKey => "PK",
            Self::KeyExchangeKeys => "KEK",
            Self::Allowed => "db",
            Self::Forbidden => "dbx",
            Self::TimeStamps => "dbt",
            Self::Recovery => "dbr",
        }
    }

    pub(in crate::eventlog) const fn vendor(self) -> Guid {
        match self {
            Self::PlatformKey | Self::KeyExchangeKeys => Guid::GLOBAL_VARIABLE,
            _ => Guid::IMAGE_SECURITY_DATABASE,
        }
    }
}

impl SignatureEntry {
    /// Reads an entry outside of a list, whose content determines its type.
    pub(super) fn alone(data: &[u8]) -> Option<Self> {
        let (owner, content) = data.split_first_chunk::<OWNER_LEN>()?;
        let owner = Guid::from_bytes(*owner);
        let image = || Some(Signature::Image(TaggedDigest::new(HashAlgorithm::Sha256, content)?));
        Self::certificate(owner, content).or_else(|| Some(Self { owner, signature: image()? }))
    }

    /// Returns `None` if the bytes are not a certificate.
    pub(super) fn certificate(owner: Guid, der: &[u8]) -> Option<Self> {
        Some(Self { owner, signature: Signature::Certificate(CertificateId::read(der)?) })
    }

    fn read(kind: Guid, data: &[u8]) -> Option<Self> {
        let (owner, content) = data.split_first_chunk::<OWNER_LEN>()?;
        let image = |algorithm| TaggedDigest::new(algorithm, content).map(Signature::Image);
        let signature = match kind {
            CERT_X509 => Signature::Certificate(CertificateId::of(content)),
            CERT_SHA1 => image(HashAlgorithm::Sha1)?,
            CERT_SHA256 => image(HashAlgorithm::Sha256)?,
            CERT_SHA384 => image(HashAlgorithm::Sha384)?,
            CERT_SHA512 => image(HashAlgorithm::Sha512)?,
            other => Signature::Other(other),
        };
        Some(Self { owner: Guid::from_bytes(*owner), signature })
    }
}

impl CertificateId {
    /// Identifies a certificate of a list, even if it is malformed.
    fn of(der: &[u8]) -> Self {
        Self::read(der).unwrap_or_else(|| Self { fingerprint: fingerprint(der), subject: None })
    }

    /// Returns `None` if the certificate is malformed.
    fn read(der: &[u8]) -> Option<Self> {
        let name = x509::Certificate::read(der)?.subject;
        let subject = x509::common_name(&name).map(|_| x509::shown(&name));
        Some(Self { fingerprint: fingerprint(der), subject })
    }
}

fn fingerprint(der: &[u8]) -> TaggedDigest {
    HashAlgorithm::Sha256.digest(&[der])
}

/// Reads a sequence of EFI_SIGNATURE_LIST.
fn read_lists(data: &[u8]) -> Option<Vec<SignatureEntry>> {
    let mut reader = LogReader::new(data);
    let mut entries = Vec::new();
    while !reader.is_empty() {
        let kind = reader.guid()?;
        let (list_len, header_len, entry_len) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let content_len = list_len.checked_sub(16 + 3 * 4)?;
        let mut list = LogReader::new(reader.counted(content_len.into())?);
        list.counted(header_len.into())?;
        let entry_len = usize::try_from(entry_len).ok().filter(|len| *len >= OWNER_LEN)?;
        while !list.is_empty() {
            entries.push(SignatureEntry::read(kind, list.bytes(entry_len)?)?);
        }
    }
    Some(entries)
}

/// The entry that authorized an image which was then loaded (EV_EFI_VARIABLE_AUTHORITY).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The vendor of the variable.
    pub vendor: Guid,
    /// The variable with the entry: `db`, or one of shim's such as `MokListRT`.
    pub variable: String,
    /// The certificate, or the digest of the image.
    pub entry: SignatureEntry,
}

impl Authority {
    /// Decodes the variable; `None` if its value is neither an EFI_SIGNATURE_DATA nor a certificate, as with some
    /// variables that shim measures in the same way. shim measures its built-in certificate without an owner.
    pub(super) fn of(variable: &Variable<'_>) -> Option<Self> {
        let built_in = || SignatureEntry::certificate(variable.vendor, variable.data);
        let entry = SignatureEntry::alone(variable.data).or_else(built_in)?;
        Some(Self { vendor: variable.vendor, variable: variable.name.clone(), entry })
    }
}
