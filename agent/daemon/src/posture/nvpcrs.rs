//! NvPCRs: NV indices that systemd extends as if they were PCRs.

use pawl_proto::{Digest, limits};
use pawl_tpm::{Attestation, Tpm};

use crate::core::NvPcr;

/// Reads those that the control plane asks for. One that is not there, or that the TPM does not let us read, is left out:
/// the control plane judges its absence.
pub(crate) async fn read(tpm: &Tpm, asked: &[u32]) -> Vec<NvPcr> {
    let mut read = Vec::new();
    for handle in asked.iter().copied().take(limits::NVPCRS) {
        match tpm.nv_digest(handle).await {
            Ok(Some(found)) => read.push(NvPcr { handle, found }),
            Ok(None) => tracing::warn!(index = format_args!("{handle:#x}"), "an NvPCR is not there"),
            Err(error) => {
                tracing::warn!(index = format_args!("{handle:#x}"), %error, "an NvPCR cannot be read");
            }
        }
    }
    read
}

/// Returns which of these the TPM has.
pub(crate) async fn present(tpm: &Tpm, mut named: Vec<u32>) -> Vec<u32> {
    named.truncate(limits::NVPCRS_PRESENT);
    tpm.defined_nv_indices(named).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the TPM does not say which NvPCRs it has");
        Vec::new()
    })
}

/// Has the attestation key certify them for the evidence with this digest, and leaves out one that the TPM does not certify.
pub(crate) async fn certify(tpm: &Tpm, handles: Vec<u32>, evidence: Digest) -> Vec<(u32, Attestation)> {
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
