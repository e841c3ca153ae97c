//! `GET /v1/tenants/{slug}`: one tenant.

use axum::extract::State;

use super::tenant_view::{Tagged, Tenant, find, tagged};
use crate::api::auth::Reader;
use crate::api::extract::Path;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// One tenant, without its secrets
#[utoipa::path(
    get, path = "/v1/tenants/{slug}", tag = "tenants", operation_id = "tenant.show",
    params(("slug" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = Tenant, description = "The tenant",
            headers(("etag" = String, description = "Its version"))),
        Problems,
    ),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Reader(identity): Reader,
    Path(slug): Path<String>,
) -> Result<Tagged, Problem> {
    find(&state, &identity, &slug).await.map(tagged)
}
