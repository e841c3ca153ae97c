//! Makes the parts out of the configuration.

use secrecy::SecretString;
use trunkline_call::DefaultProvider;
use trunkline_callconfig::{Lookup, LookupError};
use trunkline_store::{Keyring, KeyringError, OptionsError, Store};

use crate::config::{Config, ConfigError, Problem};
use crate::keys_command::{self, KeysCommandError};

/// What follows when the process has no key for the model.
pub const NO_MODEL_KEY: &str = "provider.api_key is not set: tenants without a key of their own \
                                have no model, and their callers hear the apology";

/// The database cannot be opened as configured. Nothing was connected yet.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A key is not set.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sealing keys cannot be used.
    #[error("sealing.keys cannot be used")]
    Keys(#[from] KeyringError),
    /// The command that is to print them does not.
    #[error("sealing.keys_command failed")]
    KeysCommand(#[from] KeysCommandError),
    /// The options cannot be used.
    #[error("[database] cannot be used")]
    Options(#[from] OptionsError),
}

/// The database with the keys to the tenants' secrets. Runs the command that
/// prints the keys, where there is one.
///
/// # Errors
/// When `database.url` or `sealing.keys` is not set or cannot be used.
pub async fn open_store(config: &Config) -> Result<Store, OpenError> {
    let mut problems = Vec::new();
    let url = required(&config.database.url, "database.url", &mut problems);
    let printed = match &config.sealing.keys_command {
        Some(command) => Some(keys_command::run(command).await?),
        None => None,
    };
    let given = config.sealing.keys.clone().or(printed);
    let keys = required(&given, "sealing.keys", &mut problems);
    let (Some(url), Some(keys)) = (url, keys) else {
        return Err(ConfigError { problems }.into());
    };
    open(config, url, Keyring::from_keys(keys)?)
}

/// The database alone, for what touches no secret.
///
/// # Errors
/// When `database.url` is not set or cannot be used.
pub fn open_store_without_keys(config: &Config) -> Result<Store, OpenError> {
    let mut problems = Vec::new();
    let Some(url) = required(&config.database.url, "database.url", &mut problems) else {
        return Err(ConfigError { problems }.into());
    };
    // Nothing is sealed or opened: a key that is thrown away does.
    let keyring = Keyring::from_keys(&Keyring::generate_key()?)?;
    open(config, url, keyring)
}

fn open(config: &Config, url: &SecretString, keyring: Keyring) -> Result<Store, OpenError> {
    let options = config.database.options(url.clone());
    Ok(Store::connect_lazy(&options, keyring)?)
}

fn required<'a>(
    value: &'a Option<SecretString>,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a SecretString> {
    if value.is_none() {
        problems.push(Problem::missing(key));
    }
    value.as_ref()
}

/// What asks tenants' backends.
///
/// # Errors
/// When its client cannot be built.
pub fn lookup(config: &Config) -> Result<Lookup, LookupError> {
    let lookup = Lookup::new(&config.call_config)?;
    Ok(if config.api.allow_internal_urls {
        lookup.with_inner_urls()
    } else {
        lookup
    })
}

/// The model of tenants that bring none of their own.
pub fn default_provider(config: &Config) -> DefaultProvider {
    DefaultProvider {
        base_url: config.provider.base_url.clone(),
        api_key: config.provider.api_key.clone(),
    }
}

/// This process's name: as configured, else the host's.
pub fn replica_name(config: &Config) -> String {
    config
        .replica
        .name
        .clone()
        .or_else(host_name)
        .unwrap_or_else(|| "unnamed".to_owned())
}

fn host_name() -> Option<String> {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    from_kernel
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}
