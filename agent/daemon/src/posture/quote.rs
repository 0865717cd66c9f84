//! The PCRs that reports quote, as the TPM tells them.

use std::collections::BTreeMap;

use pawl_evidence::tpm::{Attest, HashAlgorithm, PcrIndexError, PcrSelection};
use pawl_proto::{Digest, PcrBank, PcrValue};
use pawl_tpm::{Attestation, Error, Tpm};

use crate::core::covers;

/// How often the PCRs may change between reading and quoting before the quote fails.
const ATTEMPTS: usize = 5;

/// Returns the PCRs that every report quotes: the firmware's, the loader's, the kernel's and systemd's.
///
/// # Errors
/// None; the indices are constant.
pub(crate) fn quoted_pcrs(bank: HashAlgorithm) -> Result<PcrSelection, PcrIndexError> {
    PcrSelection::new(bank, 0..=15)
}

/// Returns the hash algorithm of a bank.
pub(crate) fn bank_hash(bank: PcrBank) -> HashAlgorithm {
    match bank {
        PcrBank::Sha256 => HashAlgorithm::Sha256,
        PcrBank::Sha384 => HashAlgorithm::Sha384,
    }
}

/// Reads the quoted PCRs of the active bank.
///
/// # Errors
/// What the TPM says.
pub(crate) async fn read_pcrs(tpm: &Tpm) -> Result<BTreeMap<u8, PcrValue>, Error> {
    let bank = tpm.pcr_bank().await?;
    let selection = quoted_pcrs(bank).map_err(|_| MALFORMED)?;
    let values = tpm.read_pcrs(&selection).await?;
    let value = |value: &[u8]| PcrValue::new(value).map_err(|_| MALFORMED);
    values.bank(bank).map(|(index, digest)| Ok((index, value(digest.as_bytes())?))).collect()
}

/// Quotes the PCRs of a bank.
///
/// # Errors
/// What the TPM says.
pub(crate) async fn quote(tpm: &Tpm, bank: PcrBank, extra: Digest) -> Result<Attestation, Error> {
    let selection = quoted_pcrs(bank_hash(bank)).map_err(|_| MALFORMED)?;
    tpm.quote(&selection, extra.0).await
}

/// Returns a quote with a nonce of somebody's own, and the PCR values that it is over.
///
/// # Errors
/// [`QuoteError`]; above all what the TPM says.
pub(crate) async fn quote_stable(
    tpm: &Tpm,
    nonce: Digest,
) -> Result<(Attestation, BTreeMap<u8, PcrValue>), QuoteError> {
    for _ in 0..ATTEMPTS {
        let pcrs = read_pcrs(tpm).await?;
        let bank = PcrBank::of(&pcrs).ok_or(QuoteError::Malformed)?;
        let attestation = quote(tpm, bank, nonce).await?;
        let attest = Attest::unmarshal(&attestation.attest).map_err(|_| QuoteError::Malformed)?;
        if covers(&attest.attested, bank, &pcrs).map_err(|_| QuoteError::Malformed)? {
            return Ok((attestation, pcrs));
        }
    }
    Err(QuoteError::Restless)
}

const MALFORMED: Error = Error::Malformed("PCR values");

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuoteError {
    #[error(transparent)]
    Tpm(#[from] Error),
    #[error("PCRs changed under every quote; the next try is due soon")]
    Restless,
    #[error("the TPM's quote is malformed")]
    Malformed,
    #[error("the logs were not read to the end: the daemon is stopping")]
    Logs,
}
