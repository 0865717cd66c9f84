//! The four calls of a pairing.

use pawl_proto::message::{
    ApprovalStep, PairingGrant, PairingOffer, PairingProof, PairingRequest, SessionProof,
};
use pawl_proto::{SessionId, codec};
use reqwest::{Response, StatusCode};

use super::{CallError, ControlPlane, read, refusal};
use crate::core::SessionAnswer;

impl ControlPlane {
    /// `POST /v1/pairings`.
    pub(crate) async fn request_pairing(&self, request: &PairingRequest) -> Result<PairingOffer, CallError> {
        let response = self.post("/v1/pairings", codec::encode(request)?).await?;
        match response.status() {
            StatusCode::OK => read(response).await,
            _ => Err(refusal(response).await),
        }
    }

    /// `POST /v1/pairings/{id}/session`. Sent again, it asks how the session stands.
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

    /// `POST /v1/pairings/{id}/proof`. Sent again as it was, it gets the same grant.
    pub(crate) async fn prove(&self, id: SessionId, proof: &PairingProof) -> Result<PairingGrant, CallError> {
        let response = self.post(&format!("/v1/pairings/{id}/proof"), codec::encode(proof)?).await?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED => read(response).await,
            _ => Err(refusal(response).await),
        }
    }
}

async fn answer(response: Response) -> Result<SessionAnswer, CallError> {
    match response.status() {
        StatusCode::OK => Ok(SessionAnswer::Approved(Box::new(read(response).await?))),
        StatusCode::ACCEPTED => Ok(SessionAnswer::Waiting(Box::new(read(response).await?))),
        _ => Err(refusal(response).await),
    }
}
