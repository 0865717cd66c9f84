use std::sync::Arc;

use p256::ecdsa::VerifyingKey;
use pawl_proto::codec::Version;
use pawl_proto::message::{ActionOffer, ActionState, RefusalCode, ShortText, Statement};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, PairingId, SessionId};
use pawl_verifier::Refusal;
use pawl_verifier::record::Fact;
use pawl_verifier::session::{Opening, Purpose, SessionState};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{approved_message, describe_device};
use crate::config::ActionConfig;
use crate::control_plane::ControlPlane;
use crate::entitlement::{Entitled, EntitlementError, entitled};
use crate::refusal::RequestError;
use crate::session;
use crate::store::Tx;
use crate::token::device_key;
use crate::token::jws::{Malformed, verify};
use crate::token::proof::{Assertion, claimed_device};

/// Opens the approval session of an action. `request` is a compact JWS by the device key.
///
/// # Errors
/// [`RequestError::Refused`] with a message for the technician.
pub async fn ask(plane: &Arc<ControlPlane>, request: String) -> Result<ActionOffer, RequestError> {
    let device = requesting_device(&request)?;
    let plane_in_tx = Arc::clone(plane);
    let offer = plane
        .store
        .transaction(move |tx| {
            let secret = Zeroizing::new(plane_in_tx.random.bytes::<32>());
            match open(&plane_in_tx, tx, device, &request, &secret) {
                // A refusal to an authenticated device is recorded in its chain.
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
    tracing::info!(%device, session = %offer.session, "action requested");
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
        return Err(Refusal::new(RefusalCode::Stale, "this request repeats an earlier one").into());
    }
    if (asked.pairing, asked.epoch) != (pairing.id, pairing.epoch) {
        return Err(Refusal::new(RefusalCode::Stale, "the request is for another pairing").into());
    }
    let action = asked.action.as_str().to_owned();
    let recorded = |refusal| Refused::Recorded(refusal, action.clone());
    if pairing.action_key.is_none() {
        let message = "this pairing has no action key, as an earlier version made it; pair the device again";
        return Err(recorded(Refusal::new(RefusalCode::Stale, message)));
    }
    let policy = policy(&plane.config.actions, &asked).map_err(recorded)?;
    if policy.approvals > 0 {
        session::load_signers(plane).map_err(recorded)?;
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
        _ => ActionState::Waiting(session::waiting_message(
            plane,
            tx,
            &session,
            secret,
            describe_device(&device),
        )?),
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

/// Why no approval session is opened.
enum Refused {
    /// The device is authenticated but may not have this action, which is recorded.
    Recorded(Refusal, String),
    /// Anything else.
    Request(RequestError),
}

impl<E: Into<RequestError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Request(error.into())
    }
}

/// The type of a request, so that no other JWT by the device key is accepted as one.
const TYPE: &str = "pawl-action+jwt";

/// A request for an action, signed by the device key, which works only under a lease.
pub(super) struct ActionRequest {
    pub(super) assertion: Assertion,
    pub(super) pairing: PairingId,
    pub(super) epoch: Epoch,
    pub(super) action: ShortText,
    pub(super) resource: ShortText,
    /// SHA-256 of the action's data.
    pub(super) subject: Digest,
    /// The workload's session.
    pub(super) context: ShortText,
    pub(super) origin: ShortText,
    pub(super) reason: ShortText,
    pub(super) nonce: Nonce,
}

#[derive(Deserialize)]
struct RequestClaims {
    #[serde(flatten)]
    assertion: Assertion,
    pairing: PairingId,
    epoch: u64,
    action: ShortText,
    resource: ShortText,
    digest: String,
    session: ShortText,
    origin: ShortText,
    #[serde(default)]
    reason: ShortText,
    nonce: String,
}

/// Returns the device that a request names, unverified.
pub(super) fn requesting_device(text: &str) -> Result<DeviceId, Refusal> {
    claimed_device(text).map_err(refuse)
}

impl ActionRequest {
    /// Verifies that this key of this device signed the request for this endpoint at this time.
    pub(super) fn verify(
        text: &str,
        device: DeviceId,
        key: &VerifyingKey,
        endpoint: &str,
        now: u64,
    ) -> Result<Self, Refusal> {
        let verified = verify::<RequestClaims>(text, key).map_err(refuse)?;
        if verified.header.typ.as_deref() != Some(TYPE) {
            return Err(refuse(Malformed("typ: it must be pawl-action+jwt")));
        }
        let claims = verified.claims;
        claims.assertion.check(device, endpoint, now).map_err(refuse)?;
        Ok(Self {
            pairing: claims.pairing,
            epoch: Epoch(claims.epoch),
            action: claims.action,
            resource: claims.resource,
            subject: Digest(bytes(&claims.digest, "digest: it must be 64 hexadecimal digits")?),
            context: claims.session,
            origin: claims.origin,
            reason: claims.reason,
            nonce: Nonce(bytes(&claims.nonce, "nonce: it must be 64 hexadecimal digits")?),
            assertion: claims.assertion,
        })
    }
}

fn bytes(text: &str, problem: &'static str) -> Result<[u8; 32], Refusal> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| refuse(Malformed(problem)))
}

fn refuse(error: Malformed) -> Refusal {
    Refusal::new(RefusalCode::Malformed, format_args!("the request for an action: {error}"))
}
