use std::collections::BTreeMap;

use pawl_evidence::attest::{AttestError, AttestationKey, VerifiedAttest, VerifiedNvPcr, VerifiedQuote};
use pawl_evidence::tpm::{self, ClockInfo, HashAlgorithm, NvPublic, ParseError, PcrValues};
use pawl_proto::message::{CertifiedNvPcr, Evidence, Report, TpmStructure};
use pawl_proto::{DecodeError, Digest, PcrBank, PcrValue, limits};

/// Evidence under a quote with a valid signature. Its PCR values are a claim until [`QuotedEvidence::composite`] has compared
/// them with the quote.
#[derive(Clone, Debug)]
pub struct QuotedEvidence {
    /// The evidence.
    pub evidence: Evidence,
    /// SHA-256 of the evidence, which the quote covers.
    pub digest: Digest,
    /// The quote as received, for the audit record.
    pub attest: TpmStructure,
    /// The signature over it.
    pub signature: TpmStructure,
    /// The certified NvPCRs as received, for storage.
    pub certified: Vec<CertifiedNvPcr>,
    /// The verified NvPCRs: the same key certified them for the same evidence.
    pub nvpcrs: Vec<VerifiedNvPcr>,
    verified: VerifiedAttest,
}

impl QuotedEvidence {
    /// Verifies the signature, then decodes the evidence that it covers.
    ///
    /// # Errors
    /// [`QuotedError`]
    pub fn verify(key: &AttestationKey, report: &Report) -> Result<Self, QuotedError> {
        let bytes = report.evidence.as_bytes();
        let digest = Digest::of(bytes);
        let verified =
            key.verify(report.attest.as_bytes(), report.signature.as_bytes(), digest.as_bytes())?;
        let evidence: Evidence = pawl_proto::decode(bytes, limits::MESSAGE)?;
        let present = evidence.nvpcrs.as_ref().map_or(0, Vec::len);
        if present > limits::NVPCRS_PRESENT || report.nvpcrs.len() > limits::NVPCRS {
            return Err(QuotedError::TooManyNvPcrs);
        }
        let nvpcrs = verify_nvpcrs(key, &report.nvpcrs, digest, verified.clock())?;
        Ok(Self {
            evidence,
            certified: report.nvpcrs.clone(),
            nvpcrs,
            digest,
            attest: report.attest.clone(),
            signature: report.signature.clone(),
            verified,
        })
    }

    /// Returns the TPM's clock when it quoted.
    #[must_use]
    pub fn clock(&self) -> ClockInfo {
        self.verified.clock()
    }

    /// Returns the quote over these values.
    ///
    /// # Errors
    /// [`QuotedError`] if they are not the quoted values.
    pub fn composite(&self, pcrs: &BTreeMap<u8, PcrValue>) -> Result<VerifiedQuote, QuotedError> {
        Ok(self.verified.clone().quote(&pcr_values(pcrs)?)?)
    }
}

/// Verifies that the key certified the NvPCRs for the evidence with this digest, and in the boot of the quote: a device can
/// prepare evidence before a reboot, and an NvPCR's earlier value proves nothing about the boot after it. The policy decides
/// whether the indexes are NvPCRs and which values are allowed.
pub(super) fn verify_nvpcrs(
    key: &AttestationKey,
    certified: &[CertifiedNvPcr],
    evidence: Digest,
    quoted_at: ClockInfo,
) -> Result<Vec<VerifiedNvPcr>, QuotedError> {
    let verify = |nvpcr: &CertifiedNvPcr| {
        let public = NvPublic::unmarshal(nvpcr.public.as_bytes()).map_err(QuotedError::NvPublic)?;
        let attest = key.verify(nvpcr.attest.as_bytes(), nvpcr.signature.as_bytes(), evidence.as_bytes())?;
        let boot = |clock: ClockInfo| (clock.reset_count, clock.restart_count);
        if boot(attest.clock()) != boot(quoted_at) {
            return Err(QuotedError::OtherBoot);
        }
        Ok(VerifiedNvPcr::new(&attest, public)?)
    };
    certified.iter().map(verify).collect()
}

/// Converts values of one bank to the type of pawl-evidence.
///
/// # Errors
/// [`QuotedError`] for values of several banks, and for a PCR that no TPM has.
pub fn pcr_values(pcrs: &BTreeMap<u8, PcrValue>) -> Result<PcrValues, QuotedError> {
    let mut values = PcrValues::default();
    if pcrs.is_empty() {
        return Ok(values);
    }
    let bank = bank_hash(PcrBank::of(pcrs).ok_or(QuotedError::Banks)?);
    for (index, value) in pcrs {
        let value = tpm::TaggedDigest::new(bank, value.as_bytes()).ok_or(QuotedError::Banks)?;
        values.insert(*index, value).map_err(|_| QuotedError::Pcr(*index))?;
    }
    Ok(values)
}

/// Converts quoted values to the type of messages, all of one bank. A value that the quote does not cover is left out.
#[must_use]
pub fn quoted_values(quoted: &PcrValues) -> BTreeMap<u8, PcrValue> {
    let Some(bank) = bank(quoted) else { return BTreeMap::new() };
    let values = quoted.bank(bank_hash(bank));
    values.filter_map(|(index, value)| Some((index, PcrValue::new(value.as_bytes()).ok()?))).collect()
}

/// Returns the bank of these values. Reports that mix banks are refused earlier.
#[must_use]
pub fn bank(values: &PcrValues) -> Option<PcrBank> {
    let banks = [PcrBank::Sha256, PcrBank::Sha384];
    banks.into_iter().find(|bank| values.bank(bank_hash(*bank)).next().is_some())
}

/// Returns the hash algorithm of a bank.
#[must_use]
pub fn bank_hash(bank: PcrBank) -> HashAlgorithm {
    match bank {
        PcrBank::Sha256 => HashAlgorithm::Sha256,
        PcrBank::Sha384 => HashAlgorithm::Sha384,
    }
}

/// Why the quote or the certifications of a report are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuotedError {
    /// The attestation is not valid.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The signed bytes are not evidence.
    #[error("evidence: {0}")]
    Decode(#[from] DecodeError),
    /// More NvPCRs than a verdict asks for, or than a log names.
    #[error("the report has too many NvPCRs")]
    TooManyNvPcrs,
    /// The TPM was reset or resumed between the quote and the certification.
    #[error("an NvPCR was certified in another boot than the PCRs were quoted in")]
    OtherBoot,
    /// The public area of an NV index cannot be read.
    #[error("NvPCR: {0}")]
    NvPublic(ParseError),
    /// The values are of several banks.
    #[error("the PCR values are of several banks; a report must have one")]
    Banks,
    /// The TPM has no such PCR.
    #[error("there is no PCR {0}")]
    Pcr(u8),
}
