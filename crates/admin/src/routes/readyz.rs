//! `GET /readyz`: 200 when every project has been tried, else 503 with the
//! reason: starting, or draining.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::state::{AdminState, Readiness};

#[derive(Debug, Serialize)]
pub(super) struct Response {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn get(State(state): State<AdminState>) -> (StatusCode, Json<Response>) {
    respond(state.readiness())
}

fn respond(readiness: Readiness) -> (StatusCode, Json<Response>) {
    let (status, reason) = match readiness {
        Readiness::Ready => (StatusCode::OK, None),
        Readiness::NotReady { reason } => (StatusCode::SERVICE_UNAVAILABLE, Some(reason)),
    };
    let ready = reason.is_none();
    (status, Json(Response { ready, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ready_answers_503_and_says_why() {
        let (status, Json(body)) = respond(Readiness::NotReady {
            reason: "draining".into(),
        });
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            serde_json::to_value(body).unwrap(),
            serde_json::json!({"ready": false, "reason": "draining"})
        );
        let (status, Json(body)) = respond(Readiness::Ready);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            serde_json::to_value(body).unwrap(),
            serde_json::json!({"ready": true})
        );
    }
}
