use super::name::Name;
use super::pcr_selection::PcrSelection;
use super::reader::{ParseError, Reader};

/// TPM_GENERATED_VALUE: a restricted key signs nothing from outside that begins with it.
const MAGIC: u32 = 0xff54_4347;
const ST_ATTEST_NV: u16 = 0x8014;
const ST_ATTEST_CERTIFY: u16 = 0x8017;
const ST_ATTEST_QUOTE: u16 = 0x8018;
const NAME_MAX_LEN: usize = 66;
const EXTRA_DATA_MAX_LEN: usize = 66;
const DIGEST_MAX_LEN: usize = 64;
/// MAX_NV_BUFFER_SIZE of the TPMs that Pawl meets is 2048 or less.
const NV_CONTENTS_MAX_LEN: usize = 2048;

/// What a TPM signs about itself (TPMS_ATTEST, TPM 2.0 part 2, section 10.12.12).
///
/// Nothing in it may be believed before its signature was checked: see `pawl_evidence::attest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// The qualified name of the signing key.
    pub qualified_signer: Vec<u8>,
    /// What the asker wanted to be signed along: a nonce or a digest.
    pub extra_data: Vec<u8>,
    /// The TPM's clock and resets.
    pub clock: ClockInfo,
    /// The vendor's number for the TPM firmware.
    pub firmware_version: u64,
    /// What is attested.
    pub attested: Attested,
}

/// The TPM's sense of time (TPMS_CLOCK_INFO). The counts are true only under a key of the endorsement hierarchy;
/// for other keys the TPM obfuscates them, and `pawl_evidence::attest` refuses those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds for which the TPM had power, since it was last cleared.
    pub clock_ms: u64,
    /// Resets since the TPM was last cleared.
    pub reset_count: u32,
    /// Resumes since the last reset.
    pub restart_count: u32,
    /// Whether `clock_ms` is known never to have been higher: not so for a while after an unclean stop.
    pub safe: bool,
}

/// What is attested (TPMU_ATTEST).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attested {
    /// `TPM2_Quote`.
    Quote {
        /// The PCRs.
        selection: PcrSelection,
        /// The digest over their values.
        pcr_digest: Vec<u8>,
    },
    /// `TPM2_Certify`.
    Certify {
        /// The object that is loaded in the same TPM.
        name: Name,
        /// Its name together with its parents'.
        qualified_name: Name,
    },
    /// `TPM2_NV_Certify`.
    NvCertify {
        /// The NV index.
        index_name: Name,
        /// Where in the index the contents begin.
        offset: u16,
        /// The contents.
        contents: Vec<u8>,
    },
}

impl Attest {
    /// Reads a whole TPMS_ATTEST.
    ///
    /// # Errors
    /// When the magic is missing, the bytes end early or go on, or something else is attested.
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
