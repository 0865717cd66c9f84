//! The proof that attestation key, epoch counter and the three keys live in the one TPM of the
//! endorsement key.

use p256::ecdsa::VerifyingKey;
use pawl_evidence::attest::{KeyRole, VerifiedQuote, check_device_bound};
use pawl_evidence::lease::{key_policy, link_policy};
use pawl_evidence::tpm::{Name, Public};
use pawl_proto::message::{CertifiedKey, Evidence, PairingProof, RefusalCode};
use subtle::ConstantTimeEq as _;

use super::Refusal;
use super::offers::Offer;
use crate::posture::Quoted;

/// What a proof has shown. It exists only after every check.
pub(super) struct Proven {
    pub(super) device_key: Public,
    pub(super) link_key: VerifyingKey,
    pub(super) evidence: Evidence,
    pub(super) quoted: Quoted,
    pub(super) quote: VerifiedQuote,
}

/// Checks a proof against the offer that it answers. `lease_key` is the name of ours.
pub(super) fn check(offer: &Offer, lease_key: &Name, proof: &PairingProof) -> Result<Proven, Refusal> {
    // The secret stands first: it shows that endorsement key and attestation key share a TPM, and
    // all that follows rests on the attestation key.
    if !bool::from(proof.secret.as_bytes().ct_eq(offer.secret.as_slice())) {
        return Err(refuse("the credential was not opened: this attestation key is not in that TPM"));
    }
    let claim = &offer.claim;
    check_counter(offer, proof)?;

    let lease_policy = key_policy(lease_key, offer.policy_ref.as_bytes());
    let link_policy = link_policy(&claim.counter.name(), claim.epoch.0);
    let link = check_key(offer, &proof.link_key, KeyRole::Link, &link_policy)?;
    let device_key = check_key(offer, &proof.device_key, KeyRole::Device, &lease_policy)?;
    check_key(offer, &proof.vault_key, KeyRole::Vault, &lease_policy)?;
    let link_key =
        crate::token::verifying_key(&link).ok_or_else(|| refuse("the link key is not a point of P-256"))?;

    let quoted = Quoted::verify(&claim.attestation_key, &proof.report).map_err(refuse)?;
    let evidence = quoted.evidence.clone();
    if evidence.nonce != offer.nonce {
        return Err(refuse("the report repeats another nonce: it is stale"));
    }
    let named = (evidence.device, evidence.pairing, evidence.epoch);
    if named != (claim.device, offer.id, claim.epoch) || evidence.since.is_some() {
        return Err(refuse("the report is not a whole one for this device, pairing and epoch"));
    }
    let quote = quoted.composite(&evidence.pcrs).map_err(refuse)?;
    Ok(Proven { device_key, link_key, evidence, quoted, quote })
}

fn check_counter(offer: &Offer, proof: &PairingProof) -> Result<(), Refusal> {
    let claim = &offer.claim;
    let value = claim
        .attestation_key
        .verify(proof.counter_attest.as_bytes(), proof.counter_signature.as_bytes(), offer.nonce.as_bytes())
        .and_then(|attest| attest.nv_counter(&claim.counter.name()))
        .map_err(|error| refuse(format_args!("epoch counter: {error}")))?;
    if value != claim.epoch.0 {
        return Err(refuse(format_args!("the epoch counter stands at {value}, not at {}", claim.epoch)));
    }
    Ok(())
}

fn check_key(
    offer: &Offer,
    key: &CertifiedKey,
    role: KeyRole,
    auth_policy: &[u8; 32],
) -> Result<Public, Refusal> {
    let public =
        Public::unmarshal(key.public.as_bytes()).map_err(|error| refuse(format_args!("{role}: {error}")))?;
    check_device_bound(&public, role, auth_policy).map_err(refuse)?;
    offer
        .claim
        .attestation_key
        .verify(key.attest.as_bytes(), key.signature.as_bytes(), offer.nonce.as_bytes())
        .and_then(|attest| attest.certify(&public.name()))
        .map_err(|error| refuse(format_args!("{role}: {error}")))?;
    Ok(public)
}

fn refuse(message: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Proof, message)
}
