//! Sessions, for operators and for approvers who are not at the device.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pawl_proto::message::{GivenApproval, SshSignature, StatementBytes};
use pawl_proto::{Blob, DeviceId, SessionId};
use serde::{Deserialize, Serialize};

use super::view::{ConfirmationView, RequestView, SessionView};
use super::{AdminError, ReasonRequest};
use super::{Answer, Plane, short};
use crate::control_plane::ControlPlane;
use crate::session;
use crate::store::StoreError;

/// The most sessions that are listed.
const LISTED: usize = 100;

/// `POST /v1/approvals/request`
#[derive(Debug, Serialize, Deserialize)]
pub struct CodeRequest {
    /// The user code on the device's screen.
    pub code: String,
}

/// `POST /v1/approvals`
#[derive(Debug, Serialize, Deserialize)]
pub struct ApproveRequest {
    /// The user code on the device's screen.
    pub code: String,
    /// The signed statement, in hexadecimal.
    pub statement: String,
    /// The armored signature.
    pub signature: String,
}

#[derive(Deserialize)]
struct Of {
    device: Option<DeviceId>,
}

/// Returns the routes of sessions.
pub(super) fn routes() -> Router<Arc<ControlPlane>> {
    Router::new()
        .route("/v1/sessions", get(list))
        .route("/v1/sessions/count", get(count))
        .route("/v1/sessions/{id}/decline", post(decline))
        .route("/v1/approvals/request", post(request))
        .route("/v1/approvals", post(approve))
}

async fn list(State(plane): Plane, Query(Of { device }): Query<Of>) -> Answer<Vec<SessionView>> {
    let now = plane.clock.now();
    let views = plane
        .store
        .transaction(move |tx| {
            session::sweep(tx, now)?;
            let sessions = tx.listed_sessions(device, LISTED)?;
            sessions.into_iter().map(SessionView::new).collect::<Result<_, StoreError>>()
        })
        .await?;
    Ok(Json(views))
}

/// `GET /v1/sessions/count`
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionCount {
    /// How many sessions are kept; the list has the newest.
    pub sessions: usize,
}

async fn count(State(plane): Plane, Query(Of { device }): Query<Of>) -> Answer<SessionCount> {
    let sessions = plane.store.transaction(move |tx| tx.count_sessions(device)).await?;
    Ok(Json(SessionCount { sessions }))
}

async fn request(State(plane): Plane, Json(body): Json<CodeRequest>) -> Answer<RequestView> {
    let session = session::session_of_code(&plane, &body.code).await?;
    let view = plane.store.transaction(move |tx| RequestView::of(tx, session)).await?;
    Ok(Json(view))
}

async fn approve(State(plane): Plane, Json(body): Json<ApproveRequest>) -> Answer<ConfirmationView> {
    let malformed = |what: &str| AdminError::new("malformed", what);
    let statement =
        hex::decode(&body.statement).map_err(|_| malformed("the statement is not hexadecimal"))?;
    let statement = Blob::new(statement).map_err(|error| AdminError::new("malformed", error))?;
    let signature = SshSignature::new(body.signature.into_bytes())
        .map_err(|error| AdminError::new("malformed", error))?;
    let given = GivenApproval { statement: StatementBytes(statement), signature };
    let given = session::approve(&plane, &body.code, given).await?;
    Ok(Json(ConfirmationView {
        session: given.session.id,
        confirmation: given.confirmation.to_string(),
        expires: given.session.expires,
    }))
}

async fn decline(
    State(plane): Plane,
    Path(id): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Answer<SessionView> {
    let id: SessionId = id.parse().map_err(|error| AdminError::new("malformed", error))?;
    let reason = short(&body.reason)?.as_str().to_owned();
    let session = session::decline(&plane, id, reason).await?;
    Ok(Json(plane.store.transaction(move |tx| SessionView::of(tx, session)).await?))
}
