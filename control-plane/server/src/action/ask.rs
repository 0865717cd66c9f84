use std::sync::Arc;

use pawl_proto::SessionId;
use pawl_proto::codec::Version;
use pawl_proto::message::{ActionOffer, ActionState, RefusalCode, Statement};
use pawl_proto::{Blob, DeviceId};
use zeroize::Zeroizing;

use super::request::{self, ActionRequest};
use super::step::{approved_message, known};
use crate::config::ActionConfig;
use crate::control_plane::ControlPlane;
use crate::entitlement::{Entitled, EntitlementError, entitled};
use crate::refusal::RequestError;
use crate::session;
use crate::store::Tx;
use crate::token::device_key;
use pawl_verifier::Refusal;
use pawl_verifier::record::Fact;
use pawl_verifier::session::Opening;
use pawl_verifier::session::{Purpose, SessionState};

/// Opens the session in which an action may be let. `request` is a compact JWS by the device key.
///
/// # Errors
/// [`RequestError::Refused`] in words that a technician understands.
pub async fn ask(plane: &Arc<ControlPlane>, request: String) -> Result<ActionOffer, RequestError> {
    let device = request::device(&request)?;
    let plane_in_tx = Arc::clone(plane);
    let offer = plane
        .store
        .transaction(move |tx| {
            let secret = Zeroizing::new(plane_in_tx.random.bytes::<32>());
            match open(&plane_in_tx, tx, device, &request, &secret) {
                // What was refused to an authentic device is recorded with it.
                Err(Refused::Recorded(refusal, action)) => {
                    let fact = Fact::Refused {
                        code: refusal.code.to_string(),
                        message: refusal.message.clone(),
                        session: None,
                        action: Some(action),
                    };
                    tx.record(device, plane_in_tx.clock.now(), fact)?;
                    Ok(Err(refusal))
                }
                Err(Refused::Request(error)) => Err(error),
                Ok(offer) => Ok(Ok(offer)),
            }
        })
        .await??;
    tracing::info!(%device, session = %offer.session, "an action is asked for");
    Ok(offer)
}

fn open(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: DeviceId,
    request: &str,
    secret: &[u8; 32],
) -> Result<ActionOffer, Refused> {
    let now = plane.clock.now();
    let Entitled { device, pairing, verdict, .. } = entitled(tx, id, now).map_err(not_entitled)?;
    let key = device_key(&pairing)
        .ok_or_else(|| Refusal::new(RefusalCode::Proof, "the pairing's device key cannot be read"))?;
    let asked = ActionRequest::verify(request, id, &key, &plane.config.url.join(super::PATH), now)?;
    if !plane.actions.admit(id, plane.clock.monotonic_ms()) {
        return Err(Refusal::new(RefusalCode::Busy, "too many actions at once; try again later").into());
    }
    let (used, until) = asked.assertion.single_use();
    if !tx.use_once(&used, until, now)? {
        return Err(Refusal::new(RefusalCode::Stale, "this request was made before").into());
    }
    if (asked.pairing, asked.epoch) != (pairing.id, pairing.epoch) {
        return Err(Refusal::new(RefusalCode::Stale, "the request is for another pairing").into());
    }
    let action = asked.action.as_str().to_owned();
    let recorded = |refusal| Refused::Recorded(refusal, action.clone());
    if pairing.action_key.is_none() {
        let message = "this pairing was made before there were action keys; pair the device again";
        return Err(recorded(Refusal::new(RefusalCode::Stale, message)));
    }
    let policy = policy(&plane.config.actions, &asked).map_err(recorded)?;
    if policy.approvals > 0 {
        session::signers(plane).map_err(recorded)?;
    }
    let state = tx.reported_state(id)?;
    let (Some(evidence), Some(state)) = (verdict.verdict.answers, state) else {
        return Err(not_entitled(EntitlementError::NoLease));
    };
    let statement = Statement {
        version: Version,
        session: SessionId::from_random(plane.random.bytes()),
        device: id,
        nonce: asked.nonce,
        origin: asked.origin,
        action: asked.action,
        resource: Some(asked.resource),
        subject: Some(asked.subject),
        context: Some(asked.context),
        reason: asked.reason,
        scopes: Vec::new(),
        audiences: Vec::new(),
        granted: None,
        replaces: None,
        endorsement: None,
        epoch: pairing.epoch,
        evidence,
        boot: pawl_verifier::boot_digest(&state),
        time: now,
        expires: now + u64::from(plane.config.approvals.seconds),
    };
    let body = pairing.id.to_string().into_bytes();
    let (purpose, needed) = (Purpose::Action, policy.approvals);
    let session = session::open(
        &plane.config.limits,
        tx,
        Opening { purpose, statement, needed, secret, stranger: None, body },
    )?;
    let state = match session.state {
        SessionState::Approved => ActionState::Approved(approved_message(tx, &session)?),
        _ => ActionState::Waiting(session::waiting(plane, tx, &session, secret, known(&device))?),
    };
    let secret = Blob::new(secret.to_vec()).map_err(pawl_proto::codec::EncodeError::from)?;
    Ok(ActionOffer { version: Version, session: session.id, secret, state })
}

fn policy<'a>(actions: &'a [ActionConfig], asked: &ActionRequest) -> Result<&'a ActionConfig, Refusal> {
    actions.iter().find(|action| action.name == asked.action).ok_or_else(|| {
        let message = format!("no policy of the control plane names the action {:?}", asked.action.as_str());
        Refusal::new(RefusalCode::ActionUnknown, message)
    })
}

fn not_entitled(error: EntitlementError) -> Refused {
    let code = match error {
        EntitlementError::UnknownDevice => RefusalCode::NotEnrolled,
        EntitlementError::NotPaired | EntitlementError::Revoked => RefusalCode::Stale,
        EntitlementError::Suspended => RefusalCode::Suspended,
        EntitlementError::NoLease => RefusalCode::Posture,
        EntitlementError::Store(error) => return RequestError::from(error).into(),
    };
    Refusal::new(code, error).into()
}

/// Why no session is opened.
enum Refused {
    /// The device is authentic and asks for what it may not have: this is recorded.
    Recorded(Refusal, String),
    /// Anything else.
    Request(RequestError),
}

impl<E: Into<RequestError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Request(error.into())
    }
}
