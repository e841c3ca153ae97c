//! `GET /v1/tenants/{slug}/history`: who changed what of a tenant.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_store::HistoryEntry;
use utoipa::{IntoParams, ToSchema};

use crate::api::auth::Reader;
use crate::api::cursor::{self, Page};
use crate::api::extract::{Path, Query};
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Items of a page: 50 when left out, 100 at the most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// "next" of the page before.
    cursor: Option<String>,
}

/// A change of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change {
    /// Identity. A later change has a higher one.
    id: i64,
    /// The version that it made.
    version: i64,
    /// When.
    at: DateTime<Utc>,
    /// Who: api: and a token's name, cli: and a user, or a role of the database.
    actor: String,
    /// created, changed, disabled, enabled, removed or deleted.
    #[schema(example = "changed")]
    operation: String,
    /// By field, what it was (old) and is (new); of a secret only that it changed.
    #[schema(value_type = Object)]
    changes: Value,
}

impl From<HistoryEntry> for Change {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            id: entry.id,
            version: entry.version,
            at: entry.at,
            actor: entry.actor,
            operation: entry.operation,
            changes: entry.changes,
        }
    }
}

/// Who changed what of a tenant, the latest change first
///
/// Also of one that was removed, as long as no other has its name. A page ends early where
/// its changes come to a megabyte; a value that is larger than that by itself is told by its
/// size.
#[utoipa::path(
    get, path = "/v1/tenants/{slug}/history", tag = "tenants", operation_id = "tenant.history",
    params(("slug" = String, Path, description = "Its name"), Parameters),
    responses((status = 200, body = Page<Change>, description = "A page of changes"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Path(slug): Path<String>,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<Change>>, Problem> {
    let limit = cursor::limit(asked.limit)?;
    let before = cursor::decode::<i64>(asked.cursor.as_deref())?;
    let id = state.store().tenant_id(&slug).await?;
    let id = id.filter(|id| identity.sees(*id));
    let id = id.ok_or_else(|| Problem::no_tenant(&slug))?;
    let page = state.store().tenant_history(id, before, limit).await?;
    let page = Page::ending(page.entries, page.next.as_ref());
    Ok(Json(page.map(Change::from)))
}
