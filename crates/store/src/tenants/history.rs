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

/// How many bytes the changes of a page have, as JSON: a client reads it in one go, and
/// so does the process that answers.
const MAX_PAGE_BYTES: i32 = 1024 * 1024;

/// The longest value that is told of an entry that is larger than a page by itself. It
/// has some twenty values.
const MAX_VALUE_BYTES: i32 = 32 * 1024;

/// Some changes of a tenant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    /// The latest first.
    pub entries: Vec<HistoryEntry>,
    /// The entry before which the next page begins. `None`: this is the last one.
    pub next: Option<i64>,
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
    /// before the entry `before`, and no more than fit into [`MAX_PAGE_BYTES`]. A value
    /// that is larger than a page by itself is told by its size.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant_history(
        &self,
        tenant: TenantId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        self.with(async |connection: &mut PgConnection| {
            let entries = sqlx::query_as!(
                HistoryEntry,
                r#"
                WITH asked AS (
                    SELECT id, tenant_id, slug, version, at, actor, operation, changes,
                           octet_length(changes::text) AS bytes
                    FROM tenant_history
                    WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id < $2)
                    ORDER BY id DESC
                    LIMIT $3
                ), measured AS (
                    SELECT *, sum(least(bytes, $4)) OVER (ORDER BY id DESC) - least(bytes, $4)
                               AS bytes_before,
                           sum(least(bytes, $4)) OVER (ORDER BY id DESC) AS bytes_with
                    FROM asked
                )
                SELECT id, tenant_id, slug, version, at, actor, operation,
                    CASE WHEN bytes <= $4 THEN changes ELSE (
                        SELECT jsonb_object_agg(key, CASE
                            WHEN octet_length(value::text) <= $5 THEN value
                            ELSE jsonb_build_object(
                                'changed', true, 'bytes', octet_length(value::text)
                            )
                        END)
                        FROM jsonb_each(changes)
                    ) END AS "changes!"
                FROM measured
                WHERE bytes_before = 0 OR bytes_with <= $4
                ORDER BY id DESC
                "#,
                tenant.0,
                before,
                // One more tells whether there are more.
                i64::from(limit) + 1,
                MAX_PAGE_BYTES,
                MAX_VALUE_BYTES,
            )
            .fetch_all(&mut *connection)
            .await?;
            HistoryPage::of(connection, entries, limit).await
        })
        .await
    }
}

impl HistoryPage {
    async fn of(
        connection: &mut PgConnection,
        mut entries: Vec<HistoryEntry>,
        limit: u32,
    ) -> Result<Self, StoreError> {
        let limit = limit as usize;
        let has_one_more = entries.len() > limit;
        entries.truncate(limit);
        let Some(last) = entries.last() else {
            return Ok(Self::default());
        };
        let (last, tenant) = (last.id, last.tenant_id);
        // Cut by bytes or not, the database knows whether something is behind it.
        let is_more = has_one_more
            || sqlx::query_scalar!(
                r#"SELECT EXISTS (
                    SELECT FROM tenant_history WHERE tenant_id = $1 AND id < $2
                ) AS "is_more!""#,
                tenant,
                last,
            )
            .fetch_one(connection)
            .await?;
        Ok(Self {
            next: is_more.then_some(last),
            entries,
        })
    }
}
