//! `GET /v1/audit`: who asked for what.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_store::AuditRow;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::calls::whose;
use crate::api::auth::Administrator;
use crate::api::cursor::{self, Page};
use crate::api::extract::Query;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// About this tenant: its slug, or its id.
    tenant: Option<String>,
    /// Items of a page: 50 when left out, 100 at the most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// "next" of the page before.
    cursor: Option<String>,
}

/// Something that the API was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    /// Identity. What happened later has a higher one.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// The replica that was asked.
    replica: String,
    /// The x-request-id of the answer.
    request_id: Option<String>,
    /// api: and the token's name, cli: and the system's user, or anonymous.
    actor: String,
    /// Where the request came from.
    address: Option<String>,
    /// What was asked for: the id of the operation, or authenticate.
    #[schema(example = "tenant.disable")]
    action: String,
    /// Of what.
    target: Option<String>,
    /// The tenant that it is about.
    tenant_id: Option<Uuid>,
    /// done, refused or failed.
    #[schema(example = "done")]
    outcome: String,
    /// The HTTP status of the answer.
    status: Option<i32>,
    /// Why it was refused or failed.
    detail: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            replica: row.replica,
            request_id: row.request_id,
            actor: row.actor,
            address: row.address,
            action: row.action,
            target: row.target,
            tenant_id: row.tenant_id,
            outcome: row.outcome,
            status: row.status,
            detail: row.detail,
        }
    }
}

/// Changes that were asked for and authentications that were refused, the latest first
#[utoipa::path(
    get, path = "/v1/audit", tag = "access", operation_id = "audit.list",
    params(Parameters),
    responses((status = 200, body = Page<AuditEntry>, description = "A page of entries"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let limit = cursor::limit(asked.limit)?;
    let before = cursor::decode::<i64>(asked.cursor.as_deref())?;
    let tenant = whose(&state, &identity, asked.tenant.as_deref()).await?;
    let rows = state.store().audit_rows(tenant, before, limit + 1).await?;
    let page = Page::cut(rows, limit, |last| last.id);
    Ok(Json(page.map(AuditEntry::from)))
}
