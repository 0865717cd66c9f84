use super::name::Name;
use super::pcr::PcrSelection;
use super::reader::{ParseError, Reader};

/// TPM_GENERATED_VALUE. Restricted keys refuse to sign external data that starts with it.
const MAGIC: u32 = 0xff54_4347;
const ST_ATTEST_NV: u16 = 0x8014;
const ST_ATTEST_CERTIFY: u16 = 0x8017;
const ST_ATTEST_QUOTE: u16 = 0x8018;
const NAME_MAX_LEN: usize = 66;
const EXTRA_DATA_MAX_LEN: usize = 66;
const DIGEST_MAX_LEN: usize = 64;
/// The size limit of certified contents: MAX_NV_BUFFER_SIZE of known TPMs is at most 2048.
const NV_CONTENTS_MAX_LEN: usize = 2048;

/// A TPM's statement about itself (TPMS_ATTEST, TPM 2.0 Library, part 2, section 10.12.12).
///
/// Untrusted until its signature is verified: see `pawl_evidence::attest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// The qualified name of the signing key.
    pub qualified_signer: Vec<u8>,
    /// The caller's qualifying data: a nonce or a digest.
    pub extra_data: Vec<u8>,
    /// The TPM's clock and resets.
    pub clock: ClockInfo,
    /// The vendor's version number of the TPM firmware.
    pub firmware_version: u64,
    /// The attested content.
    pub attested: Attested,
}

/// The TPM's clock (TPMS_CLOCK_INFO). The counts are true only under a key of the endorsement hierarchy; for
/// other keys the TPM obfuscates them, and `pawl_evidence::attest` refuses those keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds with power since the TPM was last cleared.
    pub clock_ms: u64,
    /// Resets since the TPM was last cleared.
    pub reset_count: u32,
    /// Resumes since the last reset.
    pub restart_count: u32,
    /// Whether `clock_ms` is known to be the highest value so far; false for a while after an unclean stop.
    pub safe: bool,
}

/// The attested content (TPMU_ATTEST).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attested {
    /// `TPM2_Quote`.
    Quote {
        /// The quoted PCRs.
        selection: PcrSelection,
        /// The digest over their values.
        pcr_digest: Vec<u8>,
    },
    /// `TPM2_Certify`.
    Certify {
        /// The certified object, loaded in the same TPM.
        name: Name,
        /// The digest of its name and its parents' names.
        qualified_name: Name,
    },
    /// `TPM2_NV_Certify`.
    NvCertify {
        /// The NV index.
        index_name: Name,
        /// The start of the contents in the index.
        offset: u16,
        /// The contents.
        contents: Vec<u8>,
    },
}

impl Attest {
    /// Parses a complete TPMS_ATTEST.
    ///
    /// # Errors
    /// If the magic is wrong, bytes are missing or left over, or the attested content is of another kind.
    pub fn unmarshal(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u32("magic")?;
        if magic != MAGIC {
            return Err(ParseError::Unsupported { field: "magic", value: magic.into() });
        }
        let kind = reader.u16("attestation type")?;
        let qualified_signer = reader.sized(NAME_MAX_LEN, "qualified signer")?.to_vec();
        let extra_data = reader.sized(EXTRA_DATA_MAX_LEN, "extra data")?.to_vec();
        let clock = ClockInfo::read(&mut reader)?;
        let firmware_version = reader.u64("firmware version")?;
        let attested = match kind {
            ST_ATTEST_QUOTE => Attested::read_quote(&mut reader)?,
            ST_ATTEST_CERTIFY => Attested::read_certify(&mut reader)?,
            ST_ATTEST_NV => Attested::read_nv_certify(&mut reader)?,
            other => return Err(ParseError::Unsupported { field: "attestation type", value: other.into() }),
        };
        reader.finish("attestation")?;
        Ok(Self { qualified_signer, extra_data, clock, firmware_version, attested })
    }
}

impl ClockInfo {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            clock_ms: reader.u64("clock")?,
            reset_count: reader.u32("reset count")?,
            restart_count: reader.u32("restart count")?,
            safe: match reader.u8("clock safe")? {
                0 => false,
                1 => true,
                other => return Err(ParseError::Unsupported { field: "clock safe", value: other.into() }),
            },
        })
    }
}

impl Attested {
    fn read_quote(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let selection = PcrSelection::read(reader)?;
        let pcr_digest = reader.sized(DIGEST_MAX_LEN, "PCR digest")?.to_vec();
        Ok(Self::Quote { selection, pcr_digest })
    }

    fn read_certify(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let name = Name::from_bytes(reader.sized(NAME_MAX_LEN, "name")?)?;
        let qualified_name = Name::from_bytes(reader.sized(NAME_MAX_LEN, "qualified name")?)?;
        Ok(Self::Certify { name, qualified_name })
    }

    fn read_nv_certify(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let index_name = Name::from_bytes(reader.sized(NAME_MAX_LEN, "name of the NV index")?)?;
        let offset = reader.u16("NV offset")?;
        let contents = reader.sized(NV_CONTENTS_MAX_LEN, "NV contents")?.to_vec();
        Ok(Self::NvCertify { index_name, offset, contents })
    }
}
