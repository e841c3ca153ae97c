//! `GET /status`: this replica's projects, how each is doing and why.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_domain::{TenantId, TenantVersion};
use trunkline_supervisor::{Phase, ProjectStatus};

use crate::state::{AdminState, Readiness};

#[derive(Debug, Serialize)]
pub(super) struct Response {
    replica: String,
    version: &'static str,
    phase: Phase,
    ready: bool,
    active_calls: u32,
    projects: Vec<Project>,
}

#[derive(Debug, Serialize)]
struct Project {
    slug: String,
    id: TenantId,
    /// The version of the row that is in effect.
    version: TenantVersion,
    state: &'static str,
    /// What a person should know or do.
    reason: Option<String>,
    since: DateTime<Utc>,
    restarts: u32,
    active_calls: u32,
    /// Offers that were refused since the process started, by the reason.
    refused_offers: BTreeMap<&'static str, u64>,
    /// Since when LiveKit offers it no calls, for it was told that there is no place.
    full_since: Option<DateTime<Utc>>,
    /// Changed credentials that are not in effect yet.
    successor: Option<Successor>,
}

#[derive(Debug, Serialize)]
struct Successor {
    version: TenantVersion,
    /// The version that is in effect until then.
    still_on: TenantVersion,
    state: &'static str,
}

impl From<ProjectStatus> for Project {
    fn from(status: ProjectStatus) -> Self {
        Self {
            reason: status.reason(),
            state: status.state.as_str(),
            slug: status.slug,
            id: status.id,
            version: status.version,
            since: status.since,
            restarts: status.restarts,
            active_calls: status.active_calls,
            refused_offers: status.refused_offers,
            full_since: status.full.map(|full| full.since),
            successor: status.successor.map(|next| Successor {
                version: next.version,
                still_on: next.still_on,
                state: next.state.as_str(),
            }),
        }
    }
}

pub(super) async fn get(State(state): State<AdminState>) -> Json<Response> {
    let mut projects: Vec<Project> = state
        .projects()
        .projects()
        .into_iter()
        .map(Project::from)
        .collect();
    projects.sort_by(|a, b| a.slug.cmp(&b.slug));
    Json(Response {
        replica: state.replica().to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        phase: state.projects().phase(),
        ready: state.readiness() == Readiness::Ready,
        active_calls: state.projects().active_calls(),
        projects,
    })
}

#[cfg(test)]
mod tests {
    use trunkline_supervisor::{Fault, ProjectState};

    use super::*;

    #[test]
    fn a_parked_project_says_why() {
        let project = Project::from(ProjectStatus {
            id: TenantId(uuid::Uuid::nil()),
            slug: "acme".into(),
            version: TenantVersion(3),
            state: ProjectState::Parked {
                reason: "max_calls must be 1 or more, not 0".into(),
                fault: Fault::Row,
            },
            since: DateTime::UNIX_EPOCH,
            restarts: 2,
            active_calls: 1,
            refused_offers: BTreeMap::from([("tenant_full", 3)]),
            successor: None,
            held: None,
            full: None,
            notes: Vec::new(),
        });
        assert_eq!(
            serde_json::to_value(project).unwrap(),
            serde_json::json!({
                "slug": "acme",
                "id": "00000000-0000-0000-0000-000000000000",
                "version": 3,
                "state": "parked",
                "reason": "max_calls must be 1 or more, not 0",
                "since": "1970-01-01T00:00:00Z",
                "restarts": 2,
                "active_calls": 1,
                "refused_offers": { "tenant_full": 3 },
                "full_since": null,
                "successor": null,
            })
        );
    }
}
