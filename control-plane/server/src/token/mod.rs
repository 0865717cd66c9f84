//! Access tokens: OAuth 2.0 client credentials (RFC 6749, section 4.4).
//!
//! The device authenticates with a JWT signed by its device key (RFC 7523), and the token is bound to the same key (DPoP,
//! RFC 9449). The TPM uses that key only under a lease: a device that can request a token is at that moment in a leased
//! boot state and in its pairing's epoch.

pub(crate) mod jws;
pub(crate) mod proof;

use std::sync::Arc;

use p256::ecdsa::VerifyingKey;
use pawl_evidence::tpm::Public;
use pawl_proto::message::{Entitlement, Scope};
use pawl_verifier::pairing::{Pairing, verifying_key};
use pawl_verifier::record::Fact;
use proof::{ASSERTION_TYPE, DpopProof, claimed_device, verify_assertion};
use serde::{Deserialize, Serialize};

use crate::control_plane::ControlPlane;
use crate::entitlement::{self, Entitled, EntitlementError, entitled, parse};
use crate::store::{StoreError, Tx};
use jws::{Header, sign};

pub use jws::JwkSet;
pub(crate) use jws::jwk;

/// Path of token requests; devices sign it.
pub const PATH: &str = "/v1/token";

/// The form of the request. A repeated parameter is refused (RFC 6749, section 3.2).
#[derive(Deserialize)]
pub struct TokenRequest {
    grant_type: String,
    client_assertion_type: String,
    client_assertion: String,
    #[serde(default)]
    scope: Option<String>,
    /// The audience (RFC 8707).
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

/// The key that the token is bound to (RFC 9449, section 6.1).
#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

/// Issues a token.
///
/// # Errors
/// [`TokenError`] with the codes of RFC 6749, section 5.2, and RFC 9449.
pub async fn issue(
    plane: &Arc<ControlPlane>,
    request: TokenRequest,
    proof: String,
) -> Result<TokenResponse, TokenError> {
    if request.grant_type != "client_credentials" {
        return Err(TokenErrorCode::UnsupportedGrantType.with("grant_type must be client_credentials"));
    }
    if request.client_assertion_type != ASSERTION_TYPE {
        return Err(
            TokenErrorCode::InvalidClient.with(format!("client_assertion_type must be {}", ASSERTION_TYPE))
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

    let device = claimed_device(&request.client_assertion)
        .map_err(|error| TokenErrorCode::InvalidClient.with(format!("client_assertion: {error}")))?;
    let Entitled { device: enrolled, pairing, lease_until, .. } = entitled(tx, device, now)?;
    let key = device_key(&pairing)
        .ok_or_else(|| TokenErrorCode::ServerError.with("the pairing's device key cannot be read"))?;
    let assertion = verify_assertion(&request.client_assertion, device, &key, &endpoint, now)?;
    let proof = DpopProof::verify(proof, &key, "POST", &endpoint, now)?;
    for (id, expires) in [assertion.single_use(), proof.single_use()] {
        if !tx.use_once(&id, expires, now)? {
            return Err(TokenErrorCode::InvalidClient.with("an assertion or proof was used twice"));
        }
    }

    // The present entitlement, which may be newer than the last verdict.
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
    let access_token = sign(&Header::access_token(kid), &claims, signer)?;
    let fact = Fact::Token { jti: jti.clone(), audience: audience.to_owned(), scope: scope.clone(), expires };
    tx.record(device, now, fact)?;
    Ok(TokenResponse { access_token, token_type: "DPoP", expires_in: expires.saturating_sub(now), scope })
}

/// Returns the device key of a pairing.
pub(crate) fn device_key(pairing: &Pairing) -> Option<VerifyingKey> {
    verifying_key(&Public::unmarshal(&pairing.device_key).ok()?)
}

/// Returns the requested audience if it is granted; by default the control plane itself.
fn granted_audience<'a>(
    granted: &Entitlement,
    resource: Option<&'a str>,
    own: &'a str,
) -> Result<&'a str, TokenError> {
    let audience = resource.unwrap_or(own);
    if granted.lacking([], audience).is_none() {
        return Ok(audience);
    }
    // The message repeats only audiences that an operator could grant.
    if parse(&[], &[audience.to_owned()]).is_err() {
        return Err(TokenErrorCode::InvalidTarget.with("resource must be a URI without a fragment"));
    }
    Err(TokenErrorCode::InvalidTarget.with(format!(
        "the operator has not granted this device the audience {audience}; see entitle --audience"
    )))
}

/// Returns the requested scopes if they are granted; by default all granted ones.
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

/// A refused token request (RFC 6749, section 5.2).
#[derive(Debug, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct TokenError {
    /// For programs.
    pub code: TokenErrorCode,
    /// For people; it contains no secret.
    pub description: String,
}

/// The `error` of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// The client is not authenticated or not entitled.
    InvalidClient,
    /// The grant type is not client credentials.
    UnsupportedGrantType,
    /// A scope is not granted.
    InvalidScope,
    /// The audience is not granted (RFC 8707).
    InvalidTarget,
    /// The DPoP proof is not valid (RFC 9449).
    InvalidDpopProof,
    /// The control plane failed.
    ServerError,
}

impl TokenErrorCode {
    /// Returns the code of RFC 6749, RFC 8707 or RFC 9449.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::ServerError => "server_error",
        }
    }

    fn with(self, description: impl Into<String>) -> TokenError {
        TokenError { code: self, description: description.into() }
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "token request failed");
        TokenErrorCode::ServerError.with("try again later")
    }
}

/// The JSON body of a refusal.
#[derive(Serialize)]
pub(crate) struct TokenErrorBody<'a> {
    error: &'static str,
    error_description: &'a str,
}

impl<'a> From<&'a TokenError> for TokenErrorBody<'a> {
    fn from(error: &'a TokenError) -> Self {
        Self { error: error.code.as_str(), error_description: &error.description }
    }
}

impl From<EntitlementError> for TokenError {
    fn from(error: EntitlementError) -> Self {
        match error {
            EntitlementError::Store(error) => error.into(),
            refused => TokenErrorCode::InvalidClient.with(refused.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
