//! Access tokens: OAuth 2.0 client credentials (RFC 6749, section 4.4).
//!
//! The device authenticates with a JWT that its device key signs (RFC 7523) and the token is bound
//! to the same key (DPoP, RFC 9449). That key works only under a lease, so who can ask has, at
//! that moment, an approved state and a current epoch, by the TPM's word.

pub(crate) mod assertion;
mod dpop;
mod error;
mod jwk;
pub(crate) mod jws;

use std::sync::Arc;

use p256::ecdsa::VerifyingKey;
use pawl_evidence::tpm::Public;
use pawl_proto::message::{Entitlement, Scope};
use serde::{Deserialize, Serialize};

pub(crate) use error::TokenErrorBody;
pub use error::{TokenError, TokenErrorCode};
pub use jwk::JwkSet;
pub(crate) use jwk::jwk;

use crate::control_plane::ControlPlane;
use crate::entitlement::{self, Entitled, entitled, parse};
use crate::store::Tx;
use dpop::Proof;
use pawl_verifier::pairing::Pairing;
use pawl_verifier::pairing::verifying_key;
use pawl_verifier::record::Fact;

/// Where tokens are asked for; part of what devices sign.
pub const PATH: &str = "/v1/token";

/// The form of the request. A parameter that comes twice is refused (RFC 6749, section 3.2).
#[derive(Deserialize)]
pub struct TokenRequest {
    grant_type: String,
    client_assertion_type: String,
    client_assertion: String,
    #[serde(default)]
    scope: Option<String>,
    /// RFC 8707: for whom the token is.
    #[serde(default)]
    resource: Option<String>,
}

/// The answer (RFC 6749, section 5.1).
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

/// The claims of an access token (RFC 9068).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    client_id: &'a str,
    aud: &'a str,
    scope: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    cnf: Confirmation,
    #[serde(rename = "pawl:epoch")]
    epoch: u64,
    #[serde(rename = "pawl:pairing")]
    pairing: String,
}

/// The key without which the token is worth nothing (RFC 9449, section 6.1).
#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

/// Issues a token.
///
/// # Errors
/// [`TokenError`] in the words of RFC 6749, section 5.2, and of RFC 9449.
pub async fn issue(
    plane: &Arc<ControlPlane>,
    request: TokenRequest,
    proof: String,
) -> Result<TokenResponse, TokenError> {
    if request.grant_type != "client_credentials" {
        return Err(TokenErrorCode::UnsupportedGrantType.with("grant_type must be client_credentials"));
    }
    if request.client_assertion_type != assertion::TYPE {
        return Err(
            TokenErrorCode::InvalidClient.with(format!("client_assertion_type must be {}", assertion::TYPE))
        );
    }
    let plane_in_tx = Arc::clone(plane);
    plane.store.transaction(move |tx| issue_in(&plane_in_tx, tx, &request, &proof)).await
}

fn issue_in(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    request: &TokenRequest,
    proof: &str,
) -> Result<TokenResponse, TokenError> {
    let now = plane.clock.now();
    let endpoint = plane.config.url.join(PATH);

    let device = assertion::claimed_device(&request.client_assertion)
        .map_err(|error| TokenErrorCode::InvalidClient.with(format!("client_assertion: {error}")))?;
    let Entitled { device: enrolled, pairing, lease_until, .. } = entitled(tx, device, now)?;
    let key = device_key(&pairing)
        .ok_or_else(|| TokenErrorCode::ServerError.with("the pairing's device key cannot be read"))?;
    let assertion = assertion::verify(&request.client_assertion, device, &key, &endpoint, now)?;
    let proof = Proof::verify(proof, &key, "POST", &endpoint, now)?;
    for (id, expires) in [assertion.single_use(), proof.single_use()] {
        if !tx.use_once(&id, expires, now)? {
            return Err(TokenErrorCode::InvalidClient.with("an assertion or proof was used twice"));
        }
    }

    // As the operator grants it at this moment, whatever the device was told last.
    let granted = entitlement::entitlement(plane, tx, &pairing, enrolled.standing)?;
    let scope = granted_scope(&granted, request.scope.as_deref())?;
    let audience = granted_audience(&granted, request.resource.as_deref(), plane.config.url.as_str())?;
    let expires = (now + u64::from(plane.config.token.seconds)).min(lease_until);
    let jti = hex::encode(plane.random.bytes::<16>());
    let claims = Claims {
        iss: plane.config.url.as_str(),
        sub: device.as_str(),
        client_id: device.as_str(),
        aud: audience,
        scope: &scope,
        iat: now,
        exp: expires,
        jti: &jti,
        cnf: Confirmation { jkt: jwk(&key).thumbprint() },
        epoch: pairing.epoch.0,
        pairing: pairing.id.to_string(),
    };
    let signer = &plane.keys.signing.token;
    let kid = jwk(signer.verifying_key()).thumbprint();
    let access_token = jws::sign(&jws::Header::access_token(kid), &claims, signer)?;
    let fact = Fact::Token { jti: jti.clone(), audience: audience.to_owned(), scope: scope.clone(), expires };
    tx.record(device, now, fact)?;
    Ok(TokenResponse { access_token, token_type: "DPoP", expires_in: expires.saturating_sub(now), scope })
}

/// The device key of a pairing.
pub(crate) fn device_key(pairing: &Pairing) -> Option<VerifyingKey> {
    verifying_key(&Public::unmarshal(&pairing.device_key).ok()?)
}

/// Returns for whom the token is, if that is granted: the resource that is named (RFC 8707), or the control
/// plane itself.
fn granted_audience<'a>(
    granted: &Entitlement,
    resource: Option<&'a str>,
    own: &'a str,
) -> Result<&'a str, TokenError> {
    let audience = resource.unwrap_or(own);
    if granted.lacking([], audience).is_none() {
        return Ok(audience);
    }
    // What is shown in a message of ours is one of those that an operator could grant.
    if parse(&[], &[audience.to_owned()]).is_err() {
        return Err(TokenErrorCode::InvalidTarget.with("resource must be a URI without a fragment"));
    }
    Err(TokenErrorCode::InvalidTarget.with(format!(
        "the operator has not granted this device the audience {audience}; see entitle --audience"
    )))
}

/// Returns the scopes that are wanted, if they are granted; all that are granted where none is named.
fn granted_scope(granted: &Entitlement, wanted: Option<&str>) -> Result<String, TokenError> {
    let held: Vec<&str> = granted.scopes.iter().map(Scope::as_str).collect();
    let wanted: Vec<&str> = match wanted {
        Some(scope) => scope.split(' ').filter(|name| !name.is_empty()).collect(),
        None => held.clone(),
    };
    if wanted.is_empty() {
        return Err(TokenErrorCode::InvalidScope.with("no scope is named, and the operator grants none"));
    }
    match wanted.iter().find(|name| !held.contains(name)) {
        Some(name) => Err(TokenErrorCode::InvalidScope.with(format!(
            "the operator has not granted this device the scope {name:?}; see entitle --scope"
        ))),
        None => Ok(wanted.join(" ")),
    }
}

#[cfg(test)]
mod tests;
