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
    /// The most calls that the process takes.
    max_calls: u32,
    /// What the process uses, read every second. `null` for a token of one tenant, and
    /// until it has been read first.
    resources: Option<Resources>,
    /// How many tenants are in which state.
    tenants: BTreeMap<&'static str, u32>,
}

/// What the process uses of what it may use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resources {
    /// The CPUs that it may use. A quota can be a part of one.
    cpus: f64,
    /// Their used part of 1, averaged over some five seconds.
    cpu_used_ratio: f64,
    /// The CPU time of the whole process, also what it does without a call, divided by
    /// the calls under way: cores per call. `null` without calls. What a single call
    /// uses is not measured: its work is done by tasks that calls share.
    process_cores_per_call: Option<f64>,
    /// How late tasks run, averaged over some five seconds.
    event_loop_delay_ms: f64,
    /// The used part of the memory of the container, or of the machine.
    memory_used_ratio: f64,
    /// What the process itself has in RAM.
    resident_bytes: Option<u64>,
    /// The used part of the descriptors that it may open.
    descriptors_used_ratio: f64,
    /// What no more calls are taken for: event_loop, cpu, memory, descriptors. `null`:
    /// there is room.
    strained: Option<&'static str>,
}

impl Resources {
    fn new(read: trunkline_supervisor::Resources, active_calls: u32) -> Self {
        let cores = read.cpus * read.cpu;
        Self {
            cpus: read.cpus,
            cpu_used_ratio: read.cpu,
            process_cores_per_call: (active_calls > 0).then(|| cores / f64::from(active_calls)),
            event_loop_delay_ms: read.event_loop_delay.as_secs_f64() * 1_000.0,
            memory_used_ratio: read.memory,
            resident_bytes: read.resident_bytes,
            descriptors_used_ratio: read.descriptors,
            strained: read.strain.map(|strain| strain.as_str()),
        }
    }
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
        max_calls: state.load().max_calls().get(),
        resources: state
            .load()
            .resources()
            .filter(|_| identity.tenant.is_none())
            .map(|read| Resources::new(read, active_calls)),
        tenants,
    })
}
