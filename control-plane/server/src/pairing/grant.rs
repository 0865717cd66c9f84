//! The grant: one transaction that spends the session and makes the pairing.

use std::sync::Arc;

use pawl_proto::message::{PairingGrant, PairingProof, RefusalCode};
use pawl_proto::{Digest, SessionId};
use subtle::ConstantTimeEq as _;

use super::case::{Approved, Case, Granted};
use super::claim::Claim;
use super::{answer, entry, proof};
use crate::control_plane::ControlPlane;
use crate::record::Fact;
use crate::refusal::{Refusal, RequestError};
use crate::session::{self, boot_digest};
use crate::store::{PairingState, Purpose, Session, SessionState, StoreError, Tx};

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
    let shown = Digest::of(proof.secret.as_bytes()).as_bytes().ct_eq(open.approved.secret.as_bytes());
    proof::check_secret(shown.into())?;
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
    pub(super) session: Session,
    pub(super) case: Case,
    pub(super) approved: Approved,
    pub(super) claim: Claim,
}

fn find(tx: &Tx<'_>, id: SessionId, proof: Digest, now: u64) -> Result<Found, RequestError> {
    session::sweep(tx, now)?;
    let session = tx.session(id)?.filter(|session| session.purpose == Purpose::Pairing);
    let session = session.ok_or_else(session::stale)?;
    let case = Case::of(&session)?;
    let over = || RequestError::from(session::over(&session));
    match session.state {
        SessionState::Approved => {}
        SessionState::Spent => {
            let granted = case.granted.filter(|granted| granted.proof == proof).ok_or_else(over)?;
            let live = tx.pairing(granted.answer.pairing)?;
            live.filter(|pairing| pairing.state == PairingState::Live).ok_or_else(over)?;
            return Ok(Found::Granted(Box::new(granted.answer)));
        }
        _ => return Err(over()),
    }
    let approved = case.approved.clone().ok_or(StoreError::Malformed("session"))?;
    let claim = case.claim()?;
    Ok(Found::Open(Box::new(Open { session, case, approved, claim })))
}

/// Counts and records a proof that does not hold.
fn refuse(tx: &Tx<'_>, session: Session, refusal: &Refusal, now: u64) -> Result<(), StoreError> {
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
    let proven = proof::check(&open.session, &open.claim, &open.approved, &plane.keys.signing, &proof)?;
    let chain = answer::link_chain(plane, &open.claim, &proven, proof.link_request.as_bytes())?;
    let (lease_pcrs, boot) =
        proof::remember_boot(plane, open.claim.device, proven.evidence(), &proven.quote).await?;
    let (_, statement) = open.session.asked()?;
    if boot_digest(&boot) != statement.boot {
        let message = "the device does not run what was approved: it was rebooted or changed since; ask anew";
        return Err(Refusal::new(RefusalCode::PostureChanged, message).into());
    }
    let plane_in_tx = Arc::clone(plane);
    let report_length = proof.report.evidence.as_bytes().len();
    let (grant, verdict) = plane
        .store
        .transaction(move |tx| {
            let plane = &plane_in_tx;
            let (verdict, message) =
                entry::enter(plane, tx, &open, &proven, (&lease_pcrs, boot), report_length)?;
            let grant = answer::grant(plane, &open, &proven, chain, (&verdict, message))?;
            spend(tx, &open, Granted { proof: digest, answer: grant.clone() })?;
            Ok::<_, RequestError>((grant, verdict))
        })
        .await?;
    tracing::info!(
        device = %grant.device, pairing = %grant.pairing, epoch = %grant.epoch, endorsement = %grant.endorsement,
        verdict = ?verdict.result, "paired"
    );
    Ok(grant)
}

/// Uses the session up, if nobody has since it was looked at.
fn spend(tx: &Tx<'_>, open: &Open, granted: Granted) -> Result<(), RequestError> {
    let session = tx.session(open.session.id)?.filter(|session| session.state == SessionState::Approved);
    let session = session.ok_or_else(session::stale)?;
    let body = Case { granted: Some(granted), ..open.case.clone() }.encode()?;
    Ok(session::spend(tx, &Session { body, ..session })?)
}
