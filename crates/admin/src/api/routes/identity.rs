//! `GET /v1/self`: who asks.

use axum::Json;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Reader;
use crate::api::openapi::Problems;

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Myself {
    /// The token's name.
    name: String,
    /// read, operator or admin.
    #[schema(example = "operator")]
    scope: &'static str,
    /// The only tenant that it sees. `null`: it sees all.
    tenant: Option<String>,
    /// When it ends. `null`: never.
    expires_at: Option<DateTime<Utc>>,
}

/// What the token allows
#[utoipa::path(
    get, path = "/v1/self", tag = "access", operation_id = "self.show",
    responses((status = 200, body = Myself, description = "The token"), Problems),
)]
pub(crate) async fn get(Reader(identity): Reader) -> Json<Myself> {
    Json(Myself {
        name: identity.name,
        scope: identity.scope.as_str(),
        tenant: identity.tenant.map(|own| own.slug),
        expires_at: identity.expires_at,
    })
}
