//! Reading rows, with the sealing of what is still in clear on the way.

use sqlx::PgConnection;
use trunkline_domain::MAX_CONFIG_BYTES;

use super::row::{StoredRow, TenantRow};
use super::sealing;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::store::Store;

impl Store {
    /// All tenants, by slug. Secrets that are still in clear are sealed.
    ///
    /// # Errors
    /// When the database is away or refuses. A row that cannot be run is no
    /// error of the others: it comes with its problem.
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        let keyring = &self.keyring;
        self.with(async |connection: &mut PgConnection| read_all(connection, keyring).await)
            .await
    }

    /// One tenant by its slug. Its secrets are sealed if they are in clear.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant(&self, slug: &str) -> Result<Option<TenantRow>, StoreError> {
        let keyring = &self.keyring;
        self.with(async |connection: &mut PgConnection| {
            let rows = select(connection, Some(slug)).await?;
            Ok(finish(connection, keyring, rows).await.pop())
        })
        .await
    }
}

/// The whole picture.
pub(crate) async fn read_all(
    connection: &mut PgConnection,
    keyring: &Keyring,
) -> Result<Vec<TenantRow>, StoreError> {
    let rows = select(connection, None).await?;
    Ok(finish(connection, keyring, rows).await)
}

/// The rows are of one moment and hold their own values, so a sealing that loses
/// a race, or fails, takes nothing from them.
async fn finish(
    connection: &mut PgConnection,
    keyring: &Keyring,
    rows: Vec<StoredRow>,
) -> Vec<TenantRow> {
    sealing::seal_clear_text(connection, keyring, &rows).await;
    rows.into_iter().map(|row| row.into_row(keyring)).collect()
}

/// How much of a default configuration is read: so much that one that is too long
/// is seen to be. As text, because one row whose JSON cannot be parsed must not
/// keep all the others from being read.
const CONFIG_CHARS: i32 = MAX_CONFIG_BYTES as i32 + 1;

async fn select(
    connection: &mut PgConnection,
    slug: Option<&str>,
) -> Result<Vec<StoredRow>, StoreError> {
    Ok(sqlx::query_as!(
        StoredRow,
        r#"
        SELECT
            id,
            slug,
            enabled,
            livekit_url,
            livekit_api_key,
            livekit_api_secret AS "livekit_api_secret: _",
            livekit_api_secret_sealed,
            agent_name,
            deployment,
            call_config_url,
            call_config_bearer AS "call_config_bearer: _",
            call_config_bearer_sealed,
            call_config_deadline_ms,
            answer_deadline_ms,
            left(default_config::text, $2) AS "default_config!",
            provider,
            provider_base_url,
            provider_api_key AS "provider_api_key: _",
            provider_api_key_sealed,
            max_calls,
            version,
            updated_at
        FROM tenants
        WHERE $1::text IS NULL OR slug = $1
        ORDER BY slug
        "#,
        slug,
        CONFIG_CHARS,
    )
    .fetch_all(connection)
    .await?)
}
