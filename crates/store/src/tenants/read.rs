//! Reading rows, with the sealing of what is still in clear on the way.

use sqlx::PgConnection;
use trunkline_domain::{MAX_CONFIG_BYTES, TenantId, TenantVersion};
use uuid::Uuid;

use super::row::{StoredRow, TenantRow};
use super::sealing;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::picture::RowMark;
use crate::store::Store;

impl Store {
    /// All tenants, by slug. Secrets that are still in clear are sealed.
    ///
    /// # Errors
    /// When the database is away or refuses. A row that cannot be run is no
    /// error of the others: it comes with its problem.
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        let keyring = &self.keyring;
        self.with(async |connection: &mut PgConnection| {
            let rows = select(connection, None, None).await?;
            Ok(finish(connection, keyring, rows).await)
        })
        .await
    }

    /// One tenant by its slug. Its secrets are sealed if they are in clear.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant(&self, slug: &str) -> Result<Option<TenantRow>, StoreError> {
        let keyring = &self.keyring;
        self.with(async |connection: &mut PgConnection| {
            let rows = select(connection, Some(slug), None).await?;
            Ok(finish(connection, keyring, rows).await.pop())
        })
        .await
    }
}

/// Every row's mark: what a reconcile compares.
pub(crate) async fn read_marks(connection: &mut PgConnection) -> Result<Vec<RowMark>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT
            id,
            version,
            (
                livekit_api_secret IS NOT NULL
                OR call_config_bearer IS NOT NULL
                OR provider_api_key IS NOT NULL
            ) AS "is_clear!"
        FROM tenants
        "#
    )
    .fetch_all(connection)
    .await?;
    let marks = rows.into_iter().map(|row| RowMark {
        id: TenantId(row.id),
        version: TenantVersion(row.version),
        is_clear: row.is_clear,
    });
    Ok(marks.collect())
}

/// Those of these rows that there are. Secrets that are still in clear are sealed.
pub(crate) async fn read_rows(
    connection: &mut PgConnection,
    keyring: &Keyring,
    ids: &[TenantId],
) -> Result<Vec<TenantRow>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = select(connection, None, Some(&ids)).await?;
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
    ids: Option<&[Uuid]>,
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
        WHERE ($1::text IS NULL OR slug = $1) AND ($3::uuid[] IS NULL OR id = ANY($3))
        ORDER BY slug
        "#,
        slug,
        CONFIG_CHARS,
        ids,
    )
    .fetch_all(connection)
    .await?)
}
