//! Tenants are added, switched and removed.

use secrecy::SecretString;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use trunkline_domain::{
    DEFAULT_AGENT_NAME, InvalidTenant, ProviderKind, Tenant, TenantFields, TenantId, TenantVersion,
};
use uuid::Uuid;

use crate::error::StoreError;
use crate::seal::Column;
use crate::store::Store;

/// As the database's own default.
const DEFAULT_CALL_CONFIG_DEADLINE_MS: i32 = 4_000;
/// As the database's own default.
const DEFAULT_ANSWER_DEADLINE_MS: i32 = 6_000;

/// A tenant to be added. [`NewTenant::new`] gives everything that has a default
/// the same value as a plain `INSERT` does.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of `TenantFields`")]
pub struct NewTenant {
    pub slug: String,
    pub enabled: Enablement,
    pub livekit_url: String,
    pub livekit_api_key: String,
    pub livekit_api_secret: SecretString,
    pub agent_name: String,
    pub deployment: Option<String>,
    pub call_config_url: Option<String>,
    pub call_config_bearer: Option<SecretString>,
    pub call_config_deadline_ms: i32,
    pub answer_deadline_ms: i32,
    pub default_config: Value,
    pub provider: String,
    pub provider_base_url: Option<String>,
    pub provider_api_key: Option<SecretString>,
    pub max_calls: Option<i32>,
}

/// Whether a tenant takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enablement {
    /// Calls are taken.
    Enabled,
    /// The row is kept, and calls are not taken.
    Disabled,
}

impl Enablement {
    fn is_enabled(self) -> bool {
        self == Self::Enabled
    }
}

/// A tenant was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// It could not be run.
    #[error(transparent)]
    Invalid(#[from] InvalidTenant),
    /// There is one of that name.
    #[error("there is a tenant {slug} already")]
    SlugTaken {
        /// The name.
        slug: String,
    },
    /// A secret could not be sealed.
    #[error("the secrets could not be sealed")]
    Unsealed,
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A tenant was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is none of that name.
    #[error("there is no tenant {slug}; see `trunkline tenant list`")]
    NoSuchTenant {
        /// The name.
        slug: String,
    },
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NewTenant {
    /// A tenant with what has no default.
    pub fn new(
        slug: impl Into<String>,
        livekit_url: impl Into<String>,
        livekit_api_key: impl Into<String>,
        livekit_api_secret: impl Into<SecretString>,
    ) -> Self {
        Self {
            slug: slug.into(),
            enabled: Enablement::Enabled,
            livekit_url: livekit_url.into(),
            livekit_api_key: livekit_api_key.into(),
            livekit_api_secret: livekit_api_secret.into(),
            agent_name: DEFAULT_AGENT_NAME.to_owned(),
            deployment: None,
            call_config_url: None,
            call_config_bearer: None,
            call_config_deadline_ms: DEFAULT_CALL_CONFIG_DEADLINE_MS,
            answer_deadline_ms: DEFAULT_ANSWER_DEADLINE_MS,
            default_config: Value::Object(Map::new()),
            provider: ProviderKind::OpenAi.as_str().to_owned(),
            provider_base_url: None,
            provider_api_key: None,
            max_calls: None,
        }
    }

    /// As the row would be read.
    fn fields(&self, id: TenantId) -> TenantFields {
        TenantFields {
            id,
            slug: self.slug.clone(),
            version: TenantVersion::default(),
            enabled: self.enabled.is_enabled(),
            livekit_url: self.livekit_url.clone(),
            livekit_api_key: self.livekit_api_key.clone(),
            livekit_api_secret: self.livekit_api_secret.clone(),
            agent_name: self.agent_name.clone(),
            deployment: self.deployment.clone(),
            call_config_url: self.call_config_url.clone(),
            call_config_bearer: self.call_config_bearer.clone(),
            call_config_deadline_ms: self.call_config_deadline_ms,
            answer_deadline_ms: self.answer_deadline_ms,
            default_config: self.default_config.to_string(),
            provider: self.provider.clone(),
            provider_base_url: self.provider_base_url.clone(),
            provider_api_key: self.provider_api_key.clone(),
            max_calls: self.max_calls,
            calls_per_second: None,
        }
    }
}

impl Store {
    /// Adds a tenant that can be run. Its secrets reach the database sealed.
    ///
    /// # Errors
    /// When a field is wrong or the slug is taken, or the database is away or
    /// refuses.
    pub async fn add_tenant(&self, new: NewTenant) -> Result<(TenantId, TenantVersion), AddError> {
        // The id is made here: the secrets are sealed under it.
        let id = TenantId(Uuid::new_v4());
        Tenant::try_from(new.fields(id))?;
        let seal = |column, secret: &SecretString| {
            let sealed = self.keyring.seal(id, column, secret);
            sealed.map_err(|_| AddError::Unsealed)
        };
        let api_secret = seal(Column::LiveKitApiSecret, &new.livekit_api_secret)?;
        let bearer = new.call_config_bearer.as_ref();
        let bearer = bearer
            .map(|s| seal(Column::CallConfigBearer, s))
            .transpose()?;
        let model_key = new.provider_api_key.as_ref();
        let model_key = model_key
            .map(|s| seal(Column::ProviderApiKey, s))
            .transpose()?;
        self.with(async |connection: &mut PgConnection| {
            let version = sqlx::query_scalar!(
                r#"
                INSERT INTO tenants (
                    id, slug, enabled, livekit_url, livekit_api_key, livekit_api_secret_sealed,
                    agent_name, deployment, call_config_url, call_config_bearer_sealed,
                    call_config_deadline_ms, answer_deadline_ms, default_config, provider,
                    provider_base_url, provider_api_key_sealed, max_calls
                )
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
                ON CONFLICT (slug) DO NOTHING
                RETURNING version
                "#,
                id.0,
                new.slug,
                new.enabled.is_enabled(),
                new.livekit_url,
                new.livekit_api_key,
                api_secret,
                new.agent_name,
                new.deployment,
                new.call_config_url,
                bearer,
                new.call_config_deadline_ms,
                new.answer_deadline_ms,
                new.default_config,
                new.provider,
                new.provider_base_url,
                model_key,
                new.max_calls,
            )
            .fetch_optional(connection)
            .await
            .map_err(StoreError::from)?;
            match version {
                Some(version) => Ok((id, TenantVersion(version))),
                None => Err(AddError::SlugTaken { slug: new.slug }),
            }
        })
        .await
    }

    /// Lets a tenant take calls, or stops it. Calls under way go on.
    ///
    /// # Errors
    /// When there is no such tenant, or the database is away or refuses.
    pub async fn set_enabled(
        &self,
        slug: &str,
        enabled: Enablement,
    ) -> Result<TenantVersion, ChangeError> {
        self.with(async |connection: &mut PgConnection| {
            sqlx::query_scalar!(
                "UPDATE tenants SET enabled = $2 WHERE slug = $1 RETURNING version",
                slug,
                enabled.is_enabled(),
            )
            .fetch_optional(connection)
            .await
            .map_err(StoreError::from)?
            .map(TenantVersion)
            .ok_or_else(|| ChangeError::NoSuchTenant {
                slug: slug.to_owned(),
            })
        })
        .await
    }

    /// Removes a tenant, with its secrets. Calls under way go on, and the records
    /// of its calls stay.
    ///
    /// # Errors
    /// When there is no such tenant, or the database is away or refuses.
    pub async fn remove_tenant(&self, slug: &str) -> Result<TenantId, ChangeError> {
        self.with(async |connection: &mut PgConnection| {
            sqlx::query_scalar!("DELETE FROM tenants WHERE slug = $1 RETURNING id", slug)
                .fetch_optional(connection)
                .await
                .map_err(StoreError::from)?
                .map(TenantId)
                .ok_or_else(|| ChangeError::NoSuchTenant {
                    slug: slug.to_owned(),
                })
        })
        .await
    }
}
