//! `GET /v1/calls/live`: calls under way on this replica.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::view::Call;
use crate::api::auth::Reader;
use crate::api::extract::Query;
use crate::api::openapi::Problems;
use crate::api::phone::Numbers;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Of this tenant: its slug.
    tenant: Option<String>,
    /// How numbers are shown: redacted, or full, which needs the scope operator.
    #[serde(default)]
    #[param(inline)]
    numbers: Numbers,
}

/// Calls under way. There are never more than the process takes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveCalls {
    /// The replica that runs them. Another one is asked by itself.
    replica: String,
    /// The calls.
    items: Vec<Call>,
}

/// Calls under way on this replica, the first to start first
///
/// Answered from the process's memory: it works while the database is away.
#[utoipa::path(
    get, path = "/v1/calls/live", tag = "calls", operation_id = "call.live",
    params(Parameters),
    responses((status = 200, body = LiveCalls, description = "The calls"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Query(asked): Query<Parameters>,
) -> Result<Json<LiveCalls>, Problem> {
    let numbers = asked.numbers.for_whom(&identity)?;
    if let Some(slug) = asked.tenant.as_deref()
        && !identity.sees_slug(slug)
    {
        return Err(Problem::no_tenant(slug));
    }
    let replica = &state.replica().name;
    let calls = state.calls().all();
    let items = calls
        .iter()
        .filter(|call| identity.sees(call.tenant_id))
        .filter(|call| {
            let wanted = asked.tenant.as_deref();
            wanted.is_none_or(|slug| call.tenant.as_str() == slug)
        })
        .map(|call| Call::live(call, replica, numbers))
        .collect();
    Ok(Json(LiveCalls {
        replica: replica.clone(),
        items,
    }))
}
