//! Opens sessions for pairings, and takes their approvals.

use std::sync::Arc;

use pawl_proto::codec::Version;
use pawl_proto::message::{
    ApprovalStep, EventKind, PairingApproved, RefusalCode, SessionProof, StatementContext, Waiting,
};
use pawl_proto::{DeviceId, SessionId};
use pawl_verifier::Refusal;
use pawl_verifier::pairing::{
    AppraisedDevice, Enrolment, LastOrder, OpenedOffer, Pairing, PairingBasis, PairingSession,
    PairingStatement, PairingStep, Posture, RequiredApprovals, check_session,
};
use pawl_verifier::record::Fact;
use pawl_verifier::session::stale;

use super::offer::{check_device, check_place, warn_of_stale_lists};
use super::{PairingEvidence, appraise, keep_evidence, load_basis};
use super::{approval, consequences, pending, session_data};
use crate::control_plane::ControlPlane;
use crate::entitlement;
use crate::http::Network;
use crate::incident;
use crate::refusal::RequestError;
use crate::session::{self, Step};
use crate::store::{StoreError, Tx};
use pawl_verifier::session::Opening;
use pawl_verifier::session::{ApprovalSession, Purpose, SessionState};

/// State of a pairing's session.
#[derive(Debug)]
pub enum Progress {
    /// Approvals are missing.
    Waiting(Box<Waiting>),
    /// It is approved: the device can prove its new keys.
    Approved(Box<PairingApproved>),
}

/// Opens a session if the proof is valid. A repeated request reports the session. A proof that did not open the offer's
/// credential writes nothing. A refused proof by the device's own TPM is recorded, so it counts against the device's
/// limit.
///
/// # Errors
/// [`RequestError::Refused`] with a message for the technician.
pub async fn open(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    proof: SessionProof,
    from: Network,
) -> Result<Progress, RequestError> {
    let now = plane.clock.now();
    let found = plane
        .store
        .transaction(move |tx| {
            session::sweep(tx, now)?;
            tx.session(id)
        })
        .await?;
    if found.is_some() {
        let step =
            ApprovalStep { version: Version, secret: proof.secret, approval: None, confirmation: None };
        return self::step(plane, id, step).await;
    }
    let offered = plane.keys.offers.open(id, &proof, plane.vendors.current().as_deref(), now)?;
    let device = offered.claim.device;
    warn_of_stale_lists(device, &offered.vendor_check);
    if !plane.sessions.admit(device, plane.clock.monotonic_ms()) {
        tracing::debug!(%device, "too many pairing sessions");
        let message = "this device has opened too many sessions; try again in a minute";
        return Err(Refusal::new(RefusalCode::Busy, message).into());
    }
    let result = prove(plane, offered, &proof, from).await;
    if let Err(RequestError::Refused(refusal)) = &result {
        tracing::warn!(%device, code = %refusal.code, message = %refusal.message, "pairing refused");
        let refusal = refusal.clone();
        plane.store.transaction(move |tx| record_refusal(tx, id, device, refusal, now)).await?;
    }
    result
}

/// Takes an approval or a confirmation from the device, or reports the session.
///
/// # Errors
/// [`RequestError::Refused`] with a message for the technician.
pub async fn step(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    given: ApprovalStep,
) -> Result<Progress, RequestError> {
    let plane_in_tx = Arc::clone(plane);
    let progress = plane
        .store
        .transaction(move |tx| {
            let step = session::step(&plane_in_tx, tx, Purpose::Pairing, id, &given)?;
            progress(&plane_in_tx, tx, step, given.secret.as_bytes())
        })
        .await?;
    // An approval may have ordered the end of a pairing.
    plane.outbox.wake();
    Ok(progress?)
}

fn progress(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    step: Step,
    secret: &[u8],
) -> Result<Result<Progress, Refusal>, RequestError> {
    Ok(Ok(match step {
        Step::Waiting(session) => Progress::Waiting(Box::new(waiting(plane, tx, &session, secret)?)),
        Step::Approved { session, just_now: true } => {
            Progress::Approved(Box::new(approval::carry_out(plane, tx, session)?))
        }
        Step::Approved { session, just_now: false } => {
            let approved = session_data(&session)?.approved.ok_or(StoreError::Malformed("session"))?;
            Progress::Approved(Box::new(approved.answer))
        }
        Step::Refused(refusal) => return Ok(Err(refusal)),
    }))
}

fn waiting(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &ApprovalSession,
    secret: &[u8],
) -> Result<Waiting, RequestError> {
    let (_, statement) = session.asked()?;
    let known: StatementContext = consequences(tx, session.device, statement.replaces)?;
    session::waiting_message(plane, tx, session, secret, known)
}

async fn prove(
    plane: &Arc<ControlPlane>,
    offer: OpenedOffer,
    proof: &SessionProof,
    from: Network,
) -> Result<Progress, RequestError> {
    let (quoted, quote) = check_session(&offer, proof)?;
    let offer = Arc::new(offer);
    let (plane_in_tx, of_offer) = (Arc::clone(plane), Arc::clone(&offer));
    plane.store.transaction(move |tx| pending::check_enrolment(&plane_in_tx, tx, &of_offer, from)).await??;
    let (claim, epoch) = (offer.claim()?, offer.claim.epoch);
    let evidence = Arc::new(PairingEvidence { claim, epoch, quoted, quote });
    let secret = proof.secret.clone();
    let mut is_counted = false;
    loop {
        let (basis, appraised) = appraise(plane, &evidence, PairingStep::Opening).await?;
        let appraised = Arc::new(appraised);
        let (of_offer, of_appraised, now) = (Arc::clone(&offer), Arc::clone(&appraised), plane.clock.now());
        // A request counts only once as a sign of an incident, even if it is appraised again.
        let is_first = !std::mem::replace(&mut is_counted, true);
        let keep = move |tx: &Tx<'_>| {
            if is_first {
                incident::add_for_request(tx, &of_offer.request, now)?;
            }
            keep_evidence(tx, of_offer.request.device, &of_appraised)
        };
        plane.store.transaction(keep).await?;
        let (plane_in_tx, secret, of_evidence) = (Arc::clone(plane), secret.clone(), Arc::clone(&evidence));
        let of_offer = Arc::clone(&offer);
        let opened = plane
            .store
            .transaction(move |tx| {
                let opening = ProvenOpening {
                    offer: &of_offer,
                    evidence: &of_evidence,
                    appraised: &appraised,
                    secret: secret.as_bytes(),
                    from,
                };
                opening.commit(&plane_in_tx, tx, &basis)
            })
            .await?;
        if let Some(progress) = opened {
            plane.outbox.wake();
            return Ok(progress);
        }
    }
}

/// A valid and appraised proof that opens a session.
struct ProvenOpening<'a> {
    offer: &'a OpenedOffer,
    evidence: &'a PairingEvidence,
    appraised: &'a AppraisedDevice,
    secret: &'a [u8],
    from: Network,
}

impl ProvenOpening<'_> {
    /// Opens the session. Returns none when the basis of the appraisal has changed.
    fn commit(
        &self,
        plane: &ControlPlane,
        tx: &Tx<'_>,
        basis: &PairingBasis,
    ) -> Result<Option<Progress>, RequestError> {
        let OpenedOffer { id, request, claim, vendor_check, nonce } = self.offer;
        if tx.session(*id)?.is_some() {
            return Err(RequestError::from(stale()));
        }
        if load_basis(tx, claim.device)? != *basis {
            return Ok(None);
        }
        // Checked again: all of it may have changed after the offer was made.
        let enrolment = check_device(plane, tx, claim, vendor_check, request.replaces)?;
        check_place(tx, claim.device, request.replaces)?;
        self.appraised.check_time()?;
        self.appraised.check_result()?;
        let policy = plane.config.approvals.policy();
        let newest = basis.newest.as_ref();
        let order = newest.map(|pairing| last_order(tx, pairing)).transpose()?.flatten();
        let required = policy.required(newest.map(|pairing| (pairing, order)), request.replaces.is_some());
        check_approvers(plane, required, request.attended)?;

        let endorsement = vendor_check.describe(enrolment);
        let statement = PairingStatement {
            offer: self.offer,
            endorsement: &endorsement,
            required,
            policy,
            evidence: self.evidence.quoted.digest,
            boot: &self.appraised.boot,
            granted: entitlement::prospective(plane, tx, claim.device, request.replaces)?,
            now: plane.clock.now(),
        };
        let statement = statement.build();
        let judgement = &self.appraised.report.judgement;
        let posture = Posture {
            result: judgement.result,
            reasons: judgement.reasons.clone(),
            boot: self.appraised.boot.clone(),
        };
        let data = PairingSession::new(request.clone(), endorsement, vendor_check.anchor(), *nonce);
        let data = PairingSession { posture: Some(posture), ..data };
        let opening = Opening {
            purpose: Purpose::Pairing,
            stranger: (enrolment == Enrolment::ByApproval).then(|| self.from.to_string()),
            statement,
            needed: required.needed,
            secret: self.secret,
            body: data.encode()?,
        };
        let session = session::open(&plane.config.limits, tx, opening)?;
        let step = match session.state {
            SessionState::Approved => Step::Approved { session, just_now: true },
            _ => Step::Waiting(session),
        };
        Ok(Some(progress(plane, tx, step, self.secret)??))
    }
}

/// Returns the last event that ordered the end of a pairing.
fn last_order(tx: &Tx<'_>, pairing: &Pairing) -> Result<Option<LastOrder>, StoreError> {
    let events = tx.events(pairing.device)?;
    let last = events.iter().rfind(|event| event.epoch == pairing.epoch && event.kind != EventKind::Refresh);
    Ok(last.map(|event| LastOrder { kind: event.kind, by_operator: event.session.is_none() }))
}

/// Checks, where persons must approve, that the device is attended and that there are approvers.
fn check_approvers(plane: &ControlPlane, required: RequiredApprovals, attended: bool) -> Result<(), Refusal> {
    required.check_attended(attended)?;
    if required.needed == 0 {
        return Ok(());
    }
    session::load_signers(plane).map(drop)
}

/// Records why an authenticated device was refused a session.
fn record_refusal(
    tx: &Tx<'_>,
    session: SessionId,
    device: DeviceId,
    refusal: Refusal,
    now: u64,
) -> Result<(), StoreError> {
    let Some(device) = tx.device(device)? else { return Ok(()) };
    incident::add_for_refusal(tx, device.id, &refusal, now)?;
    let fact = Fact::Refused {
        code: refusal.code.to_string(),
        message: refusal.message,
        session: Some(session.to_string()),
        action: None,
    };
    tx.record(device.id, now, fact)
}
