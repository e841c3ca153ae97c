//! `GET /v1/replica`: the process that is asked.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use trunkline_supervisor::Phase;
use utoipa::ToSchema;

use crate::api::auth::Reader;
use crate::api::openapi::Problems;
use crate::api::state::ApiState;

/// The process that is asked. With a token of one tenant, the numbers are that
/// tenant's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replica {
    /// Its name.
    name: String,
    /// What tells it from another process of the same name.
    instance: Option<String>,
    /// The program's version.
    version: &'static str,
    /// waiting, until the tenants are read; running; draining.
    #[schema(example = "running")]
    phase: &'static str,
    /// Calls under way.
    active_calls: u32,
    /// How many tenants are in which state.
    tenants: BTreeMap<&'static str, u32>,
}

/// What there is to know of the process that is asked
#[utoipa::path(
    get, path = "/v1/replica", tag = "replica", operation_id = "replica.show",
    responses((status = 200, body = Replica, description = "The process"), Problems),
)]
pub(crate) async fn get(State(state): State<ApiState>, Reader(identity): Reader) -> Json<Replica> {
    let mut tenants = BTreeMap::new();
    let mut active_calls = 0;
    let projects = state.projects().projects();
    for project in projects.iter().filter(|project| identity.sees(project.id)) {
        *tenants.entry(project.state.as_str()).or_insert(0) += 1;
        active_calls += project.active_calls;
    }
    Json(Replica {
        name: state.replica().name.clone(),
        instance: state.replica().instance.clone(),
        version: env!("CARGO_PKG_VERSION"),
        phase: match state.projects().phase() {
            Phase::Waiting => "waiting",
            Phase::Running => "running",
            Phase::Draining => "draining",
        },
        active_calls,
        tenants,
    })
}
