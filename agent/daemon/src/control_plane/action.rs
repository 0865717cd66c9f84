//! The three calls of a protected action.

use std::time::Duration;

use pawl_proto::message::{
    ActionApproved, ActionOffer, ActionState, ApprovalStep, Authorization, AuthorizationRequest, Waiting,
};
use pawl_proto::{SessionId, codec};
use reqwest::StatusCode;

use super::{CBOR, CallError, ControlPlane, read, refusal};

const PATH: &str = "/v1/actions";
const JOSE: &str = "application/jose";
/// A session in the TPM stands open meanwhile, and a TPM has few.
const AUTHORIZATION_TIMEOUT: Duration = Duration::from_secs(10);

impl ControlPlane {
    /// Where actions are asked for: the audience of the request.
    pub(crate) fn actions_url(&self) -> String {
        self.url.join(PATH)
    }

    /// `POST /v1/actions` with a JWS by the device key.
    pub(crate) async fn request_action(&self, jws: String) -> Result<ActionOffer, CallError> {
        let request = self.client.post(self.actions_url()).header("content-type", JOSE).body(jws);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => read(response).await,
            _ => Err(refusal(response).await),
        }
    }

    /// `POST /v1/actions/{id}/approval`.
    pub(crate) async fn step_action(
        &self,
        id: SessionId,
        step: &ApprovalStep,
    ) -> Result<ActionState, CallError> {
        let response = self.post(&format!("{PATH}/{id}/approval"), codec::encode(step)?).await?;
        match response.status() {
            StatusCode::OK => Ok(ActionState::Approved(read::<ActionApproved>(response).await?)),
            StatusCode::ACCEPTED => Ok(ActionState::Waiting(read::<Waiting>(response).await?)),
            _ => Err(refusal(response).await),
        }
    }

    /// `POST /v1/actions/{id}/authorization`: once a session.
    pub(crate) async fn authorize_action(
        &self,
        id: SessionId,
        request: &AuthorizationRequest,
    ) -> Result<Authorization, CallError> {
        let url = self.url.join(&format!("{PATH}/{id}/authorization"));
        let request = self.client.post(url).header("content-type", CBOR).body(codec::encode(request)?);
        let response = request.timeout(AUTHORIZATION_TIMEOUT).send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => read(response).await,
            _ => Err(refusal(response).await),
        }
    }
}
