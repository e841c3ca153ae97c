//! `POST /v1/tokens`: makes a token.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use trunkline_domain::AccessScope;
use trunkline_store::{AddTokenError, NewToken};
use utoipa::ToSchema;

use super::tokens::Token;
use crate::api::audit::Target;
use crate::api::auth::Administrator;
use crate::api::extract;
use crate::api::filters;
use crate::api::openapi::Problems;
use crate::api::problem::{FieldProblem, Kind, Problem};
use crate::api::state::ApiState;

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// Name for people; none in force may have it.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What it allows.
    scope: Scope,
    /// The slug of the only tenant that it shall see. Left out: it sees all.
    tenant: Option<String>,
    /// When it shall end by itself. Left out: never.
    expires_at: Option<DateTime<Utc>>,
}

/// What a token allows. Each includes those before it.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    /// Looks at everything but secrets.
    Read,
    /// Switches tenants on and off, hangs up, drains.
    Operator,
    /// Writes tenants and tokens.
    Admin,
}

impl From<Scope> for AccessScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Operator => Self::Operator,
            Scope::Admin => Self::Admin,
        }
    }
}

/// A token that was made. No `Debug`: here it is in clear, on its way to who asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewlyMade {
    /// The token. It can be read here and never again.
    token: String,
    /// What is kept of it.
    info: Token,
}

/// Make a token
///
/// The answer is the only place where it can be read.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "access", operation_id = "token.add",
    request_body = TokenRequest,
    responses((status = 201, body = NewlyMade, description = "The token"), Problems),
)]
pub(crate) async fn post(
    State(state): State<ApiState>,
    Administrator(identity): Administrator,
    extract::Json(asked): extract::Json<TokenRequest>,
) -> Result<(StatusCode, Extension<Target>, Json<NewlyMade>), Problem> {
    identity.of_all_tenants()?;
    filters::moment("expires_at", asked.expires_at)?;
    let tenant_id = match &asked.tenant {
        None => None,
        Some(slug) => {
            let record = state.store().tenant_record(slug).await?;
            let record = record.ok_or_else(|| {
                Problem::invalid(vec![FieldProblem::new(
                    "tenant",
                    "is no tenant",
                    "take the slug of one that there is",
                )])
            })?;
            Some(record.id)
        }
    };
    let new = NewToken {
        name: asked.name,
        scope: asked.scope.into(),
        tenant_id,
        expires_at: asked.expires_at,
        created_by: identity.actor(),
    };
    let issued = state.store().add_api_token(new).await?;
    let target = Target {
        name: Some(issued.info.name.clone()),
        tenant_id: tenant_id.map(|id| id.0),
    };
    let made = NewlyMade {
        token: issued.token.expose_secret().to_owned(),
        info: issued.info.into(),
    };
    Ok((StatusCode::CREATED, Extension(target), Json(made)))
}

impl From<AddTokenError> for Problem {
    fn from(error: AddTokenError) -> Self {
        match error {
            AddTokenError::InvalidName | AddTokenError::Expired => {
                Self::invalid(vec![FieldProblem::of_text(&error.to_string())])
            }
            AddTokenError::NameTaken { .. } => Self::new(Kind::NameTaken, error.to_string()),
            AddTokenError::Store(error) => error.into(),
        }
    }
}
