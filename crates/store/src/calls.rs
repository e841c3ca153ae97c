//! The records of calls.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use trunkline_domain::CallRecord;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;

/// The longest text that is kept in a field, in characters. Texts of a vendor or
/// a backend go into `detail` and `fallback_reason`; what is cut is of no use to
/// a reader.
const MAX_TEXT_CHARS: usize = 4_096;

/// A call as it was recorded. Numbers of the phone network are whole here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `calls`, commented there"
)]
pub struct RecordedCall {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub replica: String,
    pub job_id: String,
    pub room: String,
    pub sip_call_id: Option<String>,
    pub trunk_id: Option<String>,
    pub direction: Option<String>,
    pub caller: Option<String>,
    pub called: Option<String>,
    pub config_source: Option<String>,
    pub fallback_reason: Option<String>,
    pub model: Option<String>,
    pub outcome: String,
    pub detail: Option<String>,
    pub started_at: DateTime<Utc>,
    pub joined_ms: Option<i64>,
    pub configured_ms: Option<i64>,
    pub model_ready_ms: Option<i64>,
    pub answered_ms: Option<i64>,
    pub active_ms: Option<i64>,
    pub first_sound_ms: Option<i64>,
    pub ended_ms: Option<i64>,
}

/// Which calls are looked for. `None`: all.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Whose.
    pub tenant_id: Option<Uuid>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Started then or later.
    pub from: Option<DateTime<Utc>>,
    /// Started before.
    pub to: Option<DateTime<Utc>>,
    /// The caller's number, as the trunk gave it.
    pub caller: Option<String>,
}

/// Where a call stands in the order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallKey {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Which of those that started then.
    pub id: Uuid,
}

impl Store {
    /// Calls that are over, the last to start first; those that stand behind `after`.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn calls(
        &self,
        filter: CallFilter,
        after: Option<CallKey>,
        limit: u32,
    ) -> Result<Vec<RecordedCall>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                RecordedCall,
                r#"
                SELECT
                    id, tenant_id, replica, job_id, room, sip_call_id, trunk_id, direction,
                    caller, called, config_source, fallback_reason, model, outcome, detail,
                    started_at, joined_ms, configured_ms, model_ready_ms, answered_ms,
                    active_ms, first_sound_ms, ended_ms
                FROM calls
                WHERE ($1::uuid IS NULL OR tenant_id = $1)
                    AND ($2::text IS NULL OR outcome = $2)
                    AND ($3::timestamptz IS NULL OR started_at >= $3)
                    AND ($4::timestamptz IS NULL OR started_at < $4)
                    AND ($5::text IS NULL OR caller = $5)
                    AND ($6::timestamptz IS NULL OR (started_at, id) < ($6, $7))
                ORDER BY started_at DESC, id DESC
                LIMIT $8
                "#,
                filter.tenant_id,
                filter.outcome,
                filter.from,
                filter.to,
                filter.caller,
                after.map(|key| key.started_at),
                after.map(|key| key.id),
                i64::from(limit),
            )
            .fetch_all(connection)
            .await?)
        })
        .await
    }

    /// One call that is over.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn call(&self, id: Uuid) -> Result<Option<RecordedCall>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                RecordedCall,
                r#"
                SELECT
                    id, tenant_id, replica, job_id, room, sip_call_id, trunk_id, direction,
                    caller, called, config_source, fallback_reason, model, outcome, detail,
                    started_at, joined_ms, configured_ms, model_ready_ms, answered_ms,
                    active_ms, first_sound_ms, ended_ms
                FROM calls
                WHERE id = $1
                "#,
                id,
            )
            .fetch_optional(connection)
            .await?)
        })
        .await
    }

    /// Writes the record of a call; again under the same id: the later one holds.
    /// So it may be repeated when it is not known whether it arrived.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn record_call(&self, record: &CallRecord, replica: &str) -> Result<(), StoreError> {
        self.with(async |connection: &mut PgConnection| upsert(connection, record, replica).await)
            .await
    }

    /// The latest calls, the last to start first.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn recent_calls(&self, limit: u32) -> Result<Vec<RecordedCall>, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            Ok(sqlx::query_as!(
                RecordedCall,
                r#"
                SELECT
                    id, tenant_id, replica, job_id, room, sip_call_id, trunk_id, direction,
                    caller, called, config_source, fallback_reason, model, outcome, detail,
                    started_at, joined_ms, configured_ms, model_ready_ms, answered_ms,
                    active_ms, first_sound_ms, ended_ms
                FROM calls
                ORDER BY started_at DESC, id DESC
                LIMIT $1
                "#,
                i64::from(limit),
            )
            .fetch_all(connection)
            .await?)
        })
        .await
    }
}

async fn upsert(
    connection: &mut PgConnection,
    record: &CallRecord,
    replica: &str,
) -> Result<(), StoreError> {
    let times = &record.times;
    sqlx::query!(
        r#"
        INSERT INTO calls (
            id, tenant_id, replica, job_id, room, sip_call_id, trunk_id, direction, caller,
            called, config_source, fallback_reason, model, outcome, detail, started_at,
            joined_ms, configured_ms, model_ready_ms, answered_ms, active_ms, first_sound_ms,
            ended_ms
        )
        VALUES (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $20, $21, $22, $23
        )
        ON CONFLICT (id) DO UPDATE SET
            tenant_id = excluded.tenant_id,
            replica = excluded.replica,
            job_id = excluded.job_id,
            room = excluded.room,
            sip_call_id = excluded.sip_call_id,
            trunk_id = excluded.trunk_id,
            direction = excluded.direction,
            caller = excluded.caller,
            called = excluded.called,
            config_source = excluded.config_source,
            fallback_reason = excluded.fallback_reason,
            model = excluded.model,
            outcome = excluded.outcome,
            detail = excluded.detail,
            started_at = excluded.started_at,
            joined_ms = excluded.joined_ms,
            configured_ms = excluded.configured_ms,
            model_ready_ms = excluded.model_ready_ms,
            answered_ms = excluded.answered_ms,
            active_ms = excluded.active_ms,
            first_sound_ms = excluded.first_sound_ms,
            ended_ms = excluded.ended_ms
        "#,
        record.id.0,
        record.tenant_id.0,
        storable(replica),
        storable(&record.job_id),
        storable(&record.room),
        optional(&record.sip_call_id),
        optional(&record.trunk_id),
        record.direction.map(|d| d.as_str()),
        record.caller.as_ref().map(|n| n.expose()),
        record.called.as_ref().map(|n| n.expose()),
        record.config_source.map(|s| s.as_str()),
        optional(&record.fallback_reason),
        optional(&record.model),
        record.outcome.as_str(),
        optional(&record.detail),
        record.started_at,
        millis(times.joined),
        millis(times.configured),
        millis(times.model_ready),
        millis(times.answered),
        millis(times.active),
        millis(times.first_sound),
        millis(times.ended),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn millis(step: Option<Duration>) -> Option<i64> {
    step.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn optional(text: &Option<String>) -> Option<String> {
    text.as_deref().map(storable)
}

/// A record is never lost for its text: Postgres refuses NUL, and what is very
/// long is cut.
fn storable(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT_CHARS)
        .map(|c| if c == '\0' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_postgres_refuses_is_mended_and_long_text_is_cut() {
        assert_eq!(storable("plain"), "plain");
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert_eq!(storable(&"é".repeat(5_000)).chars().count(), MAX_TEXT_CHARS);
    }
}
