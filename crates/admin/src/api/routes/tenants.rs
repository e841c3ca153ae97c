//! `GET /v1/tenants`: the tenants.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use trunkline_store::{Enablement, TenantFilter};
use utoipa::IntoParams;

use super::tenant_view::Tenant;
use crate::api::auth::Reader;
use crate::api::cursor::{self, Page};
use crate::api::extract::Query;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// Whose slug holds this text.
    q: Option<String>,
    /// That take calls, or that do not.
    enabled: Option<bool>,
    /// Items of a page: 50 when left out, 100 at the most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// "next" of the page before.
    cursor: Option<String>,
}

/// Where a tenant stands.
#[derive(Debug, Serialize, Deserialize)]
struct Key(String);

/// The tenants, by slug
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants", operation_id = "tenant.list",
    params(Parameters),
    responses((status = 200, body = Page<Tenant>, description = "A page of tenants"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Query(asked): Query<Parameters>,
) -> Result<Json<Page<Tenant>>, Problem> {
    let limit = cursor::limit(asked.limit)?;
    let after = cursor::decode::<Key>(asked.cursor.as_deref())?;
    let store = state.store();
    if let Some(own) = &identity.tenant {
        let record = store.tenant_record(&own.slug).await?;
        let wanted = |slug: &str, enabled: bool| {
            asked.q.as_deref().is_none_or(|text| slug.contains(text))
                && asked.enabled.is_none_or(|wanted| wanted == enabled)
                && after
                    .as_ref()
                    .is_none_or(|Key(after)| slug > after.as_str())
        };
        let items = record
            .filter(|record| record.id == own.id && wanted(&record.slug, record.enabled))
            .map(Tenant::from);
        return Ok(Json(Page::whole(items.into_iter().collect())));
    }
    let filter = TenantFilter {
        slug_contains: asked.q,
        enabled: asked.enabled.map(|enabled| match enabled {
            true => Enablement::Enabled,
            false => Enablement::Disabled,
        }),
    };
    let after = after.map(|Key(slug)| slug);
    let page = store.tenant_page(&filter, after.as_deref(), limit).await?;
    let items = page.tenants.into_iter().map(Tenant::from).collect();
    Ok(Json(Page::ending(items, page.next.map(Key).as_ref())))
}
