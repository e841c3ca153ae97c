//! `GET /v1/tokens`: who may use the API.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_store::ApiToken;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::Administrator;
use crate::api::openapi::Problems;
use crate::api::problem::Problem;
use crate::api::state::ApiState;

/// What is known of a token. The token itself is nowhere.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// Identity.
    id: Uuid,
    /// Name for people.
    name: String,
    /// The public part, which it begins with.
    prefix: String,
    /// read, operator or admin.
    #[schema(example = "operator")]
    scope: &'static str,
    /// The only tenant that it sees. `null`: it sees all, or its tenant is gone.
    tenant: Option<String>,
    /// The only tenant that it sees. `null`: it sees all.
    tenant_id: Option<Uuid>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Who made it.
    created_by: String,
    /// When it ends by itself. `null`: never.
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked. `null`: it is not.
    revoked_at: Option<DateTime<Utc>>,
    /// Who revoked it.
    revoked_by: Option<String>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<ApiToken> for Token {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            prefix: format!("tl_{}", token.prefix),
            scope: token.scope.as_str(),
            tenant: token.tenant,
            tenant_id: token.tenant_id,
            created_at: token.created_at,
            created_by: token.created_by,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            revoked_by: token.revoked_by,
            last_used_at: token.last_used_at,
        }
    }
}

/// Tokens. Of more than 1,000 the latest.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// The tokens.
    items: Vec<Token>,
}

/// All tokens, the latest first, revoked ones too
#[utoipa::path(
    get, path = "/v1/tokens", tag = "access", operation_id = "token.list",
    responses((status = 200, body = Tokens, description = "The tokens"), Problems),
)]
pub(crate) async fn get(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
) -> Result<Json<Tokens>, Problem> {
    identity.of_all_tenants()?;
    let tokens = state.store().api_tokens().await?;
    let items = tokens.into_iter().map(Token::from).collect();
    Ok(Json(Tokens { items }))
}
