//! Every other path: 404, with the paths that there are.

use axum::http::StatusCode;

use super::ROUTES;

pub(super) async fn answer() -> (StatusCode, String) {
    let text = format!("there is nothing here; there are {}\n", ROUTES.join(", "));
    (StatusCode::NOT_FOUND, text)
}
