//! Sealing everything anew under the first key, while replicas serve.
//!
//! What a row means stays the same, so its version does, and nothing is reloaded.
//! Rows are locked while they are sealed anew, some hundred at a time; a row that
//! somebody is writing is left, and [`Store::key_usage`] shows it.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection};
use trunkline_domain::TenantId;
use uuid::Uuid;

use super::row::Unopened;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::seal::{Column, OpenError, key_of};
use crate::store::Store;

/// How many rows are locked at a time: some milliseconds' work.
const BATCH: i64 = 200;

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Values that were sealed anew.
    pub resealed: u64,
    /// Values that could not be, by the tenant's slug. They stay as they are.
    pub left: Vec<(String, Unopened)>,
}

/// What the sealed values are sealed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// How many, by the id of their key.
    pub by_key: BTreeMap<String, u64>,
    /// Values that are no envelopes of this program.
    pub unknown: u64,
}

impl Store {
    /// Seals what is sealed with an older key anew, with the first one. After each
    /// batch `progress` learns how many rows were looked at.
    ///
    /// # Errors
    /// When the database is away or refuses. What was done until then is done.
    pub async fn rotate_keys(
        &self,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Rotation, StoreError> {
        let mut rotation = Rotation::default();
        let (mut after, mut seen) = (Uuid::nil(), 0);
        loop {
            let keyring = &self.keyring;
            let batch = self
                .with(async |connection: &mut PgConnection| {
                    reseal_batch(connection, keyring, after).await
                })
                .await?;
            rotation.resealed += batch.resealed;
            rotation.left.extend(batch.left);
            seen += batch.rows;
            let Some(last) = batch.last else {
                return Ok(rotation);
            };
            after = last;
            progress(seen);
        }
    }

    /// Counts the sealed values by key.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn key_usage(&self) -> Result<KeyUsage, StoreError> {
        let mut usage = KeyUsage::default();
        let mut after = Uuid::nil();
        loop {
            let rows = self
                .with(async |connection: &mut PgConnection| read(connection, after).await)
                .await?;
            let Some(last) = rows.last() else {
                return Ok(usage);
            };
            after = last.id;
            for (_, envelope) in rows.iter().flat_map(Sealed::envelopes) {
                match key_of(envelope) {
                    Ok(key) => *usage.by_key.entry(key.to_owned()).or_default() += 1,
                    Err(_) => usage.unknown += 1,
                }
            }
        }
    }
}

/// The sealed columns of a row.
struct Sealed {
    id: Uuid,
    slug: String,
    livekit_api_secret: Option<Vec<u8>>,
    call_config_bearer: Option<Vec<u8>>,
    call_config_signing_secret: Option<Vec<u8>>,
    provider_api_key: Option<Vec<u8>>,
    fallback_provider_api_key: Option<Vec<u8>>,
}

impl Sealed {
    fn envelopes(&self) -> impl Iterator<Item = (Column, &[u8])> {
        [
            (Column::LiveKitApiSecret, &self.livekit_api_secret),
            (Column::CallConfigBearer, &self.call_config_bearer),
            (
                Column::CallConfigSigningSecret,
                &self.call_config_signing_secret,
            ),
            (Column::ProviderApiKey, &self.provider_api_key),
            (
                Column::FallbackProviderApiKey,
                &self.fallback_provider_api_key,
            ),
        ]
        .into_iter()
        .filter_map(|(column, envelope)| Some((column, envelope.as_deref()?)))
    }
}

#[derive(Default)]
struct Batch {
    rows: u64,
    resealed: u64,
    left: Vec<(String, Unopened)>,
    /// Where the next one begins; `None` at the end.
    last: Option<Uuid>,
}

async fn read(connection: &mut PgConnection, after: Uuid) -> Result<Vec<Sealed>, StoreError> {
    Ok(sqlx::query_as!(
        Sealed,
        r#"
        SELECT
            id,
            slug,
            livekit_api_secret_sealed AS livekit_api_secret,
            call_config_bearer_sealed AS call_config_bearer,
            call_config_signing_secret_sealed AS call_config_signing_secret,
            provider_api_key_sealed AS provider_api_key,
            fallback_provider_api_key_sealed AS fallback_provider_api_key
        FROM tenants
        WHERE id > $1
        ORDER BY id
        LIMIT $2
        "#,
        after,
        BATCH,
    )
    .fetch_all(connection)
    .await?)
}

async fn reseal_batch(
    connection: &mut PgConnection,
    keyring: &Keyring,
    after: Uuid,
) -> Result<Batch, StoreError> {
    let mut transaction = connection.begin().await?;
    let mut batch = Batch::default();
    // Without a lock, to know where the batch ends whoever holds rows of it.
    let rows = read(&mut transaction, after).await?;
    let Some(last) = rows.last() else {
        return Ok(batch);
    };
    batch.last = Some(last.id);
    batch.rows = rows.len() as u64;
    let old: Vec<Uuid> = rows
        .iter()
        .filter(|row| row.envelopes().any(|(_, e)| is_old(keyring, e)))
        .map(|row| row.id)
        .collect();
    if old.is_empty() {
        return Ok(batch);
    }
    let held = sqlx::query_as!(
        Sealed,
        r#"
        SELECT
            id,
            slug,
            livekit_api_secret_sealed AS livekit_api_secret,
            call_config_bearer_sealed AS call_config_bearer,
            call_config_signing_secret_sealed AS call_config_signing_secret,
            provider_api_key_sealed AS provider_api_key,
            fallback_provider_api_key_sealed AS fallback_provider_api_key
        FROM tenants
        WHERE id = ANY($1)
        ORDER BY id
        FOR UPDATE SKIP LOCKED
        "#,
        &old,
    )
    .fetch_all(&mut *transaction)
    .await?;
    // Until the end of the transaction: the trigger keeps the version.
    sqlx::query!("SELECT set_config('trunkline.sealing', 'on', true)")
        .fetch_one(&mut *transaction)
        .await?;
    for row in &held {
        let mut new = |column: Column, envelope: &Option<Vec<u8>>| {
            let envelope = envelope.as_deref().filter(|e| is_old(keyring, e))?;
            match reseal(keyring, TenantId(row.id), column, envelope) {
                Ok(envelope) => {
                    batch.resealed += 1;
                    Some(envelope)
                }
                Err(problem) => {
                    let column = column.name();
                    let left = (row.slug.clone(), Unopened { column, problem });
                    batch.left.push(left);
                    None
                }
            }
        };
        let livekit_api_secret = new(Column::LiveKitApiSecret, &row.livekit_api_secret);
        let call_config_bearer = new(Column::CallConfigBearer, &row.call_config_bearer);
        let call_config_signing_secret = new(
            Column::CallConfigSigningSecret,
            &row.call_config_signing_secret,
        );
        let provider_api_key = new(Column::ProviderApiKey, &row.provider_api_key);
        let fallback_provider_api_key = new(
            Column::FallbackProviderApiKey,
            &row.fallback_provider_api_key,
        );
        sqlx::query!(
            r#"
            UPDATE tenants SET
                livekit_api_secret_sealed = COALESCE($2, livekit_api_secret_sealed),
                call_config_bearer_sealed = COALESCE($3, call_config_bearer_sealed),
                call_config_signing_secret_sealed =
                    COALESCE($4, call_config_signing_secret_sealed),
                provider_api_key_sealed = COALESCE($5, provider_api_key_sealed),
                fallback_provider_api_key_sealed =
                    COALESCE($6, fallback_provider_api_key_sealed)
            WHERE id = $1
            "#,
            row.id,
            livekit_api_secret,
            call_config_bearer,
            call_config_signing_secret,
            provider_api_key,
            fallback_provider_api_key,
        )
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(batch)
}

/// Whether an envelope is to be made anew. What is none is looked at as well, so
/// that it is told.
fn is_old(keyring: &Keyring, envelope: &[u8]) -> bool {
    key_of(envelope).map_or(true, |key| key != keyring.sealing_key().id)
}

fn reseal(
    keyring: &Keyring,
    id: TenantId,
    column: Column,
    envelope: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let secret = keyring.open(id, column, envelope)?;
    keyring
        .seal(id, column, &secret)
        .map_err(|_| OpenError::NotSealed)
}
