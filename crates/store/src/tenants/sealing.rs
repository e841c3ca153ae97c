//! The clear text that ops wrote becomes sealed text.
//!
//! What was read is sealed here and written back in one statement, which takes
//! only rows that are still of the version that was read: a newer clear text is
//! never overwritten with an older one. Two replicas that seal the same row at
//! once both hold the right value; the later one finds nothing left to do.
//!
//! The clear text never travels back to the database. There it stays in the dead
//! version of the row until the next vacuum, and in backups of that time.

use sqlx::{Connection as _, PgConnection};
use trunkline_domain::TenantId;
use uuid::Uuid;

use super::row::StoredRow;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::seal::{Column, SealError};
use crate::secret::ClearText;

/// How many rows one statement seals. An envelope has some hundred bytes, so
/// this is some hundred kilobytes.
const CHUNK: usize = 500;

/// Seals and erases all clear text in these rows, and logs when it cannot: the
/// tenants can be run all the same, and the next read tries again.
pub(super) async fn seal_clear_text(
    connection: &mut PgConnection,
    keyring: &Keyring,
    rows: &[StoredRow],
) {
    let clear: Vec<&StoredRow> = rows.iter().filter(|row| row.has_clear_text()).collect();
    for chunk in clear.chunks(CHUNK) {
        let tenants = chunk.len();
        let batch = match Batch::seal(keyring, chunk) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(tenants, %error, "secrets stay in clear in the database");
                continue;
            }
        };
        match batch.write(connection).await {
            Ok(sealed) => {
                metrics::counter!("trunkline_tenants_sealed_total").increment(sealed);
                tracing::info!(sealed, "secrets sealed, clear text erased");
            }
            Err(error) => tracing::warn!(
                tenants,
                error = %error.one_line(),
                "secrets stay in clear in the database until the next read"
            ),
        }
    }
}

impl StoredRow {
    fn has_clear_text(&self) -> bool {
        self.livekit_api_secret.is_some()
            || self.call_config_bearer.is_some()
            || self.call_config_signing_secret.is_some()
            || self.provider_api_key.is_some()
            || self.fallback_provider_api_key.is_some()
    }
}

/// Columns of what is to be written, in the form that `unnest` takes.
#[derive(Default)]
struct Batch {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    livekit_api_secrets: Vec<Option<Vec<u8>>>,
    call_config_bearers: Vec<Option<Vec<u8>>>,
    call_config_signing_secrets: Vec<Option<Vec<u8>>>,
    provider_api_keys: Vec<Option<Vec<u8>>>,
    fallback_provider_api_keys: Vec<Option<Vec<u8>>>,
}

impl Batch {
    fn seal(keyring: &Keyring, rows: &[&StoredRow]) -> Result<Self, SealError> {
        let mut batch = Self::default();
        for row in rows {
            let envelope = |column: Column, clear: &Option<ClearText>| {
                clear
                    .as_ref()
                    .filter(|text| !text.is_empty())
                    .map(|text| keyring.seal(TenantId(row.id), column, text.secret()))
                    .transpose()
            };
            batch.ids.push(row.id);
            batch.versions.push(row.version);
            batch
                .livekit_api_secrets
                .push(envelope(Column::LiveKitApiSecret, &row.livekit_api_secret)?);
            batch
                .call_config_bearers
                .push(envelope(Column::CallConfigBearer, &row.call_config_bearer)?);
            batch.call_config_signing_secrets.push(envelope(
                Column::CallConfigSigningSecret,
                &row.call_config_signing_secret,
            )?);
            batch
                .provider_api_keys
                .push(envelope(Column::ProviderApiKey, &row.provider_api_key)?);
            batch.fallback_provider_api_keys.push(envelope(
                Column::FallbackProviderApiKey,
                &row.fallback_provider_api_key,
            )?);
        }
        Ok(batch)
    }

    /// Returns how many rows were sealed.
    async fn write(&self, connection: &mut PgConnection) -> Result<u64, StoreError> {
        let mut transaction = connection.begin().await?;
        // Until the end of the transaction: the trigger keeps the version.
        sqlx::query!("SELECT set_config('trunkline.sealing', 'on', true)")
            .fetch_one(&mut *transaction)
            .await?;
        // Rows that somebody is writing just now are skipped, not waited for:
        // an open transaction of ops must not hold up the feed.
        let done = sqlx::query!(
            r#"
            WITH held AS (
                SELECT id FROM tenants WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED
            ), sealed AS (
                SELECT * FROM unnest(
                    $1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[],
                    $7::bytea[]
                ) AS s (
                    id, version, livekit_api_secret, call_config_bearer,
                    call_config_signing_secret, provider_api_key, fallback_provider_api_key
                )
            )
            UPDATE tenants t SET
                livekit_api_secret_sealed = CASE
                    WHEN t.livekit_api_secret IS NULL THEN t.livekit_api_secret_sealed
                    ELSE s.livekit_api_secret
                END,
                call_config_bearer_sealed = CASE
                    WHEN t.call_config_bearer IS NULL THEN t.call_config_bearer_sealed
                    ELSE s.call_config_bearer
                END,
                call_config_signing_secret_sealed = CASE
                    WHEN t.call_config_signing_secret IS NULL
                    THEN t.call_config_signing_secret_sealed
                    ELSE s.call_config_signing_secret
                END,
                provider_api_key_sealed = CASE
                    WHEN t.provider_api_key IS NULL THEN t.provider_api_key_sealed
                    ELSE s.provider_api_key
                END,
                fallback_provider_api_key_sealed = CASE
                    WHEN t.fallback_provider_api_key IS NULL THEN t.fallback_provider_api_key_sealed
                    ELSE s.fallback_provider_api_key
                END,
                livekit_api_secret = NULL,
                call_config_bearer = NULL,
                call_config_signing_secret = NULL,
                provider_api_key = NULL,
                fallback_provider_api_key = NULL
            FROM sealed s JOIN held USING (id)
            WHERE t.id = s.id
                AND t.version = s.version
                AND (
                    t.livekit_api_secret IS NOT NULL
                    OR t.call_config_bearer IS NOT NULL
                    OR t.call_config_signing_secret IS NOT NULL
                    OR t.provider_api_key IS NOT NULL
                    OR t.fallback_provider_api_key IS NOT NULL
                )
            "#,
            &self.ids,
            &self.versions,
            &self.livekit_api_secrets as &[Option<Vec<u8>>],
            &self.call_config_bearers as &[Option<Vec<u8>>],
            &self.call_config_signing_secrets as &[Option<Vec<u8>>],
            &self.provider_api_keys as &[Option<Vec<u8>>],
            &self.fallback_provider_api_keys as &[Option<Vec<u8>>],
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }
}
