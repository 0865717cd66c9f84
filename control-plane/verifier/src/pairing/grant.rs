use pawl_evidence::appraise::HighWater;
use pawl_evidence::endorsement::EkTemplate;
use pawl_evidence::rand_core::CryptoRngCore;
use pawl_evidence::tpm::Public;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    Entitlement, GrantedApproval, PairingApproved, RefusalCode, StatementBytes, TpmStructure,
};
use pawl_proto::{Digest, Epoch, Nonce, PairingId, SessionId};
use zeroize::Zeroizing;

use super::claim::Claim;
use super::offer::credential;
use super::proof::{PolicyKeys, ProvenPairing};
use super::session_data::{ApprovedPairing, PairingSession};
use super::{Pairing, PairingState};
use crate::boot_state::{BootState, boot_digest};
use crate::record::Fact;
use crate::refusal::Refusal;

/// The random values of a grant.
pub struct GrantSecrets {
    /// The secret in the credential.
    pub secret: Zeroizing<[u8; 32]>,
    /// The nonce of the proof.
    pub nonce: Nonce,
    /// The policyRef of the pairing.
    pub policy_ref: Digest,
}

/// Creates the grant of an approved session: a credential that only the claimed TPM can open, and the terms of the proof.
///
/// # Errors
/// [`Refusal`]
pub fn approve_pairing(
    claim: &Claim,
    statement: StatementBytes,
    approvals: Vec<GrantedApproval>,
    (lease_key, authorization_key): (&Public, &Public),
    above: Epoch,
    secrets: &GrantSecrets,
    random: &mut impl CryptoRngCore,
) -> Result<ApprovedPairing, Refusal> {
    let answer = PairingApproved {
        version: Version,
        statement,
        approvals,
        credential: credential(claim, secrets.secret.as_slice(), random)?,
        nonce: secrets.nonce,
        lease_key: structure(lease_key)?,
        authorization_key: structure(authorization_key)?,
        policy_ref: secrets.policy_ref,
        above,
    };
    Ok(ApprovedPairing { secret: Digest::of(secrets.secret.as_slice()), answer })
}

/// Returns the epoch above which the new pairing's epoch must be. The claimed epoch itself is acceptable if no pairing ever had
/// it and no attestation of the TPM has a later one. `newest` is the epoch of the device's newest pairing.
#[must_use]
pub fn epoch_above(claimed: Epoch, newest: Option<Epoch>, highest: Option<HighWater>) -> Epoch {
    let seen = highest.map(|highest| Epoch(highest.epoch));
    if newest < Some(claimed) && seen <= Some(claimed) {
        return Epoch(claimed.0.saturating_sub(1));
    }
    claimed.max(newest.unwrap_or(claimed)).max(seen.unwrap_or(claimed))
}

/// Checks that the counter is above the epochs of all earlier pairings, and above the epoch that the approval ended.
///
/// # Errors
/// [`Refusal`]
pub fn check_epoch(proven: Epoch, newest: Option<Epoch>, above: Epoch) -> Result<(), Refusal> {
    if Some(proven) <= newest.max(Some(above)) {
        let message = format_args!("epoch {proven} was already used; the device must increment its counter");
        return Err(Refusal::new(RefusalCode::EpochSpent, message));
    }
    Ok(())
}

/// Checks that the device's boot state is the approved one.
///
/// # Errors
/// [`Refusal`]
pub fn check_unchanged(boot: &BootState, approved: Digest) -> Result<(), Refusal> {
    if boot_digest(boot) != approved {
        let message =
            "the device's boot state is not the approved one: it was rebooted or changed since; start again";
        return Err(Refusal::new(RefusalCode::PostureChanged, message));
    }
    Ok(())
}

/// Returns the pairing that a proof creates. `nonce` is the nonce of the next report until the first verdict sets another.
#[must_use]
pub fn new_pairing(
    session: SessionId,
    data: &PairingSession,
    claim: &Claim,
    proven: &ProvenPairing,
    policy_ref: Digest,
    nonce: Nonce,
    now: u64,
) -> Pairing {
    Pairing {
        id: PairingId::from(session),
        device: claim.device,
        epoch: proven.epoch,
        state: PairingState::Live,
        paired_at: now,
        ended_at: None,
        scopes: data.request.scopes.clone(),
        audiences: data.request.audiences.clone(),
        attestation_key: claim.attestation_key.public().as_bytes().to_vec(),
        counter: claim.counter.as_bytes().to_vec(),
        device_key: proven.device_key.as_bytes().to_vec(),
        action_key: Some(proven.action_key.as_bytes().to_vec()),
        policy_ref,
        nonce,
        base: None,
    }
}

/// Returns the record of a new pairing with this entitlement.
#[must_use]
pub fn paired_fact(
    pairing: &Pairing,
    data: &PairingSession,
    claim: &Claim,
    keys: &PolicyKeys,
    entitlement: &Entitlement,
) -> Fact {
    Fact::Paired {
        pairing: pairing.id.to_string(),
        epoch: pairing.epoch.0,
        endorsement: data.endorsement.clone(),
        scopes: entitlement.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        audiences: Some(entitlement.audiences.iter().map(|audience| audience.as_str().to_owned()).collect()),
        attestation_key: claim.attestation_key.name().to_string(),
        reason: data.request.reason.as_str().to_owned(),
        counter: Some(claim.counter.name().to_string()),
        policy_ref: Some(pairing.policy_ref.to_string()),
        lease_key: Some(keys.lease.to_string()),
    }
}

/// Returns the name of an endorsement key's template. The device uses the same names.
#[must_use]
pub fn ek_kind(template: EkTemplate) -> &'static str {
    match template {
        EkTemplate::Rsa2048 => "rsa-2048",
        EkTemplate::EccP256 => "ecc-p256",
        EkTemplate::EccP384 => "ecc-p384",
    }
}

fn structure(public: &Public) -> Result<TpmStructure, Refusal> {
    let too_long = |error| Refusal::new(RefusalCode::Malformed, error);
    TpmStructure::new(public.as_bytes().to_vec()).map_err(too_long)
}
