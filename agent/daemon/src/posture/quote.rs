//! Quotes, and the certified values of NvPCRs: NV indices that systemd extends as if they were PCRs.

use std::collections::BTreeMap;

use pawl_evidence::tpm::Attest;
use pawl_proto::{Digest, PcrBank, PcrValue, limits};
use pawl_tpm::{Attestation, Error, Tpm};

use crate::core::{NvPcr, covers, quoted_pcrs};
use crate::record::bank_hash;

/// Number of attempts at a quote: PCRs can change between the read and the quote.
const ATTEMPTS: usize = 5;

/// Reads the quoted PCRs of the active bank.
///
/// # Errors
/// The TPM's error.
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
/// The TPM's error.
pub(crate) async fn quote(tpm: &Tpm, bank: PcrBank, extra: Digest) -> Result<Attestation, Error> {
    let selection = quoted_pcrs(bank_hash(bank)).map_err(|_| MALFORMED)?;
    tpm.quote(&selection, extra.0).await
}

/// Returns a quote with a caller's nonce, and the PCR values that it covers.
///
/// # Errors
/// [`QuoteError`].
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
    #[error("the PCRs changed during every attempt to quote them")]
    Restless,
    #[error("the TPM's quote is malformed")]
    Malformed,
    #[error("the logs were not read: the daemon is stopping")]
    Logs,
}

/// Reads the NvPCRs that the control plane asks for. Leaves out an NvPCR that does not exist or that the TPM does not let the
/// daemon read: the control plane appraises its absence.
pub(crate) async fn read_nvpcrs(tpm: &Tpm, asked: &[u32]) -> Vec<NvPcr> {
    let mut read = Vec::new();
    for handle in asked.iter().copied().take(limits::NVPCRS) {
        match tpm.nv_digest(handle).await {
            Ok(Some(found)) => read.push(NvPcr { handle, found }),
            Ok(None) => tracing::warn!(index = format_args!("{handle:#x}"), "an NvPCR does not exist"),
            Err(error) => {
                tracing::warn!(index = format_args!("{handle:#x}"), %error, "an NvPCR cannot be read");
            }
        }
    }
    read
}

/// Returns which of these NvPCRs the TPM has.
pub(crate) async fn present_nvpcrs(tpm: &Tpm, mut named: Vec<u32>) -> Vec<u32> {
    named.truncate(limits::NVPCRS_PRESENT);
    tpm.defined_nv_indices(named).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list the NvPCRs that the TPM has");
        Vec::new()
    })
}

/// Has the attestation key certify the NvPCRs, with the digest of the evidence as qualifying data. Leaves out an NvPCR that the TPM
/// does not certify.
pub(crate) async fn certify_nvpcrs(
    tpm: &Tpm,
    handles: Vec<u32>,
    evidence: Digest,
) -> Vec<(u32, Attestation)> {
    let mut certified = Vec::new();
    for handle in handles {
        match tpm.certify_nv_digest(handle, evidence.0).await {
            Ok(attestation) => certified.push((handle, attestation)),
            Err(error) => {
                tracing::warn!(index = format_args!("{handle:#x}"), %error, "the TPM does not certify an NvPCR");
            }
        }
    }
    certified
}
