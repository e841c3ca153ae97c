//! `trunkline tenant add`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use serde_json::Value;
use trunkline_call::check_apology;
use trunkline_domain::{ApologyAudio, MAX_APOLOGY_BYTES, MAX_CONFIG_BYTES};
use trunkline_store::{AddError, Enablement, NewTenant, Store};

use crate::cli::actor::actor;
use crate::cli::report;
use crate::cli::secret::{SecretSource, at_most_one_from_stdin, given_or_asked};
use crate::files::read_bounded;

/// Secrets are taken from a file's PATH, from standard input (`-`), from a variable (`env:NAME`) or
/// asked for at the terminal (`prompt`), and never from the command line itself: every user of the
/// machine can read its arguments, and shells keep them in their history.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  trunkline tenant add acme --livekit-url wss://acme.livekit.cloud --livekit-api-key APIxyz \\
      --livekit-api-secret-from ./acme.secret --call-config-url https://acme.example/call-config

A plain INSERT does the same; only slug, livekit_url, livekit_api_key and livekit_api_secret are
needed, and the secret is sealed as the row is first read.")]
pub(in crate::cli) struct Arguments {
    /// The tenant's name: a-z, 0-9 and '-'
    slug: String,

    /// The LiveKit project: wss://, ws://, https:// or http://
    #[arg(long, value_name = "URL")]
    livekit_url: String,
    /// The project's API key
    #[arg(long, value_name = "KEY")]
    livekit_api_key: String,
    /// Where the project's API secret is: PATH, -, env:NAME or prompt. Left out: asked for at the
    /// terminal
    #[arg(long, value_name = "SOURCE")]
    livekit_api_secret_from: Option<SecretSource>,
    /// A name that the project's dispatch rules ask for; may be given several times
    /// [default: pstn-voice-agent]
    #[arg(long = "agent-name", value_name = "NAME")]
    agent_names: Vec<String>,
    /// The rest of LiveKit's routing key, where the project uses one
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,

    /// Where a call's configuration is asked for, by POST. Left out: every call runs with the
    /// default configuration
    #[arg(long, value_name = "URL")]
    call_config_url: Option<String>,
    /// Where the bearer token for it is: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE", requires = "call_config_url")]
    call_config_bearer_from: Option<SecretSource>,
    /// Where the secret is that requests to it are signed with: PATH, -, env:NAME or prompt
    #[arg(long, value_name = "SOURCE", requires = "call_config_url")]
    call_config_signing_secret_from: Option<SecretSource>,
    /// How long its answer may take [default: 4000]
    #[arg(long, value_name = "MS")]
    call_config_deadline_ms: Option<i32>,
    /// How long the phone may ring before the best that is ready is taken [default: 6000]
    #[arg(long, value_name = "MS")]
    answer_deadline_ms: Option<i32>,
    /// A JSON file with systemPrompt, model, voice, temperature, startMessage, each optional: what a
    /// call runs with when its configuration cannot be had
    #[arg(long, value_name = "PATH")]
    default_config: Option<PathBuf>,

    /// The wire that the model's vendor speaks [default: openai]
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Where the model is. Left out: as the process is configured
    #[arg(long, value_name = "URL")]
    provider_base_url: Option<String>,
    /// Where the model's API key is: PATH, -, env:NAME or prompt. Left out: as the process is configured
    #[arg(long, value_name = "SOURCE")]
    provider_api_key_from: Option<SecretSource>,

    /// The wire of a second model, which takes over when the first cannot be had. Left out: there is none
    #[arg(long, value_name = "NAME")]
    fallback_provider: Option<String>,
    /// Where the second model is. Left out: as the process is configured
    #[arg(long, value_name = "URL")]
    fallback_provider_base_url: Option<String>,
    /// Where its API key is: PATH, -, env:NAME or prompt. Left out: as the process is configured, for the process's own provider
    #[arg(long, value_name = "SOURCE")]
    fallback_provider_api_key_from: Option<SecretSource>,
    /// Its name. Left out: as the default configuration says
    #[arg(long, value_name = "NAME")]
    fallback_model: Option<String>,
    /// Its voice. Left out: as the default configuration says
    #[arg(long, value_name = "NAME")]
    fallback_voice: Option<String>,
    /// To whom a call is passed on after the apology: a number (+15551234567), a tel: or a sip:
    /// address. Left out: it ends
    #[arg(long, value_name = "ADDRESS")]
    fallback_transfer_to: Option<String>,
    /// What callers hear when there is no model: a WAV file of 60 seconds and 2 MiB at most. Left out: a built-in sentence
    #[arg(long, value_name = "PATH")]
    apology_audio: Option<PathBuf>,

    /// Calls at the same time on one replica. Left out: as many as the process takes
    #[arg(long, value_name = "N")]
    max_calls: Option<i32>,
    /// New calls per second on one replica. Left out: as many as come
    #[arg(long, value_name = "RATE")]
    calls_per_second: Option<f64>,
    /// How long a call may be. Left out: as long as it takes
    #[arg(long, value_name = "MINUTES")]
    max_call_minutes: Option<i32>,
    /// Add it without taking calls yet
    #[arg(long)]
    disabled: bool,
}

impl Arguments {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        let slug = self.slug.clone();
        let (_, version) = match store.add_tenant(self.into_tenant()?, &actor()).await {
            Err(AddError::Invalid(invalid)) => {
                // One to a line, as they are mended.
                anyhow::bail!(
                    "the tenant cannot be run as given\n  {}",
                    invalid.problems.join("\n  ")
                );
            }
            other => other?,
        };
        report::result(&format!("{slug} is added (version {version})\n"))
    }

    fn into_tenant(self) -> anyhow::Result<NewTenant> {
        at_most_one_from_stdin([
            self.livekit_api_secret_from.as_ref(),
            self.call_config_bearer_from.as_ref(),
            self.call_config_signing_secret_from.as_ref(),
            self.provider_api_key_from.as_ref(),
            self.fallback_provider_api_key_from.as_ref(),
        ])?;

        let option = "--livekit-api-secret-from";
        let secret = given_or_asked(self.livekit_api_secret_from, option)?.read(option)?;
        let mut new = NewTenant::new(self.slug, self.livekit_url, self.livekit_api_key, secret);
        new.call_config_bearer = read(
            self.call_config_bearer_from.as_ref(),
            "--call-config-bearer-from",
        )?;
        new.call_config_signing_secret = read(
            self.call_config_signing_secret_from.as_ref(),
            "--call-config-signing-secret-from",
        )?;
        new.provider_api_key = read(
            self.provider_api_key_from.as_ref(),
            "--provider-api-key-from",
        )?;
        new.fallback_provider_api_key = read(
            self.fallback_provider_api_key_from.as_ref(),
            "--fallback-provider-api-key-from",
        )?;
        if let Some(path) = &self.apology_audio {
            new.apology_audio = Some(read_apology(path)?);
        }
        if let Some(path) = &self.default_config {
            new.default_config = read_config(path)?;
        }
        if self.disabled {
            new.enabled = Enablement::Disabled;
        }
        new.deployment = self.deployment;
        new.call_config_url = self.call_config_url;
        new.provider_base_url = self.provider_base_url;
        new.fallback_provider = self.fallback_provider;
        new.fallback_provider_base_url = self.fallback_provider_base_url;
        new.fallback_model = self.fallback_model;
        new.fallback_voice = self.fallback_voice;
        new.fallback_transfer_to = self.fallback_transfer_to;
        new.max_calls = self.max_calls;
        new.calls_per_second = self.calls_per_second;
        new.max_call_minutes = self.max_call_minutes;
        if !self.agent_names.is_empty() {
            new.agent_names = self.agent_names;
        }
        set(&mut new.provider, self.provider);
        set(
            &mut new.call_config_deadline_ms,
            self.call_config_deadline_ms,
        );
        set(&mut new.answer_deadline_ms, self.answer_deadline_ms);
        Ok(new)
    }
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

pub(super) fn read(
    source: Option<&SecretSource>,
    option: &str,
) -> anyhow::Result<Option<SecretString>> {
    source.map(|source| source.read(option)).transpose()
}

pub(super) fn read_config(path: &Path) -> anyhow::Result<Value> {
    let text = read_bounded(path, MAX_CONFIG_BYTES as u64)
        .with_context(|| format!("--default-config: {} cannot be used", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("--default-config: {} is not JSON", path.display()))
}

/// A recording that can be played.
pub(super) fn read_apology(path: &Path) -> anyhow::Result<ApologyAudio> {
    let cannot = || format!("the apology {} cannot be used", path.display());
    let file = read_bounded(path, MAX_APOLOGY_BYTES as u64).with_context(cannot)?;
    check_apology(&file).with_context(cannot)?;
    Ok(file.into())
}
