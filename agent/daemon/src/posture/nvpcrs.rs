//! NvPCRs: NV indices that systemd extends as if they were PCRs.

use pawl_evidence::tpm::{Attest, Attested};
use pawl_proto::message::CertifiedNvPcr;
use pawl_proto::{Digest, limits};
use pawl_tpm::{NvDigest, Tpm};

use super::report::ReportError;

/// An NvPCR as it was read, before the log.
pub(super) struct Read {
    handle: u32,
    found: NvDigest,
}

/// Reads those that the control plane asks for. One that is not there, or that the TPM does not let us read, is left out:
/// the control plane judges its absence.
pub(super) async fn read(tpm: &Tpm, asked: &[u32]) -> Vec<Read> {
    let mut read = Vec::new();
    for handle in asked.iter().copied().take(limits::NVPCRS) {
        match tpm.nv_digest(handle).await {
            Ok(Some(found)) => read.push(Read { handle, found }),
            Ok(None) => tracing::warn!(index = format_args!("{handle:#x}"), "an NvPCR is not there"),
            Err(error) => {
                tracing::warn!(index = format_args!("{handle:#x}"), %error, "an NvPCR cannot be read");
            }
        }
    }
    read
}

/// Which of these the TPM has.
pub(super) async fn present(tpm: &Tpm, mut named: Vec<u32>) -> Vec<u32> {
    named.truncate(limits::NVPCRS_PRESENT);
    tpm.defined_nv_indices(named).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the TPM does not say which NvPCRs it has");
        Vec::new()
    })
}

/// Has the attestation key certify them for the evidence with this digest, and leaves out one that the TPM does not certify.
/// Returns `None` where one has changed since it was read: the log in the evidence may lack its record.
///
/// # Errors
/// [`ReportError`] where the TPM answers something malformed.
pub(super) async fn certify(
    tpm: &Tpm,
    read: Vec<Read>,
    evidence: Digest,
) -> Result<Option<Vec<CertifiedNvPcr>>, ReportError> {
    let mut certified = Vec::new();
    for Read { handle, found } in read {
        let attestation = match tpm.certify_nv_digest(handle, evidence.0).await {
            Ok(attestation) => attestation,
            Err(error) => {
                tracing::warn!(index = format_args!("{handle:#x}"), %error, "the TPM does not certify an NvPCR");
                continue;
            }
        };
        let attest = Attest::unmarshal(&attestation.attest).map_err(|_| ReportError::Quote)?;
        if !matches!(attest.attested, Attested::NvCertify { contents, .. } if contents == found.value) {
            return Ok(None);
        }
        certified.push(CertifiedNvPcr {
            public: found.public.try_into()?,
            attest: attestation.attest.try_into()?,
            signature: attestation.signature.try_into()?,
        });
    }
    Ok(Some(certified))
}
