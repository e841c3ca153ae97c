//! `DELETE /v1/tokens/{token}`: revokes a token.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::audit::Target;
use crate::api::auth::Administrator;
use crate::api::extract::Path;
use crate::api::openapi::Problems;
use crate::api::problem::{Kind, Problem};
use crate::api::state::ApiState;

/// Revoke a token
///
/// It is refused from the next request on, by every replica.
#[utoipa::path(
    delete, path = "/v1/tokens/{token}", tag = "access", operation_id = "token.revoke",
    params(("token" = String, Path, description = "Its id, or its name")),
    responses((status = 204, description = "It is revoked"), Problems),
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    Path(token): Path<String>,
) -> Result<(StatusCode, Extension<Target>), Problem> {
    identity.of_all_tenants()?;
    let revoked = state
        .store()
        .revoke_api_token(&token, &identity.actor())
        .await?;
    let name = revoked.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "there is no token of this id or name in force",
        )
    })?;
    let target = Target {
        name: Some(name),
        tenant_id: None,
    };
    Ok((StatusCode::NO_CONTENT, Extension(target)))
}
