use thiserror::Error;

use crate::tpm::{
    Attest, Attested, ClockInfo, Digest, HashAlgorithm, MissingPcr, Name, NvPublic, ParseError, PcrSelection,
    PcrValues,
};

/// An attestation that an [`super::AttestationKey`] signed over the expected qualifying data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAttest(Attest);

/// PCR values that a TPM attested to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedQuote {
    selection: PcrSelection,
    pcrs: PcrValues,
    clock: ClockInfo,
    firmware_version: u64,
}

/// An NV index with the contents that a TPM attested to: one digest. Whether the index is that of an NvPCR is for
/// [`NvPublic::check_nvpcr`] to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNvPcr {
    public: NvPublic,
    value: Digest,
}

/// Why an attestation is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The signature cannot be read.
    #[error("the attestation's signature is malformed: {0}")]
    Signature(ParseError),
    /// The signature is not by the attestation key over these bytes.
    #[error("the attestation is not signed by the attestation key")]
    Forged,
    /// What was signed is not an attestation.
    #[error("the attestation is malformed: {0}")]
    Malformed(ParseError),
    /// The key that signed is not where it has to be in its TPM.
    #[error(
        "the attestation key is not a primary of the endorsement hierarchy: the TPM obfuscates resetCount, \
         restartCount and firmwareVersion for a key elsewhere"
    )]
    Hierarchy,
    /// The qualifying data is not what was asked for.
    #[error("the attestation answers another challenge: it is stale, replayed or covers other data")]
    Stale,
    /// It attests to something else than was looked for.
    #[error("the attestation is not a {expected}")]
    Kind {
        /// What was looked for.
        expected: &'static str,
    },
    /// A quoted PCR was not sent along.
    #[error("{0}, though it is quoted")]
    Missing(#[from] MissingPcr),
    /// The values are not those that were quoted.
    #[error("the PCR values are not those that the TPM quoted")]
    Composite,
    /// Another object or index is certified.
    #[error("the TPM certified {certified}, not {expected}")]
    Name {
        /// The name in the attestation.
        certified: Name,
        /// The name that was looked for.
        expected: Name,
    },
    /// The certified NV contents are not a whole counter.
    #[error("the certified NV contents are not an 8-byte counter")]
    Counter,
    /// The certified NV contents are not a whole digest.
    #[error("the certified NV contents are not one digest of the index's algorithm")]
    NvContents,
}

impl VerifiedAttest {
    pub(super) fn new(attest: Attest) -> Self {
        Self(attest)
    }

    /// The TPM's clock at the attestation.
    pub fn clock(&self) -> ClockInfo {
        self.0.clock
    }

    /// The vendor's number for the TPM firmware.
    pub fn firmware_version(&self) -> u64 {
        self.0.firmware_version
    }

    /// Ties PCR values to a quote. Values that the quote does not cover are dropped.
    ///
    /// # Errors
    /// When this is no quote, or a quoted value is missing or different.
    pub fn quote(self, pcrs: &PcrValues) -> Result<VerifiedQuote, AttestError> {
        let Self(Attest {
            attested: Attested::Quote { selection, pcr_digest }, clock, firmware_version, ..
        }) = self
        else {
            return Err(AttestError::Kind { expected: "quote" });
        };
        let composite = pcrs.composite(&selection, HashAlgorithm::Sha256)?;
        if composite.as_bytes() != pcr_digest {
            return Err(AttestError::Composite);
        }
        let pcrs = pcrs.select(&selection)?;
        Ok(VerifiedQuote { selection, pcrs, clock, firmware_version })
    }

    /// Whether the object of this name is in the TPM, as `TPM2_Certify` says.
    ///
    /// # Errors
    /// When this is something else, or about another object.
    pub fn certify(&self, expected: &Name) -> Result<(), AttestError> {
        let Attested::Certify { name, .. } = &self.0.attested else {
            return Err(AttestError::Kind { expected: "certification of a key" });
        };
        check_name(name, expected)
    }

    /// The value of the counter of this name, as `TPM2_NV_Certify` says.
    ///
    /// # Errors
    /// When this is something else, about another index, or not the whole counter.
    pub fn nv_counter(&self, expected: &Name) -> Result<u64, AttestError> {
        let Attested::NvCertify { index_name, offset, contents } = &self.0.attested else {
            return Err(AttestError::Kind { expected: "certification of the epoch counter" });
        };
        check_name(index_name, expected)?;
        match (offset, <[u8; 8]>::try_from(contents.as_slice())) {
            (0, Ok(value)) => Ok(u64::from_be_bytes(value)),
            _ => Err(AttestError::Counter),
        }
    }
}

impl VerifiedNvPcr {
    /// Ties the public area of an NV index to what `TPM2_NV_Certify` says of it.
    ///
    /// # Errors
    /// When the attestation is something else or about another index, or the contents are not one digest.
    pub fn new(attest: &VerifiedAttest, public: NvPublic) -> Result<Self, AttestError> {
        let Attested::NvCertify { index_name, offset, contents } = &attest.0.attested else {
            return Err(AttestError::Kind { expected: "certification of an NV index" });
        };
        check_name(index_name, &public.name())?;
        let value = Digest::new(public.name_algorithm(), contents).filter(|_| *offset == 0);
        Ok(Self { public, value: value.ok_or(AttestError::NvContents)? })
    }

    /// The index's public area, whose name the TPM attested to.
    pub fn public(&self) -> &NvPublic {
        &self.public
    }

    /// What the index held.
    pub fn value(&self) -> &Digest {
        &self.value
    }
}

impl VerifiedQuote {
    /// The quoted values and no others.
    pub fn pcrs(&self) -> &PcrValues {
        &self.pcrs
    }

    /// Which PCRs were quoted.
    pub fn selection(&self) -> &PcrSelection {
        &self.selection
    }

    /// The TPM's clock at the quote.
    pub fn clock(&self) -> ClockInfo {
        self.clock
    }

    /// The vendor's number for the TPM firmware.
    pub fn firmware_version(&self) -> u64 {
        self.firmware_version
    }
}

fn check_name(certified: &Name, expected: &Name) -> Result<(), AttestError> {
    if certified == expected {
        return Ok(());
    }
    Err(AttestError::Name { certified: certified.clone(), expected: expected.clone() })
}
