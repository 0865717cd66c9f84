//! The routes of protected actions, and the one for receivers of assurances.
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::body::{cbor, decode};
use super::pairings::{accepted, session_id};
use crate::action::{self, Progress, Question};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;

/// `POST /v1/actions`: answers a request for a protected action, a compact JWS by the device key, with 200 and an offer.
pub(super) async fn ask(
    State(plane): State<Arc<ControlPlane>>,
    request: String,
) -> Result<Response, RequestError> {
    Ok(cbor(StatusCode::OK, &action::ask(&plane, request).await?))
}

/// `POST /v1/actions/{id}/approval`: takes an approval or a confirmation from the device, or reports the session. 200 when
/// it is approved, 202 while approvals are missing.
pub(super) async fn step(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    Ok(match action::step(&plane, session_id(&id)?, decode(&body)?).await? {
        Progress::Approved(approved) => cbor(StatusCode::OK, &approved),
        Progress::Waiting(waiting) => accepted(&waiting),
    })
}

/// `POST /v1/actions/{id}/authorization`: authorizes one signature in the device's TPM policy session. Answers 200 once
/// per session.
pub(super) async fn authorize(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    let authorization = action::authorize(&plane, session_id(&id)?, decode(&body)?).await?;
    Ok(cbor(StatusCode::OK, &authorization))
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
    message: String,
}

/// `POST /v1/assurances/verify`: answers 200 whether the assurance is valid or not. The receiver is not authenticated: it
/// learns only about an assurance that it already has.
pub(super) async fn verify_assurance(
    State(plane): State<Arc<ControlPlane>>,
    question: Result<Json<Question>, JsonRejection>,
) -> Response {
    if !plane.questions.admit((), plane.clock.monotonic_ms()) {
        return problem(StatusCode::TOO_MANY_REQUESTS, "busy", "too many questions; try again later");
    }
    let question = match question {
        Ok(Json(question)) => question,
        Err(error) => return problem(error.status(), "malformed", error.body_text()),
    };
    match action::verify(&plane, question).await {
        // RFC 9111: the answer can change at any moment.
        Ok(outcome) => ([(header::CACHE_CONTROL, "no-store")], Json(outcome)).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot verify an assurance");
            problem(StatusCode::SERVICE_UNAVAILABLE, "busy", "try again later")
        }
    }
}

fn problem(status: StatusCode, error: &'static str, message: impl Into<String>) -> Response {
    (status, Json(Problem { error, message: message.into() })).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::{Value, json};

    use super::super::router;
    use super::*;
    use crate::testing::Rig;

    async fn ask(rig: &Rig, body: String) -> (StatusCode, Value) {
        let request = Request::post("/v1/assurances/verify")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        let router = router(Arc::clone(&rig.plane));
        let response = TowerToHyperService::new(router).call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn question(assurance: &str) -> String {
        json!({
            "assurance": assurance, "action": "restart", "resource": "gate-4", "digest": "d1".repeat(32),
            "session": "job-17",
        })
        .to_string()
    }

    #[tokio::test]
    async fn a_well_formed_question_is_answered_with_200() {
        let rig = Rig::new();
        let (status, answer) = ask(&rig, question("a.b.c")).await;
        assert_eq!((status, &answer["valid"]), (StatusCode::OK, &json!(false)));
        assert_eq!(answer["reason"], "malformed");
        let (status, answer) = ask(&rig, "{}".to_owned()).await;
        assert!(status.is_client_error() && answer["error"] == "malformed", "{status} {answer}");
        let (status, _) = ask(&rig, question(&"a".repeat(64 * 1024))).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn questions_above_the_rate_limit_are_refused() {
        let rig = Rig::new();
        while rig.plane.questions.admit((), rig.plane.clock.monotonic_ms()) {}
        assert_eq!(ask(&rig, question("a.b.c")).await.0, StatusCode::TOO_MANY_REQUESTS);
        rig.clock.advance(1);
        assert_eq!(ask(&rig, question("a.b.c")).await.0, StatusCode::OK);
    }
}
