//! The grant: one transaction that spends the session and makes the pairing.

use std::sync::Arc;

use pawl_proto::message::{PairingGrant, PairingProof};
use pawl_proto::{Digest, SessionId};
use pawl_verifier::Refusal;
use pawl_verifier::pairing::{
    ApprovedPairing, Claim, GrantedPairing, PairingSession, PairingState, PairingStep, check_grant_secret,
    check_pairing, check_unchanged,
};
use pawl_verifier::record::Fact;
use pawl_verifier::session::{over, stale};

use super::appraisal::{PairingEvidence, appraise, load_basis};
use super::{answer, entry, session_data};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;
use crate::session;
use crate::store::{StoreError, Tx};
use pawl_verifier::session::{ApprovalSession, Purpose, SessionState};

/// Grants the pairing of an approved session if the proof holds. It is granted once; the very same
/// proof is given the same grant again while the pairing lives.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn prove(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    proof: PairingProof,
) -> Result<PairingGrant, RequestError> {
    let now = plane.clock.now();
    let digest = Digest::of(&pawl_proto::encode(&proof)?);
    let found = plane.store.transaction(move |tx| find(tx, id, digest, now)).await?;
    let open = match found {
        Found::Granted(grant) => return Ok(*grant),
        Found::Open(open) => open,
    };
    check_grant_secret(open.approved.secret, &proof)?;
    let session = open.session.clone();
    let result = grant(plane, *open, proof, digest).await;
    if let Err(RequestError::Refused(refusal)) = &result {
        let refusal = refusal.clone();
        plane.store.transaction(move |tx| refuse(tx, session, &refusal, now)).await?;
    }
    result
}

enum Found {
    Open(Box<Open>),
    Granted(Box<PairingGrant>),
}

/// An approved session and what is known of it.
pub(super) struct Open {
    pub(super) session: ApprovalSession,
    pub(super) data: PairingSession,
    pub(super) approved: ApprovedPairing,
    pub(super) claim: Claim,
}

fn find(tx: &Tx<'_>, id: SessionId, proof: Digest, now: u64) -> Result<Found, RequestError> {
    session::sweep(tx, now)?;
    let session = tx.session(id)?.filter(|session| session.purpose == Purpose::Pairing);
    let session = session.ok_or_else(stale)?;
    let data = session_data(&session)?;
    let over = || RequestError::from(over(&session));
    match session.state {
        SessionState::Approved => {}
        SessionState::Spent => {
            let granted = data.granted.filter(|granted| granted.proof == proof).ok_or_else(over)?;
            let live = tx.pairing(granted.answer.pairing)?;
            live.filter(|pairing| pairing.state == PairingState::Live).ok_or_else(over)?;
            return Ok(Found::Granted(Box::new(granted.answer)));
        }
        _ => return Err(over()),
    }
    let approved = data.approved.clone().ok_or(StoreError::Malformed("session"))?;
    let claim = data.claim()?;
    Ok(Found::Open(Box::new(Open { session, data, approved, claim })))
}

/// Counts and records a proof that does not hold.
fn refuse(tx: &Tx<'_>, session: ApprovalSession, refusal: &Refusal, now: u64) -> Result<(), StoreError> {
    let device = session.device;
    tracing::warn!(%device, code = %refusal.code, message = %refusal.message, "pairing refused");
    let fact = Fact::Refused {
        code: refusal.code.to_string(),
        message: refusal.message.clone(),
        session: Some(session.id.to_string()),
        action: None,
    };
    tx.record(device, now, fact)?;
    session::refuse_proof(tx, session.id, now)
}

async fn grant(
    plane: &Arc<ControlPlane>,
    open: Open,
    proof: PairingProof,
    digest: Digest,
) -> Result<PairingGrant, RequestError> {
    let keys = plane.keys.signing.policy_keys();
    let proven = check_pairing(open.session.id, &open.claim, &open.approved.answer, &keys, &proof)?;
    let chain = answer::link_chain(plane, &open.claim, &proven, proof.link_request.as_bytes())?;
    let (claim, epoch) = (open.data.claim()?, proven.epoch);
    let (quoted, quote) = (proven.quoted.clone(), proven.quote.clone());
    let evidence = Arc::new(PairingEvidence { claim, epoch, quoted, quote });
    let report_length = proof.report.evidence.as_bytes().len();
    let (_, statement) = open.session.asked()?;
    let of_proof = Arc::new((open, proven, chain));
    loop {
        let (basis, appraised) = appraise(plane, &evidence, PairingStep::Proof).await?;
        check_unchanged(&appraised.boot, statement.boot)?;
        let (plane_in_tx, of_proof) = (Arc::clone(plane), Arc::clone(&of_proof));
        let granted = plane
            .store
            .transaction(move |tx| {
                let (plane, (open, proven, chain)) = (&plane_in_tx, &*of_proof);
                if load_basis(tx, open.claim.device)? != basis {
                    return Ok(None);
                }
                let (verdict, message) = entry::enter(plane, tx, open, proven, &appraised, report_length)?;
                let certificates = chain.certificates.clone();
                let grant = answer::grant(plane, open, proven, certificates, (&verdict, message))?;
                tx.set_link_serial(grant.pairing, &chain.serial)?;
                spend(tx, open, GrantedPairing { proof: digest, answer: grant.clone() })?;
                Ok::<_, RequestError>(Some((grant, verdict)))
            })
            .await?;
        if let Some((grant, verdict)) = granted {
            tracing::info!(
                device = %grant.device, pairing = %grant.pairing, epoch = %grant.epoch,
                endorsement = %grant.endorsement, verdict = ?verdict.result, "paired"
            );
            return Ok(grant);
        }
    }
}

/// Uses the session up, if no other proof has done so.
fn spend(tx: &Tx<'_>, open: &Open, granted: GrantedPairing) -> Result<(), RequestError> {
    let session = tx.session(open.session.id)?.filter(|session| session.state == SessionState::Approved);
    let session = session.ok_or_else(stale)?;
    let body = PairingSession { granted: Some(granted), ..open.data.clone() }.encode()?;
    Ok(session::spend(tx, &ApprovalSession { body, ..session })?)
}
