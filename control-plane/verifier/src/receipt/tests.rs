use pawl_proto::message::{Cause, ShortText};
use pawl_proto::{Blob, DeviceId, Nonce, PairingId};

use super::*;
use crate::pairing::PairingState;
use crate::testing::SoftTpm;

/// A live pairing of this TPM.
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
    let moved = SignedReceipt { receipt: Blob::new(pawl_proto::encode(&other).unwrap()).unwrap(), ..good };
    assert!(matches!(verify_receipt(Some(&pairing), &other, &moved), Err(ReceiptError::Attest(_))));
    let by_another = signed(&mut SoftTpm::new(), &receipt);
    assert!(matches!(verify_receipt(Some(&pairing), &receipt, &by_another), Err(ReceiptError::Attest(_))));
}
