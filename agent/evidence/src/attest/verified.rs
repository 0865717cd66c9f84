use thiserror::Error;

use crate::tpm::{
    Attest, Attested, ClockInfo, HashAlgorithm, MissingPcr, Name, NvPublic, ParseError, PcrSelection,
    PcrValues, TaggedDigest,
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

/// An NV index with the contents that a TPM attested to: one digest. [`NvPublic::check_nvpcr`] checks whether the
/// index is an NvPCR's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNvPcr {
    public: NvPublic,
    value: TaggedDigest,
}

/// Why an attestation is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The signature is malformed.
    #[error("the attestation's signature is malformed: {0}")]
    Signature(ParseError),
    /// The attestation key did not sign these bytes.
    #[error("the attestation is not signed by the attestation key")]
    Forged,
    /// The signed bytes are not an attestation.
    #[error("the attestation is malformed: {0}")]
    Malformed(ParseError),
    /// The signing key is not at the required place in its TPM.
    #[error(
        "the attestation key is not a primary of the endorsement hierarchy: the TPM obfuscates resetCount, \
         restartCount and firmwareVersion for a key elsewhere"
    )]
    Hierarchy,
    /// The qualifying data is not the expected one.
    #[error("the attestation has other qualifying data: it is stale, replayed or covers other data")]
    Stale,
    /// It is another kind of attestation.
    #[error("the attestation is not a {expected}")]
    Kind {
        /// The expected kind.
        expected: &'static str,
    },
    /// The value of a quoted PCR is missing.
    #[error("{0}, though it is quoted")]
    Missing(#[from] MissingPcr),
    /// The values are not the quoted ones.
    #[error("the PCR values are not those that the TPM quoted")]
    Composite,
    /// Another object or index is certified.
    #[error("the TPM certified {certified}, not {expected}")]
    Name {
        /// The name in the attestation.
        certified: Name,
        /// The expected name.
        expected: Name,
    },
    /// The certified NV contents are not a complete counter.
    #[error("the certified NV contents are not an 8-byte counter")]
    Counter,
    /// The certified NV contents are not a complete digest.
    #[error("the certified NV contents are not one digest of the index's algorithm")]
    NvContents,
}

impl VerifiedAttest {
    pub(super) fn new(attest: Attest) -> Self {
        Self(attest)
    }

    /// Returns the TPM's clock at the attestation.
    pub fn clock(&self) -> ClockInfo {
        self.0.clock
    }

    /// Returns the vendor's version number of the TPM firmware.
    pub fn firmware_version(&self) -> u64 {
        self.0.firmware_version
    }

    /// Checks PCR values against the quote. Drops values that the quote does not cover.
    ///
    /// # Errors
    /// If this is not a quote, or a quoted value is missing or different.
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

    /// Checks that `TPM2_Certify` attests to the object with this name.
    ///
    /// # Errors
    /// If this is another kind of attestation, or about another object.
    pub fn certify(&self, expected: &Name) -> Result<(), AttestError> {
        let Attested::Certify { name, .. } = &self.0.attested else {
            return Err(AttestError::Kind { expected: "certification of a key" });
        };
        check_name(name, expected)
    }

    /// Returns the value of the counter with this name, to which `TPM2_NV_Certify` attests.
    ///
    /// # Errors
    /// If this is another kind of attestation, about another index, or not of the complete counter.
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
    /// Checks the public area of an NV index against the attestation by `TPM2_NV_Certify`.
    ///
    /// # Errors
    /// If this is another kind of attestation, about another index, or the contents are not one digest.
    pub fn new(attest: &VerifiedAttest, public: NvPublic) -> Result<Self, AttestError> {
        let Attested::NvCertify { index_name, offset, contents } = &attest.0.attested else {
            return Err(AttestError::Kind { expected: "certification of an NV index" });
        };
        check_name(index_name, &public.name())?;
        let value = TaggedDigest::new(public.name_algorithm(), contents).filter(|_| *offset == 0);
        Ok(Self { public, value: value.ok_or(AttestError::NvContents)? })
    }

    /// Returns the index's public area, to whose name the TPM attested.
    pub fn public(&self) -> &NvPublic {
        &self.public
    }

    /// Returns the contents of the index.
    pub fn value(&self) -> &TaggedDigest {
        &self.value
    }
}

impl VerifiedQuote {
    /// Returns the quoted values and no others.
    pub fn pcrs(&self) -> &PcrValues {
        &self.pcrs
    }

    /// Returns which PCRs were quoted.
    pub fn selection(&self) -> &PcrSelection {
        &self.selection
    }

    /// Returns the TPM's clock at the quote.
    pub fn clock(&self) -> ClockInfo {
        self.clock
    }

    /// Returns the vendor's version number of the TPM firmware.
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
