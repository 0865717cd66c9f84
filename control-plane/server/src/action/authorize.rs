use std::sync::Arc;

use pawl_evidence::assurance::{ActionClaims, Approved, Approver, Claims, SigningInput, cp_hash_of_sign};
use pawl_evidence::tpm::Public;
use pawl_proto::bounded::SignatureBytes;
use pawl_proto::codec::Version;
use pawl_proto::message::{Authorization, AuthorizationRequest, RefusalCode, ShortText, Statement};
use pawl_proto::{Digest, SessionId, Text};

use super::{AUTHORIZATION, LEEWAY};
use crate::control_plane::ControlPlane;
use crate::entitlement::{Entitled, EntitlementError, entitled};
use crate::refusal::RequestError;
use crate::session;
use crate::store::Tx;
use pawl_verifier::Refusal;
use pawl_verifier::pairing::Pairing;
use pawl_verifier::pairing::verifying_key;
use pawl_verifier::record::Fact;
use pawl_verifier::session::{ApprovalSession, Purpose};

/// Authorizes the one signature of an approved action, in the TPM policy session of this nonce. This spends the
/// approval session, even if the device does not sign.
///
/// # Errors
/// [`RequestError::Refused`] when the session is not approved, or the device is no longer entitled.
pub async fn authorize(
    plane: &Arc<ControlPlane>,
    id: SessionId,
    request: AuthorizationRequest,
) -> Result<Authorization, RequestError> {
    let nonce_tpm: [u8; 32] = request
        .nonce_tpm
        .as_bytes()
        .try_into()
        .map_err(|_| Refusal::new(RefusalCode::Malformed, "nonce_tpm: it must have 32 bytes"))?;
    let plane_in_tx = Arc::clone(plane);
    let authorization = plane
        .store
        .transaction(move |tx| authorize_in(&plane_in_tx, tx, id, request.secret.as_bytes(), &nonce_tpm))
        .await?;
    tracing::info!(session = %id, "action authorized");
    Ok(authorization)
}

fn authorize_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    id: SessionId,
    secret: &[u8],
    nonce_tpm: &[u8; 32],
) -> Result<Authorization, RequestError> {
    let now = plane.clock.now();
    let session = session::approved_session(tx, Purpose::Action, id, secret, now)?;
    let (bytes, statement) = session.asked()?;
    let pairing = still_entitled(tx, &session, &statement, now)?;
    let key = action_key(&pairing)?;
    let seconds = validity_seconds(plane, &statement)?;

    let claims = claims(plane, tx, &session, &statement, bytes.digest(), &pairing, now + seconds)?;
    let input = signing_input(plane, &key, claims)?;
    let digest = input.digest();
    let cp_hash = cp_hash_of_sign(&key.name(), &digest);
    let signature = plane
        .keys
        .signing
        .authorization
        .authorize(nonce_tpm, AUTHORIZATION, &cp_hash, pairing.policy_ref.as_bytes())
        .map_err(|_| refuse("it cannot be signed"))?;

    session::spend(tx, &session)?;
    tx.record(session.device, now, assurance_fact(input.claims(), Digest(digest)))?;
    Ok(Authorization {
        version: Version,
        signing_input: Text::new(input.as_str()).map_err(refuse)?,
        expiration: i32::from(AUTHORIZATION.get()),
        signature: SignatureBytes(signature),
    })
}

/// Returns the pairing in which the action was approved, if the device is still entitled and in the approved boot state.
fn still_entitled(
    tx: &Tx<'_>,
    session: &ApprovalSession,
    statement: &Statement,
    now: u64,
) -> Result<Pairing, RequestError> {
    let Entitled { pairing, .. } = entitled(tx, session.device, now).map_err(|error| match error {
        EntitlementError::Store(error) => RequestError::from(error),
        EntitlementError::Suspended => Refusal::new(RefusalCode::Suspended, error).into(),
        EntitlementError::NoLease => Refusal::new(RefusalCode::Posture, error).into(),
        other => Refusal::new(RefusalCode::Stale, other).into(),
    })?;
    if pairing.id.to_string().as_bytes() != session.body {
        return Err(
            Refusal::new(RefusalCode::Stale, "the pairing in which this was approved has ended").into()
        );
    }
    let state = tx.reported_state(session.device)?;
    if state.as_ref().map(pawl_verifier::boot_digest) != Some(statement.boot) {
        let message = "the device's boot state has changed since this was approved; request the action again";
        return Err(Refusal::new(RefusalCode::PostureChanged, message).into());
    }
    Ok(pairing)
}

fn action_key(pairing: &Pairing) -> Result<Public, Refusal> {
    let public = pairing.action_key.as_deref().and_then(|key| Public::unmarshal(key).ok());
    public.ok_or_else(|| refuse("the pairing's action key cannot be read"))
}

/// Returns how many seconds the assurance is valid, if a policy still allows the action.
fn validity_seconds(plane: &ControlPlane, statement: &Statement) -> Result<u64, Refusal> {
    let policy = plane.config.actions.iter().find(|action| action.name == statement.action);
    policy.map(|policy| u64::from(policy.seconds)).ok_or_else(|| {
        Refusal::new(RefusalCode::ActionUnknown, "no policy of the control plane names this action any more")
    })
}

fn claims(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    session: &ApprovalSession,
    statement: &Statement,
    digest: Digest,
    pairing: &Pairing,
    exp: u64,
) -> Result<Claims, RequestError> {
    let text =
        |text: &Option<ShortText>| text.as_ref().map_or_else(String::new, |text| text.as_str().to_owned());
    let granted = tx.approvals(session.id)?;
    let persons: Vec<Approver> = granted
        .iter()
        .filter_map(|approval| approval.granted())
        .map(|granted| Approver {
            by: granted.principal.as_str().to_owned(),
            key: granted.key.as_str().to_owned(),
            time: granted.time,
        })
        .collect();
    Ok(Claims {
        iss: plane.config.url.to_string(),
        sub: session.device.to_string(),
        jti: session.id.to_string(),
        iat: plane.clock.now(),
        exp,
        pawl: ActionClaims {
            pairing: pairing.id.to_string(),
            epoch: pairing.epoch.0,
            action: statement.action.as_str().to_owned(),
            resource: text(&statement.resource),
            digest: statement.subject.ok_or_else(|| refuse("the session names no digest"))?.0,
            session: text(&statement.context),
            origin: statement.origin.as_str().to_owned(),
            boot: statement.boot.0,
            evidence: statement.evidence.0,
            statement: digest.0,
            approved: if persons.is_empty() { Approved::Policy } else { Approved::Persons(persons) },
        },
    })
}

fn assurance_fact(claims: &Claims, signed: Digest) -> Fact {
    let Claims { jti, exp, pawl, .. } = claims.clone();
    Fact::Assurance {
        session: jti,
        pairing: pawl.pairing,
        epoch: pawl.epoch,
        action: pawl.action,
        resource: pawl.resource,
        subject: Digest(pawl.digest).to_string(),
        context: pawl.session,
        origin: pawl.origin,
        statement: Digest(pawl.statement).to_string(),
        digest: signed.to_string(),
        expires: exp,
    }
}

/// Returns the header and claims for the TPM to sign, with a certificate for this one assurance.
fn signing_input(plane: &ControlPlane, key: &Public, claims: Claims) -> Result<SigningInput, Refusal> {
    let verifying = verifying_key(key).ok_or_else(|| refuse("the action key is not on the curve P-256"))?;
    let authority = &plane.keys.authority;
    let valid = claims.iat.saturating_sub(LEEWAY)..claims.exp.saturating_add(LEEWAY);
    let certificate = authority.action_certificate(&claims.sub, &verifying, valid).map_err(refuse)?;
    SigningInput::new(&claims, &[&certificate, authority.certificate()]).map_err(refuse)
}

fn refuse(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Proof, format_args!("the action cannot be authorized: {why}"))
}
