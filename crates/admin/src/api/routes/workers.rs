//! `GET /v1/workers`: what each replica does with each tenant.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use trunkline_call::Registration;
use trunkline_domain::TenantId;
use trunkline_store::TenantState;
use trunkline_supervisor::{ProjectState, ProjectStatus};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::auth::Reader;
use crate::api::cursor::{self, Page};
use crate::api::extract::Query;
use crate::api::filters;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// How long a report counts. A replica repeats its own every 30 s, so one that is
/// older is of a process that is gone.
const STALE_AFTER: TimeDelta = TimeDelta::seconds(90);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Of this tenant: its slug.
    tenant: Option<String>,
    /// In this state.
    #[param(example = "backing_off")]
    state: Option<String>,
    /// On the replica of this name.
    replica: Option<String>,
    /// On the replica that is asked (true), or on the others (false).
    here: Option<bool>,
    /// Items of a page: 50 when left out, 100 at the most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// "next" of the page before.
    cursor: Option<String>,
}

/// What a replica does with a tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Worker {
    /// The tenant.
    pub(crate) tenant: String,
    /// The tenant.
    pub(crate) tenant_id: Uuid,
    /// The replica.
    replica: String,
    /// What tells it from another process of the same name.
    instance: Option<String>,
    /// Whether it is the replica that is asked.
    is_here: bool,
    /// For instance registered, connecting, backing_off, credentials_refused, parked.
    #[schema(example = "registered")]
    state: String,
    /// What a person should know or do.
    reason: Option<String>,
    /// The version of the tenant that is in effect there.
    pub(crate) version: Option<i64>,
    /// When this state began.
    since: DateTime<Utc>,
    /// When the replica said so.
    reported_at: DateTime<Utc>,
    /// Calls under way. Known of the replica that is asked.
    active_calls: Option<u32>,
    /// How often the worker crashed. Known of the replica that is asked.
    restarts: Option<u32>,
    /// Offers that were refused since the process started, by the reason. Known of the
    /// replica that is asked.
    refused_offers: Option<BTreeMap<&'static str, u64>>,
    /// Since when LiveKit offers it no calls, for it was told that there is no place: the
    /// reason says why. Known of the replica that is asked.
    full_since: Option<DateTime<Utc>>,
}

impl Worker {
    pub(crate) fn here(state: &ApiState, status: &ProjectStatus, now: DateTime<Utc>) -> Self {
        Self {
            tenant: status.slug.clone(),
            tenant_id: status.id.0,
            replica: state.replica().name.clone(),
            instance: state.replica().instance.clone(),
            is_here: true,
            state: status.state.as_str().to_owned(),
            reason: status.reason(),
            version: Some(status.version.0),
            since: status.since,
            reported_at: now,
            active_calls: Some(status.active_calls),
            restarts: Some(status.restarts),
            refused_offers: Some(status.refused_offers.clone()),
            full_since: status.full.map(|full| full.since),
        }
    }

    fn elsewhere(report: TenantState, tenant: String) -> Self {
        Self {
            tenant,
            tenant_id: report.tenant_id,
            replica: report.replica.name,
            instance: report.replica.instance,
            is_here: false,
            state: report.state,
            reason: report.reason,
            version: report.version,
            since: report.since,
            reported_at: report.reported_at,
            active_calls: None,
            restarts: None,
            refused_offers: None,
            full_since: None,
        }
    }

    fn key(&self) -> Key {
        Key(
            self.tenant.clone(),
            self.replica.clone(),
            self.instance.clone(),
        )
    }
}

/// Where a worker stands.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key(String, String, Option<String>);

/// What each replica does with each tenant, by tenant and replica
///
/// Of the replica that is asked it is as of now; of the others, as they last reported.
#[utoipa::path(
    get, path = "/v1/workers", tag = "workers", operation_id = "worker.list",
    params(Parameters),
    responses((status = 200, body = Page<Worker>, description = "A page of workers"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<Worker>>, Problem> {
    let limit = cursor::limit(asked.limit)?;
    let after = cursor::decode::<Key>(asked.cursor.as_deref())?;
    filters::known("state", asked.state.as_deref(), ProjectState::NAMES)?;
    if let Some(slug) = asked.tenant.as_deref()
        && !identity.sees_slug(slug)
    {
        return Err(Problem::no_tenant(slug));
    }
    let now = Utc::now();
    let mut workers: Vec<Worker> = state
        .projects()
        .projects()
        .iter()
        .map(|status| Worker::here(&state, status, now))
        .collect();
    // Of this replica all is known here: it is told while the database is away, too.
    if asked.here != Some(true) {
        workers.extend(others(&state, now).await?);
    }
    let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
    workers.retain(|worker| {
        identity.sees(TenantId(worker.tenant_id))
            && is(&asked.tenant, &worker.tenant)
            && is(&asked.state, &worker.state)
            && is(&asked.replica, &worker.replica)
            && asked.here.is_none_or(|here| here == worker.is_here)
            && after.as_ref().is_none_or(|after| worker.key() > *after)
    });
    workers.sort_by_cached_key(Worker::key);
    Ok(Json(Page::cut(workers, limit, Worker::key)))
}

/// What replicas say of one tenant: this one as of now, the others as they last reported.
pub(crate) async fn registrations(
    state: &ApiState,
    tenant: TenantId,
) -> Result<Vec<Registration>, Problem> {
    let now = Utc::now();
    let statuses = state.projects().projects();
    let here = statuses.iter().filter(|status| status.id == tenant);
    let mut workers: Vec<Worker> = here
        .map(|status| Worker::here(state, status, now))
        .collect();
    let others = others(state, now).await?;
    let others = others.into_iter().filter(|w| w.tenant_id == tenant.0);
    workers.extend(others);
    let said = workers.into_iter().map(|worker| Registration {
        replica: worker.replica,
        instance: worker.instance,
        state: worker.state,
        reason: worker.reason,
        version: worker.version,
    });
    Ok(said.collect())
}

async fn others(state: &ApiState, now: DateTime<Utc>) -> Result<Vec<Worker>, Problem> {
    let mut reports = state.store().states().await?;
    reports.retain(|report| {
        report.replica != *state.replica() && now - report.reported_at < STALE_AFTER
    });
    let ids: Vec<Uuid> = reports.iter().map(|report| report.tenant_id).collect();
    let slugs = state.store().slugs(&ids).await?;
    Ok(reports
        .into_iter()
        .filter_map(|report| {
            let slug = slugs.get(&report.tenant_id)?.clone();
            Some(Worker::elsewhere(report, slug))
        })
        .collect())
}
