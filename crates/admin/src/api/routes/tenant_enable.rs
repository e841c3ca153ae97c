//! `POST /v1/tenants/{slug}/enable`.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use trunkline_store::Enablement;

use super::tenant_switch::switch;
use super::tenant_view::{Tagged, Tenant};
use crate::api::audit::Target;
use crate::api::auth::Operator;
use crate::api::extract::Path;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// Take calls for a tenant
///
/// Calls under way go on. Again is harmless.
#[utoipa::path(
    post, path = "/v1/tenants/{slug}/enable", tag = "tenants", operation_id = "tenant.enable",
    params(
        ("slug" = String, Path, description = "Its name"),
        ("if-match" = Option<String>, Header, description = "The version that is to be changed"),
    ),
    responses(
        (status = 200, body = Tenant, description = "The tenant as it is now",
            headers(("etag" = String, description = "Its version"))),
        Problems,
    ),
)]
pub(crate) async fn post(
    State(state): State<ApiState>,
    Operator(identity): Operator,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<(Extension<Target>, Tagged), Problem> {
    switch(&state, &identity, &slug, &headers, Enablement::Enabled).await
}
