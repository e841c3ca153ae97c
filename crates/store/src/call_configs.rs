//! The last answers of tenants' backends: written by the replica that was answered, read
//! by all.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trunkline_domain::{BackendMark, KnownAnswer, PhoneNumber, TenantId};
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;

/// Answers that are kept for each tenant. Memory holds 500; the oldest go first.
const MAX_ANSWERS_OF_TENANT: i64 = 1_000;

/// Where a row stands in the order in which rows were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAnswerKey {
    /// When it was written, by the database's clock.
    pub written_at: DateTime<Utc>,
    tenant_id: Uuid,
    called: String,
}

impl KnownAnswerKey {
    /// Before all rows that were written at this time.
    pub fn at(written_at: DateTime<Utc>) -> Self {
        Self {
            written_at,
            tenant_id: Uuid::nil(),
            called: String::new(),
        }
    }
}

struct Row {
    tenant_id: Uuid,
    called: String,
    backend_sha256: Vec<u8>,
    answer: String,
    fetched_at: DateTime<Utc>,
    written_at: DateTime<Utc>,
}

impl Store {
    /// Writes answers. One that is not newer than what is there is left out, and so are
    /// those of tenants that are not there. Each tenant and number may be there once only.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn write_known_answers(&self, answers: &[KnownAnswer]) -> Result<(), StoreError> {
        let tenant_ids: Vec<Uuid> = answers.iter().map(|a| a.tenant_id.0).collect();
        let called: Vec<String> = answers.iter().map(called_text).collect();
        let backends: Vec<Vec<u8>> = answers.iter().map(|a| a.backend.0.to_vec()).collect();
        let texts: Vec<String> = answers.iter().map(|a| a.answer.clone()).collect();
        let fetched: Vec<DateTime<Utc>> = answers.iter().map(|a| a.fetched_at).collect();
        self.with(async |connection: &mut PgConnection| {
            sqlx::query!(
                r#"
                INSERT INTO call_configs (tenant_id, called, backend_sha256, answer, fetched_at)
                SELECT a.tenant_id, a.called, a.backend_sha256, a.answer::json, a.fetched_at
                FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::timestamptz[])
                    AS a (tenant_id, called, backend_sha256, answer, fetched_at)
                JOIN tenants t ON t.id = a.tenant_id AND t.removed_at IS NULL
                ON CONFLICT (tenant_id, called) DO UPDATE SET
                    backend_sha256 = excluded.backend_sha256,
                    answer = excluded.answer,
                    fetched_at = excluded.fetched_at,
                    written_at = now()
                WHERE excluded.fetched_at > call_configs.fetched_at
                "#,
                &tenant_ids,
                &called,
                &backends,
                &texts,
                &fetched,
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Answers in the order in which they were written, those that stand behind `after`,
    /// and where the last of them stands.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn known_answers(
        &self,
        after: &KnownAnswerKey,
        limit: u32,
    ) -> Result<(Vec<KnownAnswer>, Option<KnownAnswerKey>), StoreError> {
        let rows = self
            .with(async |connection: &mut PgConnection| {
                Ok::<_, StoreError>(
                    sqlx::query_as!(
                        Row,
                        r#"
                        SELECT tenant_id, called, backend_sha256, answer::text AS "answer!",
                               fetched_at, written_at
                        FROM call_configs
                        WHERE (written_at, tenant_id, called) > ($1, $2, $3)
                        ORDER BY written_at, tenant_id, called
                        LIMIT $4
                        "#,
                        after.written_at,
                        after.tenant_id,
                        after.called,
                        i64::from(limit),
                    )
                    .fetch_all(connection)
                    .await?,
                )
            })
            .await?;
        let last = rows.last().map(|row| KnownAnswerKey {
            written_at: row.written_at,
            tenant_id: row.tenant_id,
            called: row.called.clone(),
        });
        Ok((rows.into_iter().filter_map(answer_of).collect(), last))
    }

    /// Deletes answers that came before `oldest`, those of tenants that are not there, and
    /// the oldest of tenants that have more than a thousand. How many?
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn delete_known_answers(&self, oldest: DateTime<Utc>) -> Result<u64, StoreError> {
        self.with(async |connection: &mut PgConnection| {
            let deleted = sqlx::query!(
                r#"
                WITH ranked AS (
                    SELECT tenant_id, called,
                           row_number() OVER (PARTITION BY tenant_id ORDER BY fetched_at DESC)
                               AS rank
                    FROM call_configs
                )
                DELETE FROM call_configs c
                USING ranked r
                WHERE r.tenant_id = c.tenant_id AND r.called = c.called
                    AND (
                        c.fetched_at < $1
                        OR r.rank > $2
                        OR NOT EXISTS (
                            SELECT FROM tenants t
                            WHERE t.id = c.tenant_id AND t.removed_at IS NULL
                        )
                    )
                "#,
                oldest,
                MAX_ANSWERS_OF_TENANT,
            )
            .execute(connection)
            .await?;
            Ok(deleted.rows_affected())
        })
        .await
    }
}

fn called_text(answer: &KnownAnswer) -> String {
    let called = answer.called.as_ref().map(PhoneNumber::expose);
    called.unwrap_or_default().to_owned()
}

/// `None`: the row was not written by us.
fn answer_of(row: Row) -> Option<KnownAnswer> {
    Some(KnownAnswer {
        tenant_id: TenantId(row.tenant_id),
        called: PhoneNumber::new(&row.called),
        backend: BackendMark(row.backend_sha256.try_into().ok()?),
        answer: row.answer,
        fetched_at: row.fetched_at,
    })
}
