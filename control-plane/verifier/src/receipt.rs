//! Receipts: a TPM's proof that an epoch ended.

use pawl_evidence::attest::{AkError, AttestError, AttestationKey};
use pawl_evidence::tpm::{ClockInfo, NvPublic, ParseError, Public};
use pawl_proto::message::{Receipt, SignedReceipt};
use pawl_proto::{Digest, Epoch};

use crate::pairing::Pairing;
use crate::record::{Attested, Fact};

/// A receipt that proves its epoch's end.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedReceipt {
    /// The TPM's clock when it certified.
    pub clock: ClockInfo,
    /// The record.
    pub fact: Fact,
}

/// Verifies that the TPM of a pairing certifies that the pairing's epoch is over. `pairing` is the one that the receipt
/// names, if there is one. The sender does not matter: the attestation key's signature is the authentication.
///
/// # Errors
/// [`ReceiptError`]
pub fn verify_receipt(
    pairing: Option<&Pairing>,
    receipt: &Receipt,
    signed: &SignedReceipt,
) -> Result<VerifiedReceipt, ReceiptError> {
    let pairing = pairing
        .filter(|pairing| pairing.id == receipt.pairing && pairing.device == receipt.device)
        .ok_or(ReceiptError::UnknownPairing)?;
    let key = AttestationKey::from_public(Public::unmarshal(&pairing.attestation_key)?)?;
    let clock = verify(&key, pairing, receipt, signed)?;
    Ok(VerifiedReceipt { clock, fact: fact(receipt, signed, clock) })
}

/// Checks that the TPM of that pairing certifies that its epoch is over, and returns the TPM's clock.
fn verify(
    key: &AttestationKey,
    pairing: &Pairing,
    receipt: &Receipt,
    signed: &SignedReceipt,
) -> Result<ClockInfo, ReceiptError> {
    let counter = NvPublic::unmarshal(&pairing.counter)?;
    let covered = Digest::of(signed.receipt.as_bytes());
    let attest = key.verify(signed.attest.as_bytes(), signed.signature.as_bytes(), covered.as_bytes())?;
    let value = Epoch(attest.nv_counter(&counter.name())?);
    if value != receipt.epoch || receipt.ended != pairing.epoch || receipt.ended >= value {
        return Err(ReceiptError::Epoch { certified: value });
    }
    Ok(attest.clock())
}

fn fact(receipt: &Receipt, signed: &SignedReceipt, clock: ClockInfo) -> Fact {
    Fact::Receipt {
        ended: receipt.ended.0,
        epoch: receipt.epoch.0,
        event: receipt.event.map(|id| id.to_string()),
        cause: receipt.cause.to_string(),
        reason: receipt.reason.as_str().to_owned(),
        receipt: Digest::of(signed.receipt.as_bytes()).to_string(),
        attested: Some(Attested {
            covers: hex::encode(signed.receipt.as_bytes()),
            attest: hex::encode(signed.attest.as_bytes()),
            signature: hex::encode(signed.signature.as_bytes()),
        }),
        at: Some(clock.into()),
    }
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// There is no such pairing of that device.
    #[error("the receipt is about a pairing that this control plane never granted")]
    UnknownPairing,
    /// The attestation does not hold.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The epochs in it are not those that the TPM certifies.
    #[error(
        "the receipt does not say what the TPM certifies, a counter of {certified} above the pairing's epoch"
    )]
    Epoch {
        /// The counter's value.
        certified: Epoch,
    },
    /// The stored attestation key or counter is damaged.
    #[error("the stored pairing cannot be read: {0}")]
    Parse(#[from] ParseError),
    /// The stored attestation key is none.
    #[error("the stored pairing cannot be read: {0}")]
    Key(#[from] AkError),
}

#[cfg(test)]
pub(crate) mod tests;
