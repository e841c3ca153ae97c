//! `GET /v1/refusals`: offers of calls that were refused.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_store::{RecordedRefusals, RefusalFilter, RefusalKey};
use trunkline_supervisor::Refusal;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::calls::whose;
use crate::api::auth::Reader;
use crate::api::cursor::{self, Page};
use crate::api::extract::Query;
use crate::api::filters;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Of this tenant: its slug, or its id.
    tenant: Option<String>,
    /// For this reason.
    #[param(example = "tenant_full")]
    reason: Option<String>,
    /// In a minute that began then or later.
    from: Option<DateTime<Utc>>,
    /// In a minute that began before.
    to: Option<DateTime<Utc>>,
    /// Items of a page: 50 when left out, 100 at the most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// "next" of the page before.
    cursor: Option<String>,
}

/// What a process refused of a tenant's offers for one reason within one minute.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedOffers {
    /// Whose calls they would have been. `null`: the tenant has been deleted.
    tenant: Option<String>,
    /// Whose calls they would have been.
    tenant_id: Uuid,
    /// The replica that refused them.
    replica: String,
    /// What tells it from another process of the same name.
    instance: String,
    /// Why: tenant_full, tenant_rate, tenant_share, process_full, process_event_loop,
    /// process_cpu, process_memory, process_descriptors, draining, already_ours, wrong_kind
    /// or malformed.
    #[schema(example = "tenant_full")]
    reason: String,
    /// The beginning of the minute.
    minute: DateTime<Utc>,
    /// How many. LiveKit offers a call again while nobody takes it: there are more offers
    /// than callers.
    count: i64,
    /// When the first of them was refused.
    first_at: DateTime<Utc>,
    /// When the last of them was refused.
    last_at: DateTime<Utc>,
}

impl RefusedOffers {
    fn new(recorded: RecordedRefusals, slugs: &HashMap<Uuid, String>) -> Self {
        Self {
            tenant: slugs.get(&recorded.tenant_id).cloned(),
            tenant_id: recorded.tenant_id,
            replica: recorded.replica,
            instance: recorded.instance,
            reason: recorded.reason,
            minute: recorded.minute,
            count: recorded.count,
            first_at: recorded.first_at,
            last_at: recorded.last_at,
        }
    }
}

/// Where a record stands.
#[derive(Debug, Serialize, Deserialize)]
struct Key(i64, Uuid, String, String, String);

impl Key {
    fn of(last: &RecordedRefusals) -> Self {
        Self(
            last.minute.timestamp(),
            last.tenant_id,
            last.reason.clone(),
            last.replica.clone(),
            last.instance.clone(),
        )
    }

    fn found(self) -> Option<RefusalKey> {
        let Self(minute, tenant_id, reason, replica, instance) = self;
        Some(RefusalKey {
            minute: DateTime::from_timestamp(minute, 0)?,
            tenant_id,
            reason,
            replica,
            instance,
        })
    }
}

/// Offers of calls that were refused, and why, those of the latest minute first
///
/// Of all replicas, one item for each tenant, reason, process and minute. What was refused
/// a moment ago is here some seconds later.
#[utoipa::path(
    get, path = "/v1/refusals", tag = "calls", operation_id = "refusal.list",
    params(Parameters),
    responses(
        (status = 200, body = Page<RefusedOffers>, description = "A page of refused offers"),
        Problems,
    ),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<RefusedOffers>>, Problem> {
    let limit = cursor::limit(asked.limit)?;
    let after = cursor::decode::<Key>(asked.cursor.as_deref())?.and_then(Key::found);
    filters::moment("cursor", after.as_ref().map(|after| after.minute))?;
    filters::moment("from", asked.from)?;
    filters::moment("to", asked.to)?;
    filters::known("reason", asked.reason.as_deref(), Refusal::NAMES)?;
    let filter = RefusalFilter {
        tenant_id: whose(&state, &identity, asked.tenant.as_deref()).await?,
        reason: asked.reason,
        from: asked.from,
        to: asked.to,
    };
    let store = state.store();
    let recorded = store.refusals(filter, after, limit + 1);
    let page = Page::cut(recorded.await?, limit, Key::of);
    let ids: Vec<Uuid> = page.items.iter().map(|item| item.tenant_id).collect();
    let slugs = store.slugs(&ids).await?;
    Ok(Json(page.map(|item| RefusedOffers::new(item, &slugs))))
}
