use std::collections::BTreeMap;

use pawl_evidence::attest::{AttestError, AttestationKey, VerifiedAttest, VerifiedQuote};
use pawl_evidence::tpm::{self, ClockInfo, HashAlgorithm, PcrValues};
use pawl_proto::message::{Evidence, Report, TpmStructure};
use pawl_proto::{DecodeError, Digest, PcrBank, PcrValue, limits};

/// Evidence under a quote whose signature holds. The PCR values in it are a claim until
/// [`QuotedEvidence::composite`] has compared them with the quote.
#[derive(Clone, Debug)]
pub struct QuotedEvidence {
    /// What the device says.
    pub evidence: Evidence,
    /// SHA-256 of the evidence, which the quote covers.
    pub digest: Digest,
    /// The quote as it came, for the record.
    pub attest: TpmStructure,
    /// The signature over it.
    pub signature: TpmStructure,
    verified: VerifiedAttest,
}

impl QuotedEvidence {
    /// Checks the signature first and then decodes the evidence that it covers.
    ///
    /// # Errors
    /// [`QuotedError`]
    pub fn verify(key: &AttestationKey, report: &Report) -> Result<Self, QuotedError> {
        let bytes = report.evidence.as_bytes();
        let digest = Digest::of(bytes);
        let verified =
            key.verify(report.attest.as_bytes(), report.signature.as_bytes(), digest.as_bytes())?;
        let evidence = pawl_proto::decode(bytes, limits::MESSAGE)?;
        Ok(Self {
            evidence,
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

    /// Returns the quote over these values, if they are what the TPM quoted.
    ///
    /// # Errors
    /// [`QuotedError`]
    pub fn composite(&self, pcrs: &BTreeMap<u8, PcrValue>) -> Result<VerifiedQuote, QuotedError> {
        Ok(self.verified.clone().quote(&pcr_values(pcrs)?)?)
    }
}

/// Returns values of one bank in the form of pawl-evidence.
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
        let value = tpm::Digest::new(bank, value.as_bytes()).ok_or(QuotedError::Banks)?;
        values.insert(*index, value).map_err(|_| QuotedError::Pcr(*index))?;
    }
    Ok(values)
}

/// Returns the quoted values in the form of messages, all of one bank. A value that the report names and the quote
/// does not cover is left out.
#[must_use]
pub fn quoted_values(quoted: &PcrValues) -> BTreeMap<u8, PcrValue> {
    let Some(bank) = bank(quoted) else { return BTreeMap::new() };
    let values = quoted.bank(bank_hash(bank));
    values.filter_map(|(index, value)| Some((index, PcrValue::new(value.as_bytes()).ok()?))).collect()
}

/// Returns the bank of these values. Reports that mix banks are refused before.
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

/// Why a report is not believed.
#[derive(Debug, thiserror::Error)]
pub enum QuotedError {
    /// The quote does not hold.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The TPM signed for something that is no evidence.
    #[error("evidence: {0}")]
    Decode(#[from] DecodeError),
    /// The values are of several banks.
    #[error("the PCR values are of several banks: a device reports one")]
    Banks,
    /// No such PCR.
    #[error("there is no PCR {0}")]
    Pcr(u8),
}
