//! `POST /v1/assurances/verify`, for receivers of assurances

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::action::{self, Question};
use crate::control_plane::ControlPlane;

#[derive(Serialize)]
struct Problem {
    error: &'static str,
    message: String,
}

/// Whether an assurance holds: 200, whatever the answer is. Nobody is authenticated: who has the
/// assurance may know what it says.
pub(super) async fn verify(
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
        // RFC 9111: what holds now may not hold a moment later.
        Ok(outcome) => ([(header::CACHE_CONTROL, "no-store")], Json(outcome)).into_response(),
        Err(error) => {
            tracing::error!(%error, "an assurance cannot be checked");
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

    use super::*;
    use crate::http::router;
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
    async fn every_question_that_is_understood_is_answered_with_200() {
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
    async fn too_many_questions_are_put_off() {
        let rig = Rig::new();
        while rig.plane.questions.admit((), rig.plane.clock.monotonic_ms()) {}
        assert_eq!(ask(&rig, question("a.b.c")).await.0, StatusCode::TOO_MANY_REQUESTS);
        rig.clock.advance(1);
        assert_eq!(ask(&rig, question("a.b.c")).await.0, StatusCode::OK);
    }
}
