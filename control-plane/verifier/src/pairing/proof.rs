//! Checks the two proofs of a device: first, that the attestation key and the epoch counter are in the claimed TPM; then, that
//! the four keys of the approved pairing are in the same TPM.

use p256::ecdsa::VerifyingKey;
use pawl_evidence::assurance::action_policy;
use pawl_evidence::attest::{AttestationKey, KeyRole, VerifiedQuote, check_device_bound};
use pawl_evidence::lease::{key_policy, link_policy};
use pawl_evidence::tpm::{Name, Public, PublicKey};
use pawl_proto::message::{
    CertifiedKey, Evidence, PairingApproved, PairingProof, RefusalCode, Report, SessionProof, TpmStructure,
};
use pawl_proto::{Digest, Epoch, Nonce, PairingId, SessionId};
use subtle::ConstantTimeEq as _;

use super::claim::Claim;
use super::offer::OpenedOffer;
use crate::refusal::Refusal;
use crate::report::QuotedEvidence;

/// Checks the counter and the report in the proof that opens a session. The attestation key must have signed both. Returns the
/// evidence, and the quote over its PCR values.
///
/// # Errors
/// [`Refusal`]
pub fn check_session(
    offered: &OpenedOffer,
    proof: &SessionProof,
) -> Result<(QuotedEvidence, VerifiedQuote), Refusal> {
    let OpenedOffer { claim, nonce, .. } = offered;
    let value = counter(claim, &proof.counter_attest, &proof.counter_signature, *nonce)?;
    if value != claim.epoch {
        return Err(refuse(format_args!("the epoch counter is {value}, not {}", claim.epoch)));
    }
    report(claim, &proof.report, *nonce, PairingId::from(offered.id), value)
}

/// A verified proof of a pairing. Only [`check_pairing`] creates it, after every check.
pub struct ProvenPairing {
    /// The counter's value.
    pub epoch: Epoch,
    /// The device key.
    pub device_key: Public,
    /// The link key.
    pub link_key: VerifyingKey,
    /// The action key.
    pub action_key: Public,
    /// The evidence of the first report.
    pub quoted: QuotedEvidence,
    /// The quote over its PCR values.
    pub quote: VerifiedQuote,
}

impl ProvenPairing {
    /// Returns the evidence of the first report.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.quoted.evidence
    }
}

/// The names of the control plane's keys that the policies of a device's keys contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyKeys {
    /// The lease key.
    pub lease: Name,
    /// The authorization key, which authorizes actions.
    pub authorization: Name,
}

/// Checks that the device has opened the grant of an approved session. `digest` is SHA-256 of the grant's secret.
///
/// # Errors
/// [`Refusal`]
pub fn check_grant_secret(digest: Digest, proof: &PairingProof) -> Result<(), Refusal> {
    check_secret(Digest::of(proof.secret.as_bytes()).as_bytes().ct_eq(digest.as_bytes()).into())
}

/// Checks the proof of a pairing against its approved session. Call [`check_grant_secret`] first.
///
/// # Errors
/// [`Refusal`]
pub fn check_pairing(
    session: SessionId,
    claim: &Claim,
    answer: &PairingApproved,
    keys: &PolicyKeys,
    proof: &PairingProof,
) -> Result<ProvenPairing, Refusal> {
    let epoch = counter(claim, &proof.counter_attest, &proof.counter_signature, answer.nonce)?;
    let (counter, policy_ref) = (claim.counter.name(), answer.policy_ref.as_bytes());
    let lease_policy = key_policy(&keys.lease, policy_ref);
    let link_policy = link_policy(&counter, epoch.0);
    let action_policy = action_policy(&counter, epoch.0, &keys.authorization, policy_ref);
    let key = |key, role, policy: &[u8; 32]| check_key(&claim.attestation_key, answer, key, role, policy);
    let link = key(&proof.link_key, KeyRole::Link, &link_policy)?;
    let device_key = key(&proof.device_key, KeyRole::Device, &lease_policy)?;
    key(&proof.vault_key, KeyRole::Vault, &lease_policy)?;
    let action_key = key(&proof.action_key, KeyRole::Action, &action_policy)?;
    let link_key = verifying_key(&link).ok_or_else(|| refuse("the link key is not a point of P-256"))?;
    let (quoted, quote) = report(claim, &proof.report, answer.nonce, PairingId::from(session), epoch)?;
    Ok(ProvenPairing { epoch, device_key, link_key, action_key, quoted, quote })
}

pub(crate) fn check_secret(shown: bool) -> Result<(), Refusal> {
    if shown {
        return Ok(());
    }
    Err(refuse("the credential was not opened: this attestation key is not in that TPM"))
}

/// Returns the counter's value, which the TPM must have certified with this nonce.
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

/// Checks a whole report with this nonce, and returns its evidence with the quote over its PCR values.
fn report(
    claim: &Claim,
    report: &Report,
    nonce: Nonce,
    pairing: PairingId,
    epoch: Epoch,
) -> Result<(QuotedEvidence, VerifiedQuote), Refusal> {
    let quoted = QuotedEvidence::verify(&claim.attestation_key, report).map_err(refuse)?;
    let evidence = &quoted.evidence;
    if evidence.nonce != nonce {
        return Err(refuse("the report has another nonce: it is stale"));
    }
    let named = (evidence.device, evidence.pairing, evidence.epoch);
    if named != (claim.device, pairing, epoch) || evidence.since.is_some() {
        return Err(refuse("the report is not a whole report for this device, pairing and epoch"));
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

fn refuse(message: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Proof, message)
}

/// Returns the key with this public area; `None` if it is not on P-256.
#[must_use]
pub fn verifying_key(public: &Public) -> Option<VerifyingKey> {
    let PublicKey::Ecc { x, y, .. } = public.key() else { return None };
    let (Ok(x), Ok(y)) = (<[u8; 32]>::try_from(x.as_slice()), <[u8; 32]>::try_from(y.as_slice())) else {
        return None;
    };
    let point = p256::EncodedPoint::from_affine_coordinates(&x.into(), &y.into(), false);
    VerifyingKey::from_encoded_point(&point).ok()
}
