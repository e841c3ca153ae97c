//! Tenants are added.

use secrecy::SecretString;
use serde_json::{Map, Value};
use sqlx::{Connection as _, PgConnection};
use trunkline_domain::{
    ApologyAudio, DEFAULT_AGENT_NAME, InvalidTenant, ProviderKind, TenantFields, TenantId,
    TenantVersion,
};
use uuid::Uuid;

use super::actor::Actor;
use super::change::Enablement;
use super::strict::judge_new;
use super::twin::{Twin, twins};
use crate::error::StoreError;
use crate::keyring::Keyring;
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
    pub agent_names: Vec<String>,
    pub deployment: Option<String>,
    pub call_config_url: Option<String>,
    pub call_config_bearer: Option<SecretString>,
    pub call_config_signing_secret: Option<SecretString>,
    pub call_config_deadline_ms: i32,
    pub answer_deadline_ms: i32,
    pub default_config: Value,
    pub provider: String,
    pub provider_base_url: Option<String>,
    pub provider_api_key: Option<SecretString>,
    pub fallback_provider: Option<String>,
    pub fallback_provider_base_url: Option<String>,
    pub fallback_provider_api_key: Option<SecretString>,
    pub fallback_model: Option<String>,
    pub fallback_voice: Option<String>,
    pub fallback_transfer_to: Option<String>,
    pub apology_audio: Option<ApologyAudio>,
    pub max_calls: Option<i32>,
    pub calls_per_second: Option<f64>,
    pub max_call_minutes: Option<i32>,
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
    /// LiveKit could not tell it from another one.
    #[error(transparent)]
    Twin(#[from] Twin),
    /// A secret could not be sealed.
    #[error("the secrets could not be sealed")]
    Unsealed,
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
            agent_names: vec![DEFAULT_AGENT_NAME.to_owned()],
            deployment: None,
            call_config_url: None,
            call_config_bearer: None,
            call_config_signing_secret: None,
            call_config_deadline_ms: DEFAULT_CALL_CONFIG_DEADLINE_MS,
            answer_deadline_ms: DEFAULT_ANSWER_DEADLINE_MS,
            default_config: Value::Object(Map::new()),
            provider: ProviderKind::OpenAi.as_str().to_owned(),
            provider_base_url: None,
            provider_api_key: None,
            fallback_provider: None,
            fallback_provider_base_url: None,
            fallback_provider_api_key: None,
            fallback_model: None,
            fallback_voice: None,
            fallback_transfer_to: None,
            apology_audio: None,
            max_calls: None,
            calls_per_second: None,
            max_call_minutes: None,
        }
    }

    /// As the row would be read.
    pub(super) fn fields(&self, id: TenantId) -> TenantFields {
        TenantFields {
            id,
            slug: self.slug.clone(),
            version: TenantVersion::default(),
            enabled: self.enabled.is_enabled(),
            livekit_url: self.livekit_url.clone(),
            livekit_api_key: self.livekit_api_key.clone(),
            livekit_api_secret: self.livekit_api_secret.clone(),
            agent_names: self.agent_names.clone(),
            deployment: self.deployment.clone(),
            call_config_url: self.call_config_url.clone(),
            call_config_bearer: self.call_config_bearer.clone(),
            call_config_signing_secret: self.call_config_signing_secret.clone(),
            call_config_deadline_ms: self.call_config_deadline_ms,
            answer_deadline_ms: self.answer_deadline_ms,
            default_config: self.default_config.to_string(),
            provider: self.provider.clone(),
            provider_base_url: self.provider_base_url.clone(),
            provider_api_key: self.provider_api_key.clone(),
            fallback_provider: self.fallback_provider.clone(),
            fallback_provider_base_url: self.fallback_provider_base_url.clone(),
            fallback_provider_api_key: self.fallback_provider_api_key.clone(),
            fallback_model: self.fallback_model.clone(),
            fallback_voice: self.fallback_voice.clone(),
            fallback_transfer_to: self.fallback_transfer_to.clone(),
            apology_audio: self.apology_audio.clone(),
            max_calls: self.max_calls,
            calls_per_second: self.calls_per_second,
            max_call_minutes: self.max_call_minutes,
            confined_urls: Vec::new(),
        }
    }
}

impl Store {
    /// Adds a tenant that can be run. Its secrets reach the database sealed.
    ///
    /// # Errors
    /// When a field is wrong or the slug is taken, or the database is away or
    /// refuses.
    pub async fn add_tenant(
        &self,
        new: NewTenant,
        actor: &Actor,
    ) -> Result<(TenantId, TenantVersion), AddError> {
        // The id is made here: the secrets are sealed under it.
        let id = TenantId(Uuid::new_v4());
        judge_new(&new.fields(id))?;
        let sealed = Sealed::of(&self.keyring, id, &new)?;
        self.with(async |connection: &mut PgConnection| {
            let mut transaction = connection.begin().await.map_err(StoreError::from)?;
            actor.sign(&mut transaction).await?;
            let Some(version) = insert(&mut transaction, id, &new, &sealed).await? else {
                return Err(AddError::SlugTaken { slug: new.slug });
            };
            if let Some(twin) = twins(&mut transaction, &[id.0]).await?.pop() {
                return Err(AddError::Twin(twin));
            }
            transaction.commit().await.map_err(StoreError::from)?;
            Ok((id, version))
        })
        .await
    }
}

/// The secrets as they are stored.
pub(super) struct Sealed {
    livekit_api_secret: Vec<u8>,
    call_config_bearer: Option<Vec<u8>>,
    call_config_signing_secret: Option<Vec<u8>>,
    provider_api_key: Option<Vec<u8>>,
    fallback_provider_api_key: Option<Vec<u8>>,
}

impl Sealed {
    pub(super) fn of(keyring: &Keyring, id: TenantId, new: &NewTenant) -> Result<Self, AddError> {
        let seal = |column, secret: &SecretString| {
            let sealed = keyring.seal(id, column, secret);
            sealed.map_err(|_| AddError::Unsealed)
        };
        let optional = |column, secret: &Option<SecretString>| {
            let secret = secret.as_ref();
            secret.map(|secret| seal(column, secret)).transpose()
        };
        Ok(Self {
            livekit_api_secret: seal(Column::LiveKitApiSecret, &new.livekit_api_secret)?,
            call_config_bearer: optional(Column::CallConfigBearer, &new.call_config_bearer)?,
            call_config_signing_secret: optional(
                Column::CallConfigSigningSecret,
                &new.call_config_signing_secret,
            )?,
            provider_api_key: optional(Column::ProviderApiKey, &new.provider_api_key)?,
            fallback_provider_api_key: optional(
                Column::FallbackProviderApiKey,
                &new.fallback_provider_api_key,
            )?,
        })
    }
}

/// `None`: the slug is taken.
pub(super) async fn insert(
    transaction: &mut PgConnection,
    id: TenantId,
    new: &NewTenant,
    sealed: &Sealed,
) -> Result<Option<TenantVersion>, StoreError> {
    let version = sqlx::query_scalar!(
        r#"
        INSERT INTO tenants (
            id, slug, enabled, livekit_url, livekit_api_key, livekit_api_secret_sealed,
            agent_names, deployment, call_config_url, call_config_bearer_sealed,
            call_config_signing_secret_sealed, call_config_deadline_ms, answer_deadline_ms,
            default_config, provider, provider_base_url, provider_api_key_sealed, max_calls,
            calls_per_second, max_call_minutes, fallback_provider, fallback_provider_base_url,
            fallback_provider_api_key_sealed, fallback_model, fallback_voice,
            fallback_transfer_to, apology_audio
        )
        VALUES (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $20, $21, $22, $23, $24, $25, $26, $27
        )
        ON CONFLICT (slug) DO NOTHING
        RETURNING version
        "#,
        id.0,
        new.slug,
        new.enabled.is_enabled(),
        new.livekit_url,
        new.livekit_api_key,
        sealed.livekit_api_secret,
        &new.agent_names,
        new.deployment,
        new.call_config_url,
        sealed.call_config_bearer,
        sealed.call_config_signing_secret,
        new.call_config_deadline_ms,
        new.answer_deadline_ms,
        new.default_config,
        new.provider,
        new.provider_base_url,
        sealed.provider_api_key,
        new.max_calls,
        new.calls_per_second,
        new.max_call_minutes,
        new.fallback_provider,
        new.fallback_provider_base_url,
        sealed.fallback_provider_api_key,
        new.fallback_model,
        new.fallback_voice,
        new.fallback_transfer_to,
        new.apology_audio.as_ref().map(ApologyAudio::as_bytes),
    )
    .fetch_optional(transaction)
    .await?;
    Ok(version.map(TenantVersion))
}

#[cfg(test)]
mod tests {
    use super::super::update::TenantChange;
    use super::*;

    #[test]
    fn debug_of_what_is_to_be_written_shows_no_secret() {
        let secret = || Some(SecretString::from("hunter2"));
        let mut new = NewTenant::new("acme", "wss://acme.example", "APIkey", "hunter2");
        new.call_config_bearer = secret();
        new.call_config_signing_secret = secret();
        new.provider_api_key = secret();
        new.fallback_provider_api_key = secret();
        let change = TenantChange {
            livekit_api_key: Some("APInew".to_owned()),
            livekit_api_secret: secret(),
            call_config_bearer: Some(secret()),
            call_config_signing_secret: Some(secret()),
            provider_api_key: Some(secret()),
            fallback_provider_api_key: Some(secret()),
            ..TenantChange::default()
        };
        let shown = format!("{new:?} {change:?}");
        assert!(shown.contains("APIkey"), "{shown}");
        assert!(shown.contains("APInew"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
