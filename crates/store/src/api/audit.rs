//! What the API was asked for, by whom, and what became of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;

/// The longest text of an entry, in characters: it can come from a stranger.
const MAX_TEXT_CHARS: usize = 300;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It may not be, or not so.
    Refused,
    /// It could not be done.
    Failed,
}

impl AuditOutcome {
    /// As the database has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// An entry to be written.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `api_audit`, commented there"
)]
pub struct AuditEntry {
    pub replica: String,
    pub request_id: Option<String>,
    pub actor: String,
    pub token_id: Option<Uuid>,
    pub address: Option<String>,
    pub action: String,
    pub target: Option<String>,
    pub tenant_id: Option<Uuid>,
    pub outcome: AuditOutcome,
    pub status: Option<u16>,
    pub detail: Option<String>,
}

/// An entry that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `api_audit`, commented there"
)]
pub struct AuditRow {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub replica: String,
    pub request_id: Option<String>,
    pub actor: String,
    pub token_id: Option<Uuid>,
    pub address: Option<String>,
    pub action: String,
    pub target: Option<String>,
    pub tenant_id: Option<Uuid>,
    pub outcome: String,
    pub status: Option<i32>,
    pub detail: Option<String>,
}

impl Store {
    /// Writes an entry.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let optional = |text: &Option<String>| text.as_deref().map(bounded);
        self.with(async |connection: &mut PgConnection| {
            sqlx::query!(
                r#"
                INSERT INTO api_audit (
                    replica, request_id, actor, token_id, address, action, target, tenant_id,
                    outcome, status, detail
                )
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                "#,
                entry.replica,
                optional(&entry.request_id),
                bounded(&entry.actor),
                entry.token_id,
                optional(&entry.address),
                entry.action,
                optional(&entry.target),
                entry.tenant_id,
                entry.outcome.as_str(),
                entry.status.map(i32::from),
                optional(&entry.detail),
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Entries before `before`, the latest first; of one tenant where it is given.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn audit_rows(
        &self,
        tenant_id: Option<Uuid>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                AuditRow,
                r#"
                SELECT id, at, replica, request_id, actor, token_id, address, action, target,
                    tenant_id, outcome, status, detail
                FROM api_audit
                WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::bigint IS NULL OR id < $2)
                ORDER BY id DESC
                LIMIT $3
                "#,
                tenant_id,
                before,
                i64::from(limit),
            )
            .fetch_all(connection)
            .await?)
        })
        .await
    }
}

fn bounded(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT_CHARS)
        .map(|c| if c == '\0' { '\u{fffd}' } else { c })
        .collect()
}
