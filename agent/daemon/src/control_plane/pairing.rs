//! The four calls of a pairing.

use pawl_proto::message::{
    ApprovalStep, PairingApproved, PairingGrant, PairingOffer, PairingProof, PairingRequest, SessionProof,
    Waiting,
};
use pawl_proto::{SessionId, codec};
use reqwest::{Response, StatusCode};

use super::{CallError, ControlPlane, read, refusal};

/// How a session stands.
pub(crate) enum Answer {
    /// The old pairing is over for the control plane; the new one may be made.
    Approved(Box<PairingApproved>),
    /// Somebody has yet to approve. Nothing has changed.
    Waiting(Box<Waiting>),
}

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
    ) -> Result<Answer, CallError> {
        answer(self.post(&format!("/v1/pairings/{id}/session"), codec::encode(proof)?).await?).await
    }

    /// `POST /v1/pairings/{id}/approval`.
    pub(crate) async fn step(&self, id: SessionId, step: &ApprovalStep) -> Result<Answer, CallError> {
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

async fn answer(response: Response) -> Result<Answer, CallError> {
    match response.status() {
        StatusCode::OK => Ok(Answer::Approved(Box::new(read(response).await?))),
        StatusCode::ACCEPTED => Ok(Answer::Waiting(Box::new(read(response).await?))),
        _ => Err(refusal(response).await),
    }
}
