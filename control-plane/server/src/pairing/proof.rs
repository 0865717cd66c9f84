//! What a device proves: that session, attestation key and epoch counter are those of the claimed
//! TPM; and then, that the four keys of the approved pairing live in it.

use std::sync::Arc;

use p256::ecdsa::VerifyingKey;
use pawl_evidence::assurance::action_policy;
use pawl_evidence::attest::{AttestationKey, KeyRole, VerifiedQuote, check_device_bound};
use pawl_evidence::lease::{key_policy, link_policy};
use pawl_evidence::tpm::Public;
use pawl_proto::message::{
    CertifiedKey, Evidence, PairingApproved, PairingProof, RefusalCode, Report, SessionProof, TpmStructure,
};
use pawl_proto::{DeviceId, Epoch, Nonce, PairingId};

use super::case::Approved;
use super::claim::Claim;
use super::offer::Offered;
use crate::control_plane::ControlPlane;
use crate::keys::SigningKeys;
use crate::posture::{self, LeasePcrs, Quoted};
use crate::refusal::{Refusal, RequestError};
use crate::store::{BootState, Session};

/// Checks the rest of the proof that opens a session, which rests on the attestation key: the report, and the quote over its PCR values.
pub(super) fn check_session(
    offered: &Offered,
    proof: &SessionProof,
) -> Result<(Quoted, VerifiedQuote), Refusal> {
    let Offered { claim, nonce, .. } = offered;
    let value = counter(claim, &proof.counter_attest, &proof.counter_signature, *nonce)?;
    if value != claim.epoch {
        return Err(refuse(format_args!("the epoch counter stands at {value}, not at {}", claim.epoch)));
    }
    report(claim, &proof.report, *nonce, PairingId::from(offered.id), value)
}

/// What the proof of a pairing has shown. It exists only after every check.
pub(super) struct Proven {
    pub(super) epoch: Epoch,
    pub(super) device_key: Public,
    pub(super) link_key: VerifyingKey,
    pub(super) action_key: Public,
    pub(super) quoted: Quoted,
    pub(super) quote: VerifiedQuote,
}

impl Proven {
    pub(super) fn evidence(&self) -> &Evidence {
        &self.quoted.evidence
    }
}

/// Checks a proof against the approved session that it is for. `keys` are ours.
pub(super) fn check(
    session: &Session,
    claim: &Claim,
    approved: &Approved,
    keys: &SigningKeys,
    proof: &PairingProof,
) -> Result<Proven, Refusal> {
    let answer = &approved.answer;
    let epoch = counter(claim, &proof.counter_attest, &proof.counter_signature, answer.nonce)?;
    let (counter, policy_ref) = (claim.counter.name(), answer.policy_ref.as_bytes());
    let lease_policy = key_policy(&keys.lease.name(), policy_ref);
    let link_policy = link_policy(&counter, epoch.0);
    let action_policy = action_policy(&counter, epoch.0, &keys.authorization.name(), policy_ref);
    let key = |key, role, policy: &[u8; 32]| check_key(&claim.attestation_key, answer, key, role, policy);
    let link = key(&proof.link_key, KeyRole::Link, &link_policy)?;
    let device_key = key(&proof.device_key, KeyRole::Device, &lease_policy)?;
    key(&proof.vault_key, KeyRole::Vault, &lease_policy)?;
    let action_key = key(&proof.action_key, KeyRole::Action, &action_policy)?;
    let link_key =
        crate::token::verifying_key(&link).ok_or_else(|| refuse("the link key is not a point of P-256"))?;
    let (quoted, quote) = report(claim, &proof.report, answer.nonce, PairingId::from(session.id), epoch)?;
    Ok(Proven { epoch, device_key, link_key, action_key, quoted, quote })
}

pub(super) fn check_secret(shown: bool) -> Result<(), Refusal> {
    if shown {
        return Ok(());
    }
    Err(refuse("the credential was not opened: this attestation key is not in that TPM"))
}

/// Where the counter stands, as the TPM certifies on this nonce.
fn counter(
    claim: &Claim,
    attest: &TpmStructure,
    signature: &TpmStructure,
    nonce: Nonce,
) -> Result<Epoch, Refusal> {
    claim
        .attestation_key
        .verify(attest.as_bytes(), signature.as_bytes(), nonce.as_bytes())
        .and_then(|attest| attest.nv_counter(&claim.counter.name()))
        .map(Epoch)
        .map_err(|error| refuse(format_args!("epoch counter: {error}")))
}

/// A whole report on this nonce, and the quote over its PCR values.
fn report(
    claim: &Claim,
    report: &Report,
    nonce: Nonce,
    pairing: PairingId,
    epoch: Epoch,
) -> Result<(Quoted, VerifiedQuote), Refusal> {
    let quoted = Quoted::verify(&claim.attestation_key, report).map_err(refuse)?;
    let evidence = &quoted.evidence;
    if evidence.nonce != nonce {
        return Err(refuse("the report repeats another nonce: it is stale"));
    }
    let named = (evidence.device, evidence.pairing, evidence.epoch);
    if named != (claim.device, pairing, epoch) || evidence.since.is_some() {
        return Err(refuse("the report is not a whole one for this device, pairing and epoch"));
    }
    let quote = quoted.composite(&evidence.pcrs).map_err(refuse)?;
    Ok((quoted, quote))
}

fn check_key(
    attestation_key: &AttestationKey,
    approved: &PairingApproved,
    key: &CertifiedKey,
    role: KeyRole,
    auth_policy: &[u8; 32],
) -> Result<Public, Refusal> {
    let public =
        Public::unmarshal(key.public.as_bytes()).map_err(|error| refuse(format_args!("{role}: {error}")))?;
    check_device_bound(&public, role, auth_policy).map_err(refuse)?;
    attestation_key
        .verify(key.attest.as_bytes(), key.signature.as_bytes(), approved.nonce.as_bytes())
        .and_then(|attest| attest.certify(&public.name()))
        .map_err(|error| refuse(format_args!("{role}: {error}")))?;
    Ok(public)
}

/// Keeps what the device runs, also if it is refused for it: an operator may accept it. Returns the PCRs that its
/// leases name and their values.
pub(super) async fn remember_boot(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    evidence: &Evidence,
    quote: &VerifiedQuote,
) -> Result<(LeasePcrs, BootState), RequestError> {
    let log = evidence.boot_log.as_ref().and_then(|log| log.bytes.as_ref());
    let log = log.map(|bytes| bytes.as_bytes().to_vec());
    let measured = evidence.measure_log.as_ref().map(|log| log.bytes.as_bytes().to_vec());
    let (plane, quoted) = (Arc::clone(plane), quote.pcrs().clone());
    let store = plane.store.clone();
    store
        .transaction(move |tx| {
            // A policy says itself what has to be measured. Accepted states are compared in all that was leased.
            let former = match plane.policies.of(device) {
                Some(_) => None,
                None => tx.newest_pairing(device)?,
            };
            let lease_pcrs = LeasePcrs::of(
                &plane.config.lease,
                former.as_ref(),
                log.as_deref(),
                measured.as_deref(),
                &quoted,
            );
            let state = lease_pcrs
                .state(&posture::quoted_values(&quoted))
                .ok_or_else(|| Refusal::new(RefusalCode::Posture, "a PCR that leases name was not quoted"))?;
            tx.set_reported_state(device, &state)?;
            Ok((lease_pcrs, state))
        })
        .await
}

pub(super) fn went_backwards() -> Refusal {
    Refusal::new(
        RefusalCode::WentBackwards,
        "the TPM went back in time: an older state of it was restored, or it was cleared",
    )
}

fn refuse(message: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Proof, message)
}
