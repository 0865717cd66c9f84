use super::super::reason::{Area, Reason, Verdict};

/// A quote that was verified is by the attestation key, which lives in one TPM.
pub(super) fn has_signed() -> Reason {
    let text = "the quote is signed by the attestation key of this TPM";
    Reason::new("hardware.attestation-key", Area::Hardware, Verdict::Affirming, text)
}
