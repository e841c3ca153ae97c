//! One file for each route.

mod healthz;
mod metrics;
mod readyz;
mod status;

use axum::Router;
use axum::routing::get;

use crate::state::AdminState;

pub(crate) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(healthz::get))
        .route("/readyz", get(readyz::get))
        .route("/metrics", get(metrics::get))
        .route("/status", get(status::get))
        .with_state(state)
}
