//! Tokens of the API are made, looked up and revoked.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use sqlx::PgConnection;
use trunkline_domain::{AccessScope, TenantId};
use uuid::Uuid;

use super::secret::Fresh;
use crate::error::{DatabaseError, StoreError};
use crate::store::Store;

/// The longest name, in characters. As the database has it.
const MAX_NAME_CHARS: usize = 64;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Name for people.
    pub name: String,
    /// What it allows.
    pub scope: AccessScope,
    /// The only tenant that it sees.
    pub tenant_id: Option<TenantId>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who makes it.
    pub created_by: String,
}

/// A token that was made: the only time that it can be read.
#[derive(Debug)]
pub struct IssuedToken {
    /// What is kept of it.
    pub info: ApiToken,
    /// The token.
    pub token: SecretString,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `api_tokens`, commented there"
)]
pub struct ApiToken {
    pub id: Uuid,
    pub name: String,
    pub prefix: String,
    pub scope: AccessScope,
    pub tenant_id: Option<Uuid>,
    /// The tenant's name, while it is there.
    pub tenant: Option<String>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub revoked_by: Option<String>,
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What is needed to judge who presents a token.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The token.
    pub info: ApiToken,
    /// To be compared with what is presented.
    pub secret_sha256: Vec<u8>,
    /// Whether the only tenant that it sees is gone.
    pub is_orphaned: bool,
}

/// A token was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddTokenError {
    /// The name cannot be one.
    #[error("name must have 1 to {MAX_NAME_CHARS} visible characters")]
    InvalidName,
    /// It would be over before it began.
    #[error("expires_at must be in the future")]
    Expired,
    /// There is one of that name.
    #[error("there is a token {name} already; revoke it, or take another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A row of `api_tokens` as it is read.
struct Row {
    id: Uuid,
    name: String,
    prefix: String,
    scope: String,
    tenant_id: Option<Uuid>,
    tenant: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoked_by: Option<String>,
    last_used_at: Option<DateTime<Utc>>,
    secret_sha256: Vec<u8>,
}

impl Row {
    fn credential(self) -> Result<Credential, StoreError> {
        let scope = self.scope.parse().map_err(|_| StoreError::Refused {
            source: DatabaseError::of_text("a token has a scope that this version does not know"),
        })?;
        Ok(Credential {
            is_orphaned: self.tenant_id.is_some() && self.tenant.is_none(),
            secret_sha256: self.secret_sha256,
            info: ApiToken {
                id: self.id,
                name: self.name,
                prefix: self.prefix,
                scope,
                tenant_id: self.tenant_id,
                tenant: self.tenant,
                created_at: self.created_at,
                created_by: self.created_by,
                expires_at: self.expires_at,
                revoked_at: self.revoked_at,
                revoked_by: self.revoked_by,
                last_used_at: self.last_used_at,
            },
        })
    }
}

impl Store {
    /// Makes a token. Only its hash reaches the database.
    ///
    /// # Errors
    /// When the name cannot be used, or the database is away or refuses.
    pub async fn add_api_token(&self, new: NewToken) -> Result<IssuedToken, AddTokenError> {
        let name = new.name.trim().to_owned();
        let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count());
        if !fits || name.chars().any(char::is_control) {
            return Err(AddTokenError::InvalidName);
        }
        if new.expires_at.is_some_and(|at| at <= Utc::now()) {
            return Err(AddTokenError::Expired);
        }
        let fresh = Fresh::generate();
        let prefix = fresh.prefix.clone();
        self.with(async |connection: &mut PgConnection| {
            let added = sqlx::query_scalar!(
                r#"
                INSERT INTO api_tokens
                    (name, prefix, secret_sha256, scope, tenant_id, created_by, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
                RETURNING id
                "#,
                name,
                prefix,
                fresh.secret_sha256,
                new.scope.as_str(),
                new.tenant_id.map(|id| id.0),
                new.created_by,
                new.expires_at,
            )
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreError::from)?;
            if added.is_none() {
                return Err(AddTokenError::NameTaken { name });
            }
            let credential = by_prefix(connection, &prefix).await?;
            let gone = || StoreError::from(sqlx::Error::RowNotFound);
            Ok(IssuedToken {
                info: credential.ok_or_else(gone)?.info,
                token: fresh.token,
            })
        })
        .await
    }

    /// The token of this public part, whatever its state.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn api_credential(&self, prefix: &str) -> Result<Option<Credential>, StoreError> {
        self.with(async |connection: &mut PgConnection| by_prefix(connection, prefix).await)
            .await
    }

    /// Notes that a token is used.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn touch_api_token(&self, id: Uuid) -> Result<(), StoreError> {
        self.with(async |connection: &mut PgConnection| {
            sqlx::query!(
                "UPDATE api_tokens SET last_used_at = now() WHERE id = $1",
                id
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// All tokens, the latest first; revoked ones too.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            let rows = sqlx::query_as!(
                Row,
                r#"
                SELECT k.id, k.name, k.prefix, k.scope, k.tenant_id, t.slug AS "tenant?",
                    k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revoked_by,
                    k.last_used_at, k.secret_sha256
                FROM api_tokens k LEFT JOIN tenants t ON t.id = k.tenant_id AND t.removed_at IS NULL
                ORDER BY k.created_at DESC, k.id
                LIMIT 1000
                "#
            )
            .fetch_all(connection)
            .await?;
            rows.into_iter()
                .map(|row| row.credential().map(|credential| credential.info))
                .collect()
        })
        .await
    }

    /// Revokes a token, by its id or, of those in force, by its name. `None`: there
    /// is none in force.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn revoke_api_token(
        &self,
        id_or_name: &str,
        by: &str,
    ) -> Result<Option<String>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_scalar!(
                r#"
                UPDATE api_tokens SET revoked_at = now(), revoked_by = $2
                WHERE revoked_at IS NULL AND (id::text = $1 OR name = $1)
                RETURNING name
                "#,
                id_or_name,
                by,
            )
            .fetch_optional(connection)
            .await?)
        })
        .await
    }
}

async fn by_prefix(
    connection: &mut PgConnection,
    prefix: &str,
) -> Result<Option<Credential>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        SELECT k.id, k.name, k.prefix, k.scope, k.tenant_id, t.slug AS "tenant?",
            k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revoked_by,
            k.last_used_at, k.secret_sha256
        FROM api_tokens k LEFT JOIN tenants t ON t.id = k.tenant_id AND t.removed_at IS NULL
        WHERE k.prefix = $1
        "#,
        prefix,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Row::credential).transpose()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn debug_of_a_token_that_was_made_shows_its_public_part_only() {
        let fresh = Fresh::generate();
        let issued = IssuedToken {
            info: ApiToken {
                id: Uuid::nil(),
                name: "ops".to_owned(),
                prefix: fresh.prefix.clone(),
                scope: AccessScope::Read,
                tenant_id: None,
                tenant: None,
                created_at: DateTime::UNIX_EPOCH,
                created_by: "cli:test".to_owned(),
                expires_at: None,
                revoked_at: None,
                revoked_by: None,
                last_used_at: None,
            },
            token: fresh.token,
        };
        let shown = format!("{issued:?}");
        assert!(shown.contains(&fresh.prefix), "{shown}");
        let secret = &issued.token.expose_secret()[16..];
        assert!(!shown.contains(secret), "{shown}");
    }
}
