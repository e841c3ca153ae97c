//! One file for each route.

mod healthz;
mod metrics;
mod not_found;
mod readyz;
mod status;

use axum::Router;
use axum::routing::get;

use crate::state::AdminState;

/// Every route, for whoever asks for another.
const ROUTES: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/status"];

pub(crate) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(healthz::get))
        .route("/readyz", get(readyz::get))
        .route("/metrics", get(metrics::get))
        .route("/status", get(status::get))
        .fallback(not_found::answer)
        .with_state(state)
}
