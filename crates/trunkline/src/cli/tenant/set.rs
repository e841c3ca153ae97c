//! `trunkline tenant set`

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use trunkline_domain::TenantVersion;
use trunkline_store::{ChangeError, Expected, NewTenant, Store, TenantChange};

use super::add::{read, read_apology, read_config};
use crate::cli::actor::actor;
use crate::cli::report;
use crate::cli::secret::{SecretSource, at_most_one_from_stdin};

/// A change takes effect at once, and no call notices. What only a call reads (defaults, deadlines,
/// limits, the backend) holds from the next call on. Secrets are taken as by `tenant add`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trunkline tenant set acme --max-calls 20 --max-call-minutes 30
  trunkline tenant set acme --agent-name sales --agent-name support
  trunkline tenant set acme --livekit-api-secret-from ./new.secret --expected-version 12
  trunkline tenant set acme --livekit-api-secret-from prompt
  trunkline tenant set acme --unset max-calls --unset call-config-bearer --unset default-config")]
pub(in crate::cli) struct Arguments {
    /// The tenant's name
    slug: String,

    /// Another name for the tenant
    #[arg(long, value_name = "SLUG")]
    rename: Option<String>,
    /// The LiveKit project: wss://, ws://, https:// or http://
    #[arg(long, value_name = "URL")]
    livekit_url: Option<String>,
    /// The project's API key
    #[arg(long, value_name = "KEY")]
    livekit_api_key: Option<String>,
    /// Where the project's API secret is: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE")]
    livekit_api_secret_from: Option<SecretSource>,
    /// A name that the project's dispatch rules ask for; may be given several times. Names that are
    /// not given are let go
    #[arg(long = "agent-name", value_name = "NAME")]
    agent_names: Vec<String>,
    /// The rest of LiveKit's routing key
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,

    /// Where a call's configuration is asked for, by POST
    #[arg(long, value_name = "URL")]
    call_config_url: Option<String>,
    /// Where the bearer token for it is: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE")]
    call_config_bearer_from: Option<SecretSource>,
    /// Where the secret is that requests to it are signed with: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE")]
    call_config_signing_secret_from: Option<SecretSource>,
    /// How long its answer may take
    #[arg(long, value_name = "MS")]
    call_config_deadline_ms: Option<i32>,
    /// How long the phone may ring before the best that is ready is taken
    #[arg(long, value_name = "MS")]
    answer_deadline_ms: Option<i32>,
    /// A JSON file with systemPrompt, model, voice, temperature, startMessage, each optional
    #[arg(long, value_name = "PATH")]
    default_config: Option<PathBuf>,

    /// The wire that the model's vendor speaks
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Where the model is
    #[arg(long, value_name = "URL")]
    provider_base_url: Option<String>,
    /// Where the model's API key is: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE")]
    provider_api_key_from: Option<SecretSource>,

    /// The wire of a second model, which takes over when the first cannot be had
    #[arg(long, value_name = "NAME")]
    fallback_provider: Option<String>,
    /// Where the second model is
    #[arg(long, value_name = "URL")]
    fallback_provider_base_url: Option<String>,
    /// Where its API key is: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE")]
    fallback_provider_api_key_from: Option<SecretSource>,
    /// Its name
    #[arg(long, value_name = "NAME")]
    fallback_model: Option<String>,
    /// Its voice
    #[arg(long, value_name = "NAME")]
    fallback_voice: Option<String>,
    /// To whom a call is passed on after the apology: a number (+15551234567), a tel: or a sip:
    /// address
    #[arg(long, value_name = "ADDRESS")]
    fallback_transfer_to: Option<String>,
    /// What callers hear when there is no model: a WAV file of 60 seconds and 2 MiB at most
    #[arg(long, value_name = "PATH")]
    apology_audio: Option<PathBuf>,

    /// Calls at the same time on one replica
    #[arg(long, value_name = "N")]
    max_calls: Option<i32>,
    /// New calls per second on one replica
    #[arg(long, value_name = "RATE")]
    calls_per_second: Option<f64>,
    /// How long a call may be
    #[arg(long, value_name = "MINUTES")]
    max_call_minutes: Option<i32>,

    /// A setting to take away, or to bring back to its default; may be given several times
    #[arg(long, value_name = "SETTING")]
    unset: Vec<Optional>,
    /// Change it only if it is of this version still, as `tenant show` told it
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<i64>,
}

/// What a tenant can be without, or has a default for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Optional {
    #[value(alias = "agent-name")]
    AgentNames,
    Deployment,
    CallConfigUrl,
    CallConfigBearer,
    CallConfigSigningSecret,
    CallConfigDeadlineMs,
    AnswerDeadlineMs,
    DefaultConfig,
    Provider,
    ProviderBaseUrl,
    ProviderApiKey,
    FallbackProvider,
    FallbackProviderBaseUrl,
    FallbackProviderApiKey,
    FallbackModel,
    FallbackVoice,
    FallbackTransferTo,
    ApologyAudio,
    MaxCalls,
    CallsPerSecond,
    MaxCallMinutes,
}

impl Arguments {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let expected = self
            .expected_version
            .map_or(Expected::Any, |v| Expected::Version(TenantVersion(v)));
        let slug = self.slug.clone();
        let change = self.into_change()?;
        let name = change.slug.clone().unwrap_or_else(|| slug.clone());
        let before = store.tenant(&slug).await?.map(|row| row.version);
        let version = match store.update_tenant(&slug, change, expected, &actor()).await {
            Err(ChangeError::Invalid(invalid)) => anyhow::bail!(
                "the tenant cannot be run as changed\n  {}",
                invalid.problems.join("\n  ")
            ),
            other => other?,
        };
        if before == Some(version) {
            return report::result(&format!(
                "{name} is as it was, nothing changed (version {version})\n"
            ));
        }
        report::result(&format!("{name} is changed (version {version})\n"))
    }

    fn into_change(self) -> anyhow::Result<TenantChange> {
        at_most_one_from_stdin([
            self.livekit_api_secret_from.as_ref(),
            self.call_config_bearer_from.as_ref(),
            self.call_config_signing_secret_from.as_ref(),
            self.provider_api_key_from.as_ref(),
            self.fallback_provider_api_key_from.as_ref(),
        ])?;
        let secret = |source: &Option<SecretSource>, option| read(source.as_ref(), option);
        let mut change = TenantChange {
            livekit_api_secret: secret(&self.livekit_api_secret_from, "--livekit-api-secret-from")?,
            call_config_bearer: secret(&self.call_config_bearer_from, "--call-config-bearer-from")?
                .map(Some),
            call_config_signing_secret: secret(
                &self.call_config_signing_secret_from,
                "--call-config-signing-secret-from",
            )?
            .map(Some),
            provider_api_key: secret(&self.provider_api_key_from, "--provider-api-key-from")?
                .map(Some),
            fallback_provider_api_key: secret(
                &self.fallback_provider_api_key_from,
                "--fallback-provider-api-key-from",
            )?
            .map(Some),
            apology_audio: self
                .apology_audio
                .as_deref()
                .map(|path| read_apology(path).map(Some))
                .transpose()?,
            default_config: self
                .default_config
                .as_deref()
                .map(read_config)
                .transpose()?,
            slug: self.rename,
            enabled: None,
            livekit_url: self.livekit_url,
            livekit_api_key: self.livekit_api_key,
            agent_names: (!self.agent_names.is_empty()).then_some(self.agent_names),
            deployment: self.deployment.map(Some),
            call_config_url: self.call_config_url.map(Some),
            call_config_deadline_ms: self.call_config_deadline_ms,
            answer_deadline_ms: self.answer_deadline_ms,
            provider: self.provider,
            provider_base_url: self.provider_base_url.map(Some),
            fallback_provider: self.fallback_provider.map(Some),
            fallback_provider_base_url: self.fallback_provider_base_url.map(Some),
            fallback_model: self.fallback_model.map(Some),
            fallback_voice: self.fallback_voice.map(Some),
            fallback_transfer_to: self.fallback_transfer_to.map(Some),
            max_calls: self.max_calls.map(Some),
            calls_per_second: self.calls_per_second.map(Some),
            max_call_minutes: self.max_call_minutes.map(Some),
        };
        for setting in self.unset {
            setting.take_from(&mut change)?;
        }
        Ok(change)
    }
}

impl Optional {
    fn take_from(self, change: &mut TenantChange) -> anyhow::Result<()> {
        fn reset<T>(field: &mut Option<T>, default: T) -> bool {
            field.replace(default).is_none()
        }
        fn take<T>(field: &mut Option<Option<T>>) -> bool {
            reset(field, None)
        }
        let new = NewTenant::new("", "", "", "");
        let was_unnamed = match self {
            Self::AgentNames => reset(&mut change.agent_names, new.agent_names),
            Self::CallConfigDeadlineMs => reset(
                &mut change.call_config_deadline_ms,
                new.call_config_deadline_ms,
            ),
            Self::AnswerDeadlineMs => reset(&mut change.answer_deadline_ms, new.answer_deadline_ms),
            Self::DefaultConfig => reset(&mut change.default_config, new.default_config),
            Self::Provider => reset(&mut change.provider, new.provider),
            Self::Deployment => take(&mut change.deployment),
            Self::CallConfigUrl => take(&mut change.call_config_url),
            Self::CallConfigBearer => take(&mut change.call_config_bearer),
            Self::CallConfigSigningSecret => take(&mut change.call_config_signing_secret),
            Self::ProviderBaseUrl => take(&mut change.provider_base_url),
            Self::ProviderApiKey => take(&mut change.provider_api_key),
            Self::FallbackProvider => take(&mut change.fallback_provider),
            Self::FallbackProviderBaseUrl => take(&mut change.fallback_provider_base_url),
            Self::FallbackProviderApiKey => take(&mut change.fallback_provider_api_key),
            Self::FallbackModel => take(&mut change.fallback_model),
            Self::FallbackVoice => take(&mut change.fallback_voice),
            Self::FallbackTransferTo => take(&mut change.fallback_transfer_to),
            Self::ApologyAudio => take(&mut change.apology_audio),
            Self::MaxCalls => take(&mut change.max_calls),
            Self::CallsPerSecond => take(&mut change.calls_per_second),
            Self::MaxCallMinutes => take(&mut change.max_call_minutes),
        };
        ensure!(
            was_unnamed,
            "a setting is to be set and taken away at once; name it once"
        );
        Ok(())
    }
}
