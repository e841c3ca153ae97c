//! From a row to a tenant that can be run, or to what is wrong with the row.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use trunkline_domain::{
    ApologyAudio, InvalidTenant, Tenant, TenantFields, TenantId, TenantVersion,
};
use uuid::Uuid;

use crate::keyring::Keyring;
use crate::seal::{Column, OpenError};
use crate::secret::ClearText;

/// A row of `tenants`: a tenant that can be run, or why it cannot.
#[derive(Debug, Clone)]
pub struct TenantRow {
    /// Identity.
    pub id: TenantId,
    /// Name for people, as it stands in the row. A wrong one is a problem of
    /// [`TenantRow::tenant`].
    pub slug: String,
    /// Raised with every change of the row.
    pub version: TenantVersion,
    /// Whether calls are to be taken. Known of rows that cannot be run as well.
    pub enabled: bool,
    /// When the row changed last.
    pub updated_at: DateTime<Utc>,
    /// What the row says.
    pub tenant: Result<Arc<Tenant>, RowProblem>,
}

/// Why a row cannot be run. Its text never holds a value of the row that could
/// be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// Fields are missing or wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidTenant),
    /// Secrets cannot be opened. Beside them fields can be wrong.
    #[error("{}", Join(.0, .1.as_ref()))]
    Unsealable(Vec<Unopened>, Option<InvalidTenant>),
}

/// One secret that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column} {problem}")]
pub struct Unopened {
    /// The column.
    pub column: &'static str,
    /// What is wrong.
    pub problem: OpenError,
}

impl RowProblem {
    /// Whether the keys of this process are what is wrong, as far as it can tell, and not
    /// the row.
    pub fn is_about_keys(&self) -> bool {
        let lacks_key = |unopened: &Unopened| {
            let problem = &unopened.problem;
            matches!(
                problem,
                OpenError::UnknownKey { .. } | OpenError::Refused { .. }
            )
        };
        match self {
            Self::Invalid(_) => false,
            Self::Unsealable(secrets, fields) => fields.is_none() && secrets.iter().all(lacks_key),
        }
    }
}

struct Join<'a>(&'a [Unopened], Option<&'a InvalidTenant>);

impl fmt::Display for Join<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, problem)| {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")
        })?;
        match self.1 {
            Some(fields) => write!(f, "; {fields}"),
            None => Ok(()),
        }
    }
}

/// The columns that are read, as they are read.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) id: Uuid,
    pub(super) slug: String,
    pub(super) enabled: bool,
    pub(super) livekit_url: String,
    pub(super) livekit_api_key: String,
    pub(super) livekit_api_secret: Option<ClearText>,
    pub(super) livekit_api_secret_sealed: Option<Vec<u8>>,
    pub(super) agent_names: Vec<String>,
    pub(super) deployment: Option<String>,
    pub(super) call_config_url: Option<String>,
    pub(super) call_config_bearer: Option<ClearText>,
    pub(super) call_config_bearer_sealed: Option<Vec<u8>>,
    pub(super) call_config_signing_secret: Option<ClearText>,
    pub(super) call_config_signing_secret_sealed: Option<Vec<u8>>,
    pub(super) call_config_deadline_ms: i32,
    pub(super) answer_deadline_ms: i32,
    pub(super) default_config: String,
    pub(super) provider: String,
    pub(super) provider_base_url: Option<String>,
    pub(super) provider_api_key: Option<ClearText>,
    pub(super) provider_api_key_sealed: Option<Vec<u8>>,
    pub(super) fallback_provider: Option<String>,
    pub(super) fallback_provider_base_url: Option<String>,
    pub(super) fallback_provider_api_key: Option<ClearText>,
    pub(super) fallback_provider_api_key_sealed: Option<Vec<u8>>,
    pub(super) fallback_model: Option<String>,
    pub(super) fallback_voice: Option<String>,
    pub(super) fallback_transfer_to: Option<String>,
    /// `None` as well where it was not to be read.
    pub(super) apology_audio: Option<Vec<u8>>,
    pub(super) apology_audio_bytes: Option<i32>,
    pub(super) max_calls: Option<i32>,
    pub(super) calls_per_second: Option<f64>,
    pub(super) max_call_minutes: Option<i32>,
    pub(super) confined_urls: Option<Vec<String>>,
    pub(super) version: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

impl StoredRow {
    /// Opens the secrets and checks everything.
    pub(super) fn into_row(self, keyring: &Keyring) -> TenantRow {
        let (id, version) = (TenantId(self.id), TenantVersion(self.version));
        let (slug, enabled, updated_at) = (self.slug.clone(), self.enabled, self.updated_at);
        let (mut fields, unopened) = self.into_fields(keyring);
        let tenant = if unopened.is_empty() {
            Tenant::try_from(fields)
                .map(Arc::new)
                .map_err(RowProblem::from)
        } else {
            let is_api_secret = |u: &Unopened| u.column == Column::LiveKitApiSecret.name();
            if unopened.iter().any(is_api_secret) {
                // It is there, and told of already.
                fields.livekit_api_secret = "unopened".into();
            }
            Err(RowProblem::Unsealable(
                unopened,
                Tenant::try_from(fields).err(),
            ))
        };
        TenantRow {
            id,
            slug,
            version,
            enabled,
            updated_at,
            tenant,
        }
    }

    /// Opens the secrets. One that does not open is not there, and told.
    pub(super) fn into_fields(self, keyring: &Keyring) -> (TenantFields, Vec<Unopened>) {
        let id = TenantId(self.id);
        let mut unopened = Vec::new();
        let mut secret = |column: Column, clear: Option<ClearText>, sealed: Option<Vec<u8>>| {
            effective(keyring, id, column, clear, sealed.as_deref()).unwrap_or_else(|problem| {
                let column = column.name();
                unopened.push(Unopened { column, problem });
                None
            })
        };
        let livekit_api_secret = secret(
            Column::LiveKitApiSecret,
            self.livekit_api_secret,
            self.livekit_api_secret_sealed,
        );
        let call_config_bearer = secret(
            Column::CallConfigBearer,
            self.call_config_bearer,
            self.call_config_bearer_sealed,
        );
        let call_config_signing_secret = secret(
            Column::CallConfigSigningSecret,
            self.call_config_signing_secret,
            self.call_config_signing_secret_sealed,
        );
        let provider_api_key = secret(
            Column::ProviderApiKey,
            self.provider_api_key,
            self.provider_api_key_sealed,
        );
        let fallback_provider_api_key = secret(
            Column::FallbackProviderApiKey,
            self.fallback_provider_api_key,
            self.fallback_provider_api_key_sealed,
        );
        let fields = TenantFields {
            id,
            slug: self.slug,
            version: TenantVersion(self.version),
            enabled: self.enabled,
            livekit_url: self.livekit_url,
            livekit_api_key: self.livekit_api_key,
            // The domain says that it must not be empty.
            livekit_api_secret: livekit_api_secret.unwrap_or_default(),
            agent_names: self.agent_names,
            deployment: self.deployment,
            call_config_url: self.call_config_url,
            call_config_bearer,
            call_config_signing_secret,
            call_config_deadline_ms: self.call_config_deadline_ms,
            answer_deadline_ms: self.answer_deadline_ms,
            default_config: self.default_config,
            provider: self.provider,
            provider_base_url: self.provider_base_url,
            provider_api_key,
            fallback_provider: self.fallback_provider,
            fallback_provider_base_url: self.fallback_provider_base_url,
            fallback_provider_api_key,
            fallback_model: self.fallback_model,
            fallback_voice: self.fallback_voice,
            fallback_transfer_to: self.fallback_transfer_to,
            apology_audio: self.apology_audio.map(ApologyAudio::from),
            max_calls: self.max_calls,
            calls_per_second: self.calls_per_second,
            max_call_minutes: self.max_call_minutes,
            confined_urls: self.confined_urls.unwrap_or_default(),
        };
        (fields, unopened)
    }
}

/// The value that holds: a clear text over what is sealed; an empty one is none.
fn effective(
    keyring: &Keyring,
    id: TenantId,
    column: Column,
    clear: Option<ClearText>,
    sealed: Option<&[u8]>,
) -> Result<Option<SecretString>, OpenError> {
    match (clear, sealed) {
        (Some(clear), _) => Ok((!clear.is_empty()).then(|| clear.into_secret())),
        (None, Some(envelope)) => keyring.open(id, column, envelope).map(Some),
        (None, None) => Ok(None),
    }
}
