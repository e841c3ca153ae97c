//! `GET /v1/calls`: calls that are over.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trunkline_domain::CallOutcome;
use trunkline_store::{CallFilter, CallKey};
use utoipa::IntoParams;
use uuid::Uuid;

use super::view::Call;
use crate::api::auth::{Identity, Reader};
use crate::api::cursor::{self, Page};
use crate::api::extract::Query;
use crate::api::filters;
use crate::api::openapi::Problems;
use crate::api::phone::Numbers;
use crate::api::problem::Problem;
use crate::api::state::ApiState;
use axum::Json;
use axum::extract::State;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Of this tenant: its slug, or its id.
    tenant: Option<String>,
    /// That ended so.
    #[param(example = "model_failed")]
    outcome: Option<String>,
    /// That started then or later.
    from: Option<DateTime<Utc>>,
    /// That started before.
    to: Option<DateTime<Utc>>,
    /// Of this caller: the number as the trunk gives it.
    #[param(example = "+15550001111")]
    caller: Option<String>,
    /// How numbers are shown: redacted, or full, which needs the scope operator.
    #[serde(default)]
    #[param(inline)]
    numbers: Numbers,
    /// Items of a page: 50 when left out, 100 at the most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// "next" of the page before.
    cursor: Option<String>,
}

/// Where a call stands. Microseconds are what the database keeps.
#[derive(Debug, Serialize, Deserialize)]
struct Key(i64, Uuid);

/// Calls that are over, the last to start first
#[utoipa::path(
    get, path = "/v1/calls", tag = "calls", operation_id = "call.list",
    params(Parameters),
    responses((status = 200, body = Page<Call>, description = "A page of calls"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<Call>>, Problem> {
    let numbers = asked.numbers.for_whom(&identity)?;
    let limit = cursor::limit(asked.limit)?;
    let after = cursor::decode::<Key>(asked.cursor.as_deref())?;
    let after = after.and_then(|Key(micros, id)| {
        let started_at = DateTime::from_timestamp_micros(micros)?;
        Some(CallKey { started_at, id })
    });
    filters::moment("cursor", after.as_ref().map(|after| after.started_at))?;
    filters::moment("from", asked.from)?;
    filters::moment("to", asked.to)?;
    let outcomes = CallOutcome::ALL.map(CallOutcome::as_str);
    filters::known("outcome", asked.outcome.as_deref(), outcomes)?;
    let filter = CallFilter {
        tenant_id: whose(&state, &identity, asked.tenant.as_deref()).await?,
        outcome: asked.outcome,
        from: asked.from,
        to: asked.to,
        caller: asked.caller.map(plus),
    };
    let store = state.store();
    let calls = store.calls(filter, after, limit + 1).await?;
    let page = Page::cut(calls, limit, |last| {
        Key(last.started_at.timestamp_micros(), last.id)
    });
    let ids: Vec<Uuid> = page.items.iter().map(|call| call.tenant_id).collect();
    let slugs = store.slugs(&ids).await?;
    Ok(Json(page.map(|call| {
        let tenant = slugs.get(&call.tenant_id).cloned();
        Call::past(call, tenant, numbers)
    })))
}

/// The tenant whose calls are looked for; `None`: all.
pub(crate) async fn whose(
    state: &ApiState,
    identity: &Identity,
    asked: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    let own = identity.tenant.as_ref();
    let Some(asked) = asked else {
        return Ok(own.map(|own| own.id.0));
    };
    if let Some(own) = own {
        let is_own = own.slug == asked || own.id.to_string() == asked;
        return is_own
            .then_some(Some(own.id.0))
            .ok_or_else(|| Problem::no_tenant(asked));
    }
    if let Ok(id) = asked.parse::<Uuid>() {
        return Ok(Some(id));
    }
    let id = state.store().tenant_id(asked).await?;
    id.map(|id| Some(id.0))
        .ok_or_else(|| Problem::no_tenant(asked))
}

/// In a query a "+" that nobody has escaped is a blank.
fn plus(number: String) -> String {
    match number.strip_prefix(' ') {
        Some(rest) => format!("+{rest}"),
        None => number,
    }
}
