//! What types alone do not say: bounds, and texts that must parse.

use secrecy::ExposeSecret;
use tracing_subscriber::EnvFilter;

use super::{Config, Problem};

/// A pod that must be gone some day: a call lives 24 hours at most.
const MAX_GRACE_S: u64 = 24 * 3600;

pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let mut range = |key: &str, value: u64, range: std::ops::RangeInclusive<u64>| {
        if !range.contains(&value) {
            problems.push(Problem::new(
                key,
                format!(
                    "must be from {} to {}, not {value}",
                    range.start(),
                    range.end()
                ),
            ));
        }
    };
    let database = &config.database;
    range(
        "database.max_connections",
        database.max_connections.into(),
        1..=1_000,
    );
    range(
        "database.acquire_timeout_ms",
        database.acquire_timeout_ms,
        100..=60_000,
    );
    range(
        "database.reconcile_interval_ms",
        database.reconcile_interval_ms,
        100..=3_600_000,
    );
    range(
        "records.max_waiting",
        config.records.max_waiting as u64,
        1..=10_000_000,
    );
    range("shutdown.grace_s", config.shutdown.grace_s, 0..=MAX_GRACE_S);

    if let Some(url) = &database.url {
        let scheme = url.expose_secret().split("://").next().unwrap_or_default();
        if !matches!(scheme, "postgres" | "postgresql") {
            problems.push(Problem::new(
                "database.url",
                "must begin with postgres:// or postgresql://",
            ));
        }
    }
    let base = &config.provider.base_url;
    if !matches!(base.scheme(), "https" | "http" | "wss" | "ws") || !base.has_host() {
        problems.push(Problem::new(
            "provider.base_url",
            "must be an absolute URL with one of the schemes https, http, wss, ws",
        ));
    }
    if !base.username().is_empty() || base.password().is_some() {
        problems.push(Problem::new(
            "provider.base_url",
            "must not hold a user name or password; the key belongs in provider.api_key",
        ));
    }
    if let Err(error) = EnvFilter::try_new(&config.log.filter) {
        problems.push(Problem::new(
            "log.filter",
            format!("cannot be used: {error}"),
        ));
    }
    if config
        .replica
        .name
        .as_deref()
        .is_some_and(|n| n.trim().is_empty() || n.len() > 128)
    {
        problems.push(Problem::new(
            "replica.name",
            "must have 1 to 128 bytes; leave it out to use the host's name",
        ));
    }
}

impl super::Loaded {
    /// What `serve` needs beyond what every command needs.
    ///
    /// # Errors
    /// The keys that are not set, and sealing keys that cannot be used.
    pub fn check_for_serve(&self) -> Result<(), super::ConfigError> {
        let mut problems = Vec::new();
        if self.config.database.url.is_none() {
            problems.push(Problem::missing("database.url"));
        }
        if self.config.sealing.keys.is_none() {
            problems.push(Problem::missing("sealing.keys"));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(super::ConfigError { problems })
        }
    }
}
