//! Tenants as their rows say, whether they can be run or not: for people.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use trunkline_domain::{Tenant, TenantId, TenantVersion};

use super::MAX_PAGE;
use super::change::Enablement;
use super::read::{Selection, finish_records, select};
use super::row::{RowProblem, StoredRow, TenantRow};
use crate::error::StoreError;
use crate::seal::Column;
use crate::secret::ClearText;
use crate::store::Store;

/// A tenant's row, without its secrets.
#[derive(Debug, Clone)]
pub struct TenantRecord {
    /// Identity.
    pub id: TenantId,
    /// Name for people, as it stands in the row.
    pub slug: String,
    /// Raised with every change of the row.
    pub version: TenantVersion,
    /// Whether calls are to be taken.
    pub enabled: bool,
    /// When the row was written first.
    pub created_at: DateTime<Utc>,
    /// When the row changed last.
    pub updated_at: DateTime<Utc>,
    /// What the columns hold, right or wrong.
    pub settings: TenantSettings,
    /// The tenant that can be run, without its apology; or why it cannot.
    pub tenant: Result<Arc<Tenant>, RowProblem>,
}

impl TenantRecord {
    /// As replicas read it.
    pub fn row(&self) -> TenantRow {
        TenantRow {
            id: self.id,
            slug: self.slug.clone(),
            version: self.version,
            enabled: self.enabled,
            updated_at: self.updated_at,
            tenant: self.tenant.clone(),
        }
    }
}

/// What the columns hold, right or wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the columns of `tenants`, commented there"
)]
pub struct TenantSettings {
    pub livekit_url: String,
    pub livekit_api_key: String,
    pub agent_names: Vec<String>,
    pub deployment: Option<String>,
    pub call_config_url: Option<String>,
    pub call_config_deadline_ms: i32,
    pub answer_deadline_ms: i32,
    /// `null` where it is too long, or nested too deeply, to be read.
    pub default_config: Value,
    pub provider: String,
    pub provider_base_url: Option<String>,
    pub fallback_provider: Option<String>,
    pub fallback_provider_base_url: Option<String>,
    pub fallback_model: Option<String>,
    pub fallback_voice: Option<String>,
    pub fallback_transfer_to: Option<String>,
    /// How long the apology of its own is. It is read by those who run calls alone.
    pub apology_audio_bytes: Option<i32>,
    pub max_calls: Option<i32>,
    pub calls_per_second: Option<f64>,
    pub max_call_minutes: Option<i32>,
    /// The names of the secrets that are there.
    pub secrets: Vec<&'static str>,
}

/// Which tenants are listed.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Slugs that hold this text.
    pub slug_contains: Option<String>,
    /// Those that take calls, or those that do not.
    pub enabled: Option<Enablement>,
}

/// Some tenants by slug.
#[derive(Debug, Clone)]
pub struct TenantPage {
    /// In the order of their slugs.
    pub tenants: Vec<TenantRecord>,
    /// The slug behind which the next page begins. `None`: this is the last one.
    pub next: Option<String>,
}

impl Store {
    /// The row of a tenant.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant_record(&self, slug: &str) -> Result<Option<TenantRecord>, StoreError> {
        let mut records = self.records(Selection::of(slug)).await?;
        Ok(records.pop())
    }

    /// Rows by slug: at most `limit` (1 to 200) of those behind the slug `after`.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn tenant_page(
        &self,
        filter: &TenantFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<TenantPage, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut tenants = self
            .records(Selection {
                after,
                holding: filter.slug_contains.as_deref(),
                enabled: filter.enabled.map(Enablement::is_enabled),
                // One more tells whether there are more.
                limit: Some(i64::from(limit) + 1),
                ..Selection::default()
            })
            .await?;
        let is_last = tenants.len() <= limit as usize;
        tenants.truncate(limit as usize);
        let next = tenants.last().filter(|_| !is_last);
        Ok(TenantPage {
            next: next.map(|record| record.slug.clone()),
            tenants,
        })
    }

    async fn records(&self, selection: Selection<'_>) -> Result<Vec<TenantRecord>, StoreError> {
        let keyring = &self.keyring;
        self.with(async |connection: &mut PgConnection| {
            let rows = select(connection, selection).await?;
            Ok(finish_records(connection, keyring, rows).await)
        })
        .await
    }
}

impl StoredRow {
    pub(super) fn settings(&self) -> TenantSettings {
        let is_set = |clear: &Option<ClearText>, sealed: &Option<Vec<u8>>| match clear {
            Some(clear) => !clear.is_empty(),
            None => sealed.is_some(),
        };
        let secrets = [
            (
                Column::LiveKitApiSecret,
                is_set(&self.livekit_api_secret, &self.livekit_api_secret_sealed),
            ),
            (
                Column::CallConfigBearer,
                is_set(&self.call_config_bearer, &self.call_config_bearer_sealed),
            ),
            (
                Column::CallConfigSigningSecret,
                is_set(
                    &self.call_config_signing_secret,
                    &self.call_config_signing_secret_sealed,
                ),
            ),
            (
                Column::ProviderApiKey,
                is_set(&self.provider_api_key, &self.provider_api_key_sealed),
            ),
            (
                Column::FallbackProviderApiKey,
                is_set(
                    &self.fallback_provider_api_key,
                    &self.fallback_provider_api_key_sealed,
                ),
            ),
        ];
        let secrets = secrets.into_iter().filter(|(_, set)| *set);
        TenantSettings {
            livekit_url: without_login(&self.livekit_url),
            livekit_api_key: self.livekit_api_key.clone(),
            agent_names: self.agent_names.clone(),
            deployment: self.deployment.clone(),
            call_config_url: self.call_config_url.as_deref().map(without_login),
            call_config_deadline_ms: self.call_config_deadline_ms,
            answer_deadline_ms: self.answer_deadline_ms,
            default_config: serde_json::from_str(&self.default_config).unwrap_or_default(),
            provider: self.provider.clone(),
            provider_base_url: self.provider_base_url.as_deref().map(without_login),
            fallback_provider: self.fallback_provider.clone(),
            fallback_provider_base_url: self
                .fallback_provider_base_url
                .as_deref()
                .map(without_login),
            fallback_model: self.fallback_model.clone(),
            fallback_voice: self.fallback_voice.clone(),
            fallback_transfer_to: self.fallback_transfer_to.clone(),
            apology_audio_bytes: self.apology_audio_bytes,
            max_calls: self.max_calls,
            calls_per_second: self.calls_per_second,
            max_call_minutes: self.max_call_minutes,
            secrets: secrets.map(|(column, _)| column.name()).collect(),
        }
    }
}

/// Rows of an earlier time can hold a password in a URL.
pub(super) fn without_login(url: &str) -> String {
    if url.contains('@') {
        "(not shown: it may hold a password)".to_owned()
    } else {
        url.to_owned()
    }
}
