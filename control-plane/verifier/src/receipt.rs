//! Verifies receipts: a TPM's proof that an epoch ended.

use pawl_evidence::attest::{AkError, AttestError, AttestationKey};
use pawl_evidence::tpm::{ClockInfo, NvPublic, ParseError, Public};
use pawl_proto::message::{Receipt, SignedReceipt};
use pawl_proto::{Digest, Epoch};

use crate::pairing::Pairing;
use crate::record::{Attested, Fact};

/// A verified receipt: it proves the end of its epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedReceipt {
    /// The TPM's clock when it certified the counter.
    pub clock: ClockInfo,
    /// The audit record.
    pub fact: Fact,
}

/// Verifies that the TPM of a pairing certifies the end of the pairing's epoch. `pairing` is the pairing that the receipt names,
/// if it exists. The attestation key's signature authenticates the receipt, so anybody may send it.
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

/// Checks the attestation and the epochs, and returns the TPM's clock.
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

/// Why a receipt is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The device has no such pairing.
    #[error("the receipt is about a pairing that this control plane never granted")]
    UnknownPairing,
    /// The attestation is not valid.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// Its epochs do not match the certified counter and the pairing.
    #[error("the receipt's epochs do not match the certified counter ({certified}) and the pairing")]
    Epoch {
        /// The certified value of the counter.
        certified: Epoch,
    },
    /// The stored attestation key or counter is damaged.
    #[error("the stored pairing cannot be read: {0}")]
    Parse(#[from] ParseError),
    /// The stored attestation key is not an attestation key.
    #[error("the stored pairing cannot be read: {0}")]
    Key(#[from] AkError),
}

#[cfg(test)]
pub(crate) mod tests {
    use pawl_proto::message::{Cause, ShortText};
    use pawl_proto::{Blob, DeviceId, Nonce, PairingId};

    use super::*;
    use crate::pairing::PairingState;
    use crate::testing::SoftTpm;

    /// Returns a live pairing of this TPM.
    pub(crate) fn pairing(tpm: &SoftTpm) -> Pairing {
        Pairing {
            id: PairingId::from_random([3; 16]),
            device: DeviceId::from_digest(tpm.ek_sha256().0),
            epoch: Epoch(tpm.epoch),
            state: PairingState::Live,
            paired_at: 900,
            ended_at: None,
            scopes: Vec::new(),
            audiences: Vec::new(),
            attestation_key: tpm.ak_public(),
            counter: tpm.counter.as_bytes().to_vec(),
            device_key: Vec::new(),
            action_key: None,
            policy_ref: Digest([9; 32]),
            nonce: Nonce([1; 32]),
            base: None,
        }
    }

    fn signed(tpm: &mut SoftTpm, receipt: &Receipt) -> SignedReceipt {
        let bytes = pawl_proto::encode(receipt).unwrap();
        let (attest, signature) = tpm.certify_counter(Digest::of(&bytes).as_bytes());
        SignedReceipt { version: Default::default(), receipt: Blob::new(bytes).unwrap(), attest, signature }
    }

    #[test]
    fn a_receipt_counts_once_the_tpm_certifies_a_later_epoch() {
        let mut tpm = SoftTpm::new();
        let pairing = pairing(&tpm);
        let receipt = Receipt {
            version: Default::default(),
            device: pairing.device,
            pairing: pairing.id,
            ended: pairing.epoch,
            epoch: Epoch(pairing.epoch.0 + 1),
            event: None,
            cause: Cause::Wipe,
            reason: ShortText::lossy("sold"),
            time: 0,
        };
        let early = signed(&mut tpm, &receipt);
        let refused = verify_receipt(Some(&pairing), &receipt, &early);
        assert!(matches!(refused, Err(ReceiptError::Epoch { certified }) if certified == pairing.epoch));

        tpm.epoch += 1;
        let good = signed(&mut tpm, &receipt);
        let verified = verify_receipt(Some(&pairing), &receipt, &good).unwrap();
        assert!(matches!(verified.fact, Fact::Receipt { ref cause, .. } if cause == "wipe"));
        assert!(matches!(verify_receipt(None, &receipt, &good), Err(ReceiptError::UnknownPairing)));

        let other = Receipt { reason: ShortText::lossy("lost"), ..receipt.clone() };
        let moved =
            SignedReceipt { receipt: Blob::new(pawl_proto::encode(&other).unwrap()).unwrap(), ..good };
        assert!(matches!(verify_receipt(Some(&pairing), &other, &moved), Err(ReceiptError::Attest(_))));
        let by_another = signed(&mut SoftTpm::new(), &receipt);
        assert!(matches!(
            verify_receipt(Some(&pairing), &receipt, &by_another),
            Err(ReceiptError::Attest(_))
        ));
    }
}
