//! Tenants are changed.

use secrecy::SecretString;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use trunkline_domain::{
    ApologyAudio, InvalidTenant, Tenant, TenantFields, TenantId, TenantVersion,
};

use super::actor::Actor;
use super::change::{ChangeError, Enablement, Expected, hold};
use super::read::{Selection, select};
use super::row::Unopened;
use super::strict;
use super::twin::twins;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::seal::Column;
use crate::store::Store;

/// What is to be changed of a tenant. `None`: it stays. Where a field may be absent,
/// `Some(None)` takes it away.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of `TenantFields`")]
pub struct TenantChange {
    pub slug: Option<String>,
    pub enabled: Option<Enablement>,
    pub livekit_url: Option<String>,
    pub livekit_api_key: Option<String>,
    pub livekit_api_secret: Option<SecretString>,
    pub agent_names: Option<Vec<String>>,
    pub deployment: Option<Option<String>>,
    pub call_config_url: Option<Option<String>>,
    pub call_config_bearer: Option<Option<SecretString>>,
    pub call_config_signing_secret: Option<Option<SecretString>>,
    pub call_config_deadline_ms: Option<i32>,
    pub answer_deadline_ms: Option<i32>,
    pub default_config: Option<Value>,
    pub provider: Option<String>,
    pub provider_base_url: Option<Option<String>>,
    pub provider_api_key: Option<Option<SecretString>>,
    pub fallback_provider: Option<Option<String>>,
    pub fallback_provider_base_url: Option<Option<String>>,
    pub fallback_provider_api_key: Option<Option<SecretString>>,
    pub fallback_model: Option<Option<String>>,
    pub fallback_voice: Option<Option<String>>,
    pub fallback_transfer_to: Option<Option<String>>,
    pub apology_audio: Option<Option<ApologyAudio>>,
    pub max_calls: Option<Option<i32>>,
    pub calls_per_second: Option<Option<f64>>,
    pub max_call_minutes: Option<Option<i32>>,
}

impl TenantChange {
    /// The fields as they are to be.
    fn over(&self, now: TenantFields) -> TenantFields {
        fn or<T: Clone>(new: &Option<T>, now: T) -> T {
            new.clone().unwrap_or(now)
        }
        TenantFields {
            id: now.id,
            version: now.version,
            slug: or(&self.slug, now.slug),
            enabled: self.enabled.map_or(now.enabled, Enablement::is_enabled),
            livekit_url: or(&self.livekit_url, now.livekit_url),
            livekit_api_key: or(&self.livekit_api_key, now.livekit_api_key),
            livekit_api_secret: or(&self.livekit_api_secret, now.livekit_api_secret),
            agent_names: or(&self.agent_names, now.agent_names),
            deployment: or(&self.deployment, now.deployment),
            call_config_url: or(&self.call_config_url, now.call_config_url),
            call_config_bearer: or(&self.call_config_bearer, now.call_config_bearer),
            call_config_signing_secret: or(
                &self.call_config_signing_secret,
                now.call_config_signing_secret,
            ),
            call_config_deadline_ms: or(&self.call_config_deadline_ms, now.call_config_deadline_ms),
            answer_deadline_ms: or(&self.answer_deadline_ms, now.answer_deadline_ms),
            default_config: match &self.default_config {
                Some(config) => config.to_string(),
                None => now.default_config,
            },
            provider: or(&self.provider, now.provider),
            provider_base_url: or(&self.provider_base_url, now.provider_base_url),
            provider_api_key: or(&self.provider_api_key, now.provider_api_key),
            fallback_provider: or(&self.fallback_provider, now.fallback_provider),
            fallback_provider_base_url: or(
                &self.fallback_provider_base_url,
                now.fallback_provider_base_url,
            ),
            fallback_provider_api_key: or(
                &self.fallback_provider_api_key,
                now.fallback_provider_api_key,
            ),
            fallback_model: or(&self.fallback_model, now.fallback_model),
            fallback_voice: or(&self.fallback_voice, now.fallback_voice),
            fallback_transfer_to: or(&self.fallback_transfer_to, now.fallback_transfer_to),
            apology_audio: or(&self.apology_audio, now.apology_audio),
            max_calls: or(&self.max_calls, now.max_calls),
            calls_per_second: or(&self.calls_per_second, now.calls_per_second),
            max_call_minutes: or(&self.max_call_minutes, now.max_call_minutes),
            confined_urls: now.confined_urls,
        }
    }

    /// Whether this column's value, which does not open, would stay.
    fn keeps(&self, unopened: &Unopened) -> bool {
        let is = |column: Column| unopened.column == column.name();
        !(is(Column::LiveKitApiSecret) && self.livekit_api_secret.is_some()
            || is(Column::CallConfigBearer) && self.call_config_bearer.is_some()
            || is(Column::CallConfigSigningSecret) && self.call_config_signing_secret.is_some()
            || is(Column::ProviderApiKey) && self.provider_api_key.is_some()
            || is(Column::FallbackProviderApiKey) && self.fallback_provider_api_key.is_some())
    }
}

/// A secret's column as it is to be: `None`, as it is; `Some(None)`, empty.
type SealedChange = Option<Option<Vec<u8>>>;

pub(super) struct SealedChanges {
    livekit_api_secret: SealedChange,
    call_config_bearer: SealedChange,
    call_config_signing_secret: SealedChange,
    provider_api_key: SealedChange,
    fallback_provider_api_key: SealedChange,
}

impl SealedChanges {
    pub(super) fn of(
        keyring: &Keyring,
        id: TenantId,
        change: &TenantChange,
    ) -> Result<Self, ChangeError> {
        let seal = |column, secret: &SecretString| {
            let sealed = keyring.seal(id, column, secret);
            sealed.map_err(|_| ChangeError::Unsealed)
        };
        let optional = |column, new: &Option<Option<SecretString>>| match new {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(secret)) => seal(column, secret).map(|sealed| Some(Some(sealed))),
        };
        let api_secret = change.livekit_api_secret.clone().map(Some);
        Ok(Self {
            livekit_api_secret: optional(Column::LiveKitApiSecret, &api_secret)?,
            call_config_bearer: optional(Column::CallConfigBearer, &change.call_config_bearer)?,
            call_config_signing_secret: optional(
                Column::CallConfigSigningSecret,
                &change.call_config_signing_secret,
            )?,
            provider_api_key: optional(Column::ProviderApiKey, &change.provider_api_key)?,
            fallback_provider_api_key: optional(
                Column::FallbackProviderApiKey,
                &change.fallback_provider_api_key,
            )?,
        })
    }
}

impl Store {
    /// Changes a tenant to one that can be run. New secrets reach the database sealed.
    /// A change that changes nothing makes no new version.
    ///
    /// # Errors
    /// When there is no such tenant, it is of another version than expected, it could
    /// not be run as changed, the new slug is taken, or the database is away or refuses.
    pub async fn update_tenant(
        &self,
        slug: &str,
        change: TenantChange,
        expected: Expected,
        actor: &Actor,
    ) -> Result<TenantVersion, ChangeError> {
        let keyring = &self.keyring;
        self.with(async |connection: &mut PgConnection| {
            let mut transaction = connection.begin().await.map_err(StoreError::from)?;
            actor.sign(&mut transaction).await?;
            let (id, version) = hold(&mut transaction, slug, expected).await?;
            let row = select(&mut transaction, Selection::of(slug)).await?.pop();
            let Some(row) = row else {
                unreachable!("the row is held by this transaction");
            };
            let (now, unopened) = row.into_fields(keyring);
            let fields = check(&change, now, &unopened, actor)?;
            let sealed = SealedChanges::of(keyring, id, &change)?;
            let version = write(&mut transaction, &fields, &change, sealed)
                .await
                .map_err(|error| ChangeError::of(error, &fields.slug))?
                .unwrap_or(version);
            if let Some(twin) = twins(&mut transaction, &[id.0]).await?.pop() {
                return Err(twin.into());
            }
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(version)
        })
        .await
    }
}

/// The fields as they are to be, which can be run but for secrets that this process
/// cannot open and that stay as they are.
pub(super) fn check(
    change: &TenantChange,
    now: TenantFields,
    unopened: &[Unopened],
    actor: &Actor,
) -> Result<TenantFields, InvalidTenant> {
    let strict = strict::of_change(change, &now, unopened, actor);
    let fields = change.over(now);
    let mut checked = fields.clone();
    let is_api_secret = |u: &&Unopened| u.column == Column::LiveKitApiSecret.name();
    if unopened
        .iter()
        .find(is_api_secret)
        .is_some_and(|u| change.keeps(u))
    {
        // It is there, and is not for this process to judge.
        checked.livekit_api_secret = "unopened".into();
    }
    strict::both(Tenant::try_from(checked), strict)?;
    Ok(fields)
}

pub(super) async fn write(
    transaction: &mut PgConnection,
    fields: &TenantFields,
    change: &TenantChange,
    sealed: SealedChanges,
) -> Result<Option<TenantVersion>, StoreError> {
    let SealedChanges {
        livekit_api_secret,
        call_config_bearer,
        call_config_signing_secret,
        provider_api_key,
        fallback_provider_api_key,
    } = sealed;
    let apology = change.apology_audio.as_ref();
    let version = sqlx::query_scalar!(
        r#"
        UPDATE tenants SET
            slug = $2,
            enabled = $3,
            livekit_url = $4,
            livekit_api_key = $5,
            agent_names = $6,
            deployment = $7,
            call_config_url = $8,
            call_config_deadline_ms = $9,
            answer_deadline_ms = $10,
            default_config = coalesce($11, default_config),
            provider = $12,
            provider_base_url = $13,
            max_calls = $14,
            calls_per_second = $15,
            max_call_minutes = $16,
            livekit_api_secret =
                CASE WHEN $17::boolean THEN NULL ELSE livekit_api_secret END,
            livekit_api_secret_sealed =
                CASE WHEN $17 THEN $18::bytea ELSE livekit_api_secret_sealed END,
            call_config_bearer =
                CASE WHEN $19::boolean THEN NULL ELSE call_config_bearer END,
            call_config_bearer_sealed =
                CASE WHEN $19 THEN $20::bytea ELSE call_config_bearer_sealed END,
            call_config_signing_secret =
                CASE WHEN $21::boolean THEN NULL ELSE call_config_signing_secret END,
            call_config_signing_secret_sealed =
                CASE WHEN $21 THEN $22::bytea ELSE call_config_signing_secret_sealed END,
            provider_api_key =
                CASE WHEN $23::boolean THEN NULL ELSE provider_api_key END,
            provider_api_key_sealed =
                CASE WHEN $23 THEN $24::bytea ELSE provider_api_key_sealed END,
            fallback_provider = $25,
            fallback_provider_base_url = $26,
            fallback_model = $27,
            fallback_voice = $28,
            fallback_transfer_to = $29,
            fallback_provider_api_key =
                CASE WHEN $30::boolean THEN NULL ELSE fallback_provider_api_key END,
            fallback_provider_api_key_sealed =
                CASE WHEN $30 THEN $31::bytea ELSE fallback_provider_api_key_sealed END,
            apology_audio = CASE WHEN $32::boolean THEN $33::bytea ELSE apology_audio END
        WHERE id = $1
        RETURNING version
        "#,
        fields.id.0,
        fields.slug,
        fields.enabled,
        fields.livekit_url,
        fields.livekit_api_key,
        &fields.agent_names,
        fields.deployment,
        fields.call_config_url,
        fields.call_config_deadline_ms,
        fields.answer_deadline_ms,
        change.default_config.as_ref(),
        fields.provider,
        fields.provider_base_url,
        fields.max_calls,
        fields.calls_per_second,
        fields.max_call_minutes,
        livekit_api_secret.is_some(),
        livekit_api_secret.flatten(),
        call_config_bearer.is_some(),
        call_config_bearer.flatten(),
        call_config_signing_secret.is_some(),
        call_config_signing_secret.flatten(),
        provider_api_key.is_some(),
        provider_api_key.flatten(),
        fields.fallback_provider,
        fields.fallback_provider_base_url,
        fields.fallback_model,
        fields.fallback_voice,
        fields.fallback_transfer_to,
        fallback_provider_api_key.is_some(),
        fallback_provider_api_key.flatten(),
        apology.is_some(),
        apology.and_then(|apology| Some(apology.as_ref()?.as_bytes())),
    )
    .fetch_optional(transaction)
    .await?;
    Ok(version.map(TenantVersion))
}
