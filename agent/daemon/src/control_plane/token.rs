//! Access tokens: client credentials (RFC 6749) with a client assertion (RFC 7523) and a DPoP
//! proof (RFC 9449), both signed by the device key in the TPM.

use std::time::Duration;

use pawl_config::TokenConfig;
use pawl_local_api::Token;
use pawl_proto::DeviceId;
use pawl_tpm::Tpm;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{CallError, ControlPlane, body};
use crate::jws::Signer;
use crate::{jws, random};

const PATH: &str = "/v1/token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);
const ANSWER: usize = 16 * 1024;

impl ControlPlane {
    /// Requests an access token. `now` is Unix time in seconds.
    ///
    /// # Errors
    /// [`TokenError`], from the TPM, the network or the control plane.
    pub(crate) async fn token(
        &self,
        tpm: &Tpm,
        signer: &Signer,
        device: DeviceId,
        wanted: &TokenConfig,
        now: u64,
    ) -> Result<Token, TokenError> {
        let endpoint = self.url.join(PATH);
        let assertion = jws::sign(
            tpm,
            signer,
            &json!({"alg": "ES256", "typ": "JWT"}),
            &json!({
                "iss": device, "sub": device, "aud": endpoint, "jti": random::id(),
                "iat": now, "exp": now + ASSERTION_LIFETIME.as_secs(),
            }),
        )
        .await?;
        let proof = proof(tpm, signer, "POST", &endpoint, None, now).await?;
        let scope = wanted.scopes.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" ");
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", &assertion),
            ("scope", &scope),
        ];
        if let Some(audience) = &wanted.audience {
            form.push(("resource", audience.as_str()));
        }
        let request = self.client.post(&endpoint).header("DPoP", proof).form(&form);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = Zeroizing::new(body(response, ANSWER).await?);
        if status != StatusCode::OK {
            return Err(TokenError::refused(status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| TokenError::Malformed)?;
        if !answer.token_type.eq_ignore_ascii_case("DPoP") {
            return Err(TokenError::Malformed);
        }
        Ok(Token {
            access_token: answer.access_token,
            token_type: "DPoP".to_owned(),
            expires_at: now.saturating_add(answer.expires_in),
            scope: answer.scope.unwrap_or(scope),
            dpop: None,
        })
    }
}

/// Returns a DPoP proof for one request. With `access_token` the proof is bound to that token.
pub(crate) async fn proof(
    tpm: &Tpm,
    signer: &Signer,
    method: &str,
    url: &str,
    access_token: Option<&str>,
    now: u64,
) -> Result<String, pawl_tpm::Error> {
    let header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": jws::jwk(&signer.key.public)});
    let mut claims = json!({"htm": method, "htu": url, "jti": random::id(), "iat": now});
    if let (Some(token), Some(claims)) = (access_token, claims.as_object_mut()) {
        claims.insert("ath".to_owned(), jws::hash(token).into());
    }
    jws::sign(tpm, signer, &header, &claims).await
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: u64,
    scope: Option<String>,
}

/// The error answer of RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Why a request for a token failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Tpm(#[from] pawl_tpm::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the control plane refused: {error} {description}")]
    Refused { error: String, description: String },
    #[error("the control plane's token answer is malformed")]
    Malformed,
}

impl TokenError {
    fn refused(status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => Self::Refused { error: refusal.error, description: refusal.error_description },
            Err(_) => CallError::Status(status.as_u16()).into(),
        }
    }
}
