//! `DELETE /v1/tenants/{slug}`: removes a tenant.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::tenant_view::{expected, find, not_changed};
use crate::api::audit::Target;
use crate::api::auth::Administrator;
use crate::api::extract::Path;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// Remove a tenant
///
/// Its secrets are erased at once, its name is free, and it cannot be brought back.
/// Calls under way go on; the records of its calls and its history stay.
#[utoipa::path(
    delete, path = "/v1/tenants/{slug}", tag = "tenants", operation_id = "tenant.remove",
    params(
        ("slug" = String, Path, description = "Its name"),
        ("if-match" = Option<String>, Header, description = "The version that is to be removed"),
    ),
    responses((status = 204, description = "It is removed"), Problems),
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Extension<Target>), Problem> {
    let expected = expected(&headers)?;
    find(&state, &identity, &slug).await?;
    identity.of_all_tenants()?;
    let actor = identity.writer(state.inner_urls());
    let removing = state.store().remove_tenant(&slug, expected, &actor);
    let removed = removing.await;
    let id = removed.map_err(|error| not_changed(&identity, error))?;
    let target = Target {
        name: None,
        tenant_id: Some(id.0),
    };
    Ok((StatusCode::NO_CONTENT, Extension(target)))
}
