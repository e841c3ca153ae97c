//! Reading rows, with the sealing of what is still in clear on the way.

use sqlx::PgConnection;
use trunkline_domain::{MAX_CONFIG_BYTES, TenantId, TenantVersion};
use uuid::Uuid;

use super::record::TenantRecord;
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
            let selection = Selection {
                recordings: Recordings::Read,
                ..Selection::default()
            };
            let rows = select(connection, selection).await?;
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
            let selection = Selection {
                recordings: Recordings::Read,
                ..Selection::of(slug)
            };
            let rows = select(connection, selection).await?;
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
                OR call_config_signing_secret IS NOT NULL
                OR provider_api_key IS NOT NULL
                OR fallback_provider_api_key IS NOT NULL
            ) AS "is_clear!"
        FROM tenants
        WHERE removed_at IS NULL
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
    let selection = Selection {
        ids: Some(&ids),
        recordings: Recordings::Read,
        ..Selection::default()
    };
    let rows = select(connection, selection).await?;
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

/// The same with what the columns hold, for people.
pub(super) async fn finish_records(
    connection: &mut PgConnection,
    keyring: &Keyring,
    rows: Vec<StoredRow>,
) -> Vec<TenantRecord> {
    sealing::seal_clear_text(connection, keyring, &rows).await;
    let records = rows.into_iter().map(|row| {
        let (settings, created_at) = (row.settings(), row.created_at);
        let TenantRow {
            id,
            slug,
            version,
            enabled,
            updated_at,
            tenant,
        } = row.into_row(keyring);
        TenantRecord {
            id,
            slug,
            version,
            enabled,
            created_at,
            updated_at,
            settings,
            tenant,
        }
    });
    records.collect()
}

/// How much of a default configuration is read: so much that one that is too long
/// is seen to be. As text, because one row whose JSON cannot be parsed must not
/// keep all the others from being read.
const CONFIG_CHARS: i32 = MAX_CONFIG_BYTES as i32 + 1;

/// Which rows. Those of removed tenants are never among them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Selection<'a> {
    pub(super) ids: Option<&'a [Uuid]>,
    pub(super) slug: Option<&'a str>,
    /// Slugs behind this one.
    pub(super) after: Option<&'a str>,
    /// Slugs that hold this text.
    pub(super) holding: Option<&'a str>,
    pub(super) enabled: Option<bool>,
    /// `None`: all.
    pub(super) limit: Option<i64>,
    pub(super) recordings: Recordings,
}

/// Whether the recordings of the rows are read, which are the largest part of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Recordings {
    /// By those who change or show a row: its length is enough to them.
    #[default]
    Left,
    /// By those who run its calls.
    Read,
}

impl<'a> Selection<'a> {
    pub(super) fn of(slug: &'a str) -> Self {
        Self {
            slug: Some(slug),
            ..Self::default()
        }
    }
}

pub(super) async fn select(
    connection: &mut PgConnection,
    selection: Selection<'_>,
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
            array_remove(agent_names, NULL) AS "agent_names!",
            deployment,
            call_config_url,
            call_config_bearer AS "call_config_bearer: _",
            call_config_bearer_sealed,
            call_config_signing_secret AS "call_config_signing_secret: _",
            call_config_signing_secret_sealed,
            call_config_deadline_ms,
            answer_deadline_ms,
            left(default_config::text, $1) AS "default_config!",
            provider,
            provider_base_url,
            provider_api_key AS "provider_api_key: _",
            provider_api_key_sealed,
            fallback_provider,
            fallback_provider_base_url,
            fallback_provider_api_key AS "fallback_provider_api_key: _",
            fallback_provider_api_key_sealed,
            fallback_model,
            fallback_voice,
            fallback_transfer_to,
            CASE WHEN $8 THEN apology_audio END AS apology_audio,
            octet_length(apology_audio) AS apology_audio_bytes,
            max_calls,
            calls_per_second,
            max_call_minutes,
            array_remove(confined_urls, NULL) AS confined_urls,
            version,
            created_at,
            updated_at
        FROM tenants
        WHERE removed_at IS NULL
            AND ($2::text IS NULL OR slug = $2)
            AND ($3::text IS NULL OR slug > $3)
            AND ($4::text IS NULL OR strpos(slug, $4) > 0)
            AND ($5::boolean IS NULL OR enabled = $5)
            AND ($7::uuid[] IS NULL OR id = ANY($7))
        ORDER BY slug
        LIMIT $6
        "#,
        CONFIG_CHARS,
        selection.slug,
        selection.after,
        selection.holding,
        selection.enabled,
        selection.limit,
        selection.ids,
        selection.recordings == Recordings::Read,
    )
    .fetch_all(connection)
    .await?)
}
