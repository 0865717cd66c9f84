use crate::appraise::{Area, Reason, TrustTier};

/// Affirms the hardware: the attestation key signed the verified quote, and that key exists in one TPM only.
pub(super) fn has_signed() -> Reason {
    let text = "the quote is signed by the attestation key of this TPM";
    Reason::new("hardware.attestation-key", Area::Hardware, TrustTier::Affirming, text)
}
