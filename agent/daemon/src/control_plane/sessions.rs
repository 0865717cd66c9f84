//! The calls of approval sessions: pairings and protected actions.

use std::time::Duration;

use pawl_proto::message::{
    ActionApproved, ActionOffer, ActionState, ApprovalStep, Authorization, AuthorizationRequest,
    PairingGrant, PairingOffer, PairingProof, PairingRequest, SessionProof, Waiting,
};
use pawl_proto::{SessionId, codec};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CBOR, CallError, ControlPlane, read, refusal};
use crate::core::SessionAnswer;

const ACTIONS: &str = "/v1/actions";
const JOSE: &str = "application/jose";
/// Limit of the authorization call. A TPM policy session stays open meanwhile, and a TPM has few of them.
const AUTHORIZATION_TIMEOUT: Duration = Duration::from_secs(10);

impl ControlPlane {
    /// `POST /v1/pairings`.
    pub(crate) async fn request_pairing(&self, request: &PairingRequest) -> Result<PairingOffer, CallError> {
        let response = self.post("/v1/pairings", codec::encode(request)?).await?;
        granted(response, &[StatusCode::OK]).await
    }

    /// `POST /v1/pairings/{id}/session`. The same call again queries the session.
    pub(crate) async fn open_session(
        &self,
        id: SessionId,
        proof: &SessionProof,
    ) -> Result<SessionAnswer, CallError> {
        answer(self.post(&format!("/v1/pairings/{id}/session"), codec::encode(proof)?).await?).await
    }

    /// `POST /v1/pairings/{id}/approval`.
    pub(crate) async fn step(&self, id: SessionId, step: &ApprovalStep) -> Result<SessionAnswer, CallError> {
        answer(self.post(&format!("/v1/pairings/{id}/approval"), codec::encode(step)?).await?).await
    }

    /// `POST /v1/pairings/{id}/proof`. The same proof again returns the same grant.
    pub(crate) async fn prove(&self, id: SessionId, proof: &PairingProof) -> Result<PairingGrant, CallError> {
        let response = self.post(&format!("/v1/pairings/{id}/proof"), codec::encode(proof)?).await?;
        granted(response, &[StatusCode::OK, StatusCode::CREATED]).await
    }

    /// Returns the URL for actions, which is the audience of the request.
    pub(crate) fn actions_url(&self) -> String {
        self.url.join(ACTIONS)
    }

    /// `POST /v1/actions` with a JWS by the device key.
    pub(crate) async fn request_action(&self, jws: String) -> Result<ActionOffer, CallError> {
        let request = self.client.post(self.actions_url()).header("content-type", JOSE).body(jws);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        granted(response, &[StatusCode::OK]).await
    }

    /// `POST /v1/actions/{id}/approval`.
    pub(crate) async fn step_action(
        &self,
        id: SessionId,
        step: &ApprovalStep,
    ) -> Result<ActionState, CallError> {
        let response = self.post(&format!("{ACTIONS}/{id}/approval"), codec::encode(step)?).await?;
        match response.status() {
            StatusCode::OK => Ok(ActionState::Approved(read::<ActionApproved>(response).await?)),
            StatusCode::ACCEPTED => Ok(ActionState::Waiting(read::<Waiting>(response).await?)),
            _ => Err(refusal(response).await),
        }
    }

    /// `POST /v1/actions/{id}/authorization`, once per session.
    pub(crate) async fn authorize_action(
        &self,
        id: SessionId,
        request: &AuthorizationRequest,
    ) -> Result<Authorization, CallError> {
        let url = self.url.join(&format!("{ACTIONS}/{id}/authorization"));
        let request = self.client.post(url).header("content-type", CBOR).body(codec::encode(request)?);
        let response = request.timeout(AUTHORIZATION_TIMEOUT).send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        granted(response, &[StatusCode::OK]).await
    }
}

/// Reads the answer if it has one of these HTTP statuses. Every other answer is a refusal.
async fn granted<T: Serialize + DeserializeOwned>(
    response: Response,
    statuses: &[StatusCode],
) -> Result<T, CallError> {
    if statuses.contains(&response.status()) { read(response).await } else { Err(refusal(response).await) }
}

async fn answer(response: Response) -> Result<SessionAnswer, CallError> {
    match response.status() {
        StatusCode::OK => Ok(SessionAnswer::Approved(Box::new(read(response).await?))),
        StatusCode::ACCEPTED => Ok(SessionAnswer::Waiting(Box::new(read(response).await?))),
        _ => Err(refusal(response).await),
    }
}
