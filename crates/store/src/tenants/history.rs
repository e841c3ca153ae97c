//! Who changed what of a tenant, and when, as the database wrote it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use trunkline_domain::TenantId;
use uuid::Uuid;

use super::MAX_PAGE;
use crate::error::StoreError;
use crate::store::Store;

/// One change of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `tenant_history`, commented there"
)]
pub struct HistoryEntry {
    pub id: i64,
    pub tenant_id: Uuid,
    pub slug: String,
    pub version: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    /// `created`, `changed`, `disabled`, `enabled`, `removed` or `deleted`.
    pub operation: String,
    /// By column, `{"old": …, "new": …}`; of a secret `{"changed": true}`.
    pub changes: Value,
}

impl Store {
    /// The tenant of this slug; where there is none, the one that had it last. For
    /// what outlives a tenant: its history and its calls.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant_id(&self, slug: &str) -> Result<Option<TenantId>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            let present = sqlx::query_scalar!(
                "SELECT id FROM tenants WHERE slug = $1 AND removed_at IS NULL",
                slug
            )
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(id) = present {
                return Ok(Some(TenantId(id)));
            }
            let past = sqlx::query_scalar!(
                "SELECT tenant_id FROM tenant_history WHERE slug = $1 ORDER BY id DESC LIMIT 1",
                slug
            )
            .fetch_optional(connection)
            .await?;
            Ok(past.map(TenantId))
        })
        .await
    }

    /// The tenants that ever had this slug by the history, the one that had it last first, and at
    /// most `limit` of them. A slug is free again when its tenant is removed or renamed.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenants_once_named(
        &self,
        slug: &str,
        limit: u32,
    ) -> Result<Vec<TenantId>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            let ids = sqlx::query_scalar!(
                "SELECT tenant_id FROM tenant_history WHERE slug = $1 GROUP BY tenant_id ORDER BY max(id) DESC LIMIT $2",
                slug,
                i64::from(limit)
            )
            .fetch_all(connection)
            .await?;
            Ok(ids.into_iter().map(TenantId).collect())
        })
        .await
    }

    /// The changes of a tenant, the latest first: at most `limit` (and 200), those
    /// before the entry `before`.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant_history(
        &self,
        tenant: TenantId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                HistoryEntry,
                r#"
                SELECT id, tenant_id, slug, version, at, actor, operation, changes
                FROM tenant_history
                WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id < $2)
                ORDER BY id DESC
                LIMIT $3
                "#,
                tenant.0,
                before,
                i64::from(limit.min(MAX_PAGE)),
            )
            .fetch_all(connection)
            .await?)
        })
        .await
    }
}
