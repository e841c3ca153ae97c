//! `POST /v1/replica/drain`: takes this replica out of service.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::audit::Target;
use crate::api::auth::Operator;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// A drain that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Draining {
    /// The replica.
    replica: String,
    /// Calls that are left. The process ends with the last one.
    active_calls: u32,
}

/// Take no more calls, and end with the last one
///
/// As the first SIGTERM does: calls under way end by themselves, until the grace
/// period is over. It cannot be taken back.
#[utoipa::path(
    post, path = "/v1/replica/drain", tag = "replica", operation_id = "replica.drain",
    responses((status = 202, body = Draining, description = "It drains"), Problems),
)]
pub(crate) async fn post(
    State(state): State<ApiState>,
    Operator(identity): Operator,
) -> Result<(StatusCode, Extension<Target>, Json<Draining>), Problem> {
    identity.of_all_tenants()?;
    let replica = state.replica().name.clone();
    tracing::info!(
        actor = identity.actor(),
        "draining by the API: no more calls, those under way end by themselves"
    );
    state.drain().cancel();
    let target = Target {
        name: Some(replica.clone()),
        tenant_id: None,
    };
    let active_calls = state.projects().active_calls();
    let draining = Draining {
        replica,
        active_calls,
    };
    Ok((StatusCode::ACCEPTED, Extension(target), Json(draining)))
}
