//! What types alone do not say: bounds, and texts that must parse.

use secrecy::ExposeSecret;
use tracing_subscriber::EnvFilter;
use trunkline_domain::check_key;
use trunkline_store::Keyring;

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
        "database.query_timeout_ms",
        database.query_timeout_ms,
        100..=600_000,
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
    range(
        "supervisor.stall_limit_ms",
        config.supervisor.stall_limit_ms,
        1_000..=600_000,
    );
    let lookup = &config.call_config;
    for (key, value, bounds) in [
        ("max_attempts", lookup.max_attempts, 1..=20),
        ("hedge_after_ms", lookup.hedge_after_ms, 0..=30_000),
        ("breaker_failures", lookup.breaker_failures, 0..=1_000),
        ("breaker_pause_ms", lookup.breaker_pause_ms, 100..=600_000),
        (
            "last_known_max_age_s",
            lookup.last_known_max_age_s,
            0..=trunkline_callconfig::Options::LONGEST_LAST_KNOWN_S.into(),
        ),
    ] {
        range(&format!("call_config.{key}"), value.into(), bounds);
    }
    let api = &config.api;
    range(
        "api.tls_check_interval_ms",
        api.tls_check_interval_ms,
        10..=86_400_000,
    );
    range(
        "api.requests_per_second",
        api.requests_per_second.into(),
        1..=100_000,
    );
    range(
        "api.failures_per_minute",
        api.failures_per_minute.into(),
        1..=100_000,
    );
    range("shutdown.grace_s", config.shutdown.grace_s, 0..=MAX_GRACE_S);

    for (key, file, other) in [
        (
            "api.tls_certificate_file",
            &api.tls_certificate_file,
            &api.tls_key_file,
        ),
        (
            "api.tls_key_file",
            &api.tls_key_file,
            &api.tls_certificate_file,
        ),
    ] {
        if file.is_none() && other.is_some() {
            problems.push(Problem::new(
                key,
                "is not set, and its counterpart is; TLS needs both",
            ));
        }
    }
    if let Some(url) = &database.url
        && let Err(error) = database.options(url.clone()).validate()
    {
        problems.push(Problem::new(
            "database.url",
            format!("cannot be used: {error}"),
        ));
    }
    if let Some(keys) = &config.sealing.keys
        && let Err(error) = Keyring::from_keys(keys)
    {
        problems.push(Problem::new(
            "sealing.keys",
            format!("cannot be used: {error}"),
        ));
    }
    if let Some(command) = &config.sealing.keys_command {
        if config.sealing.keys.is_some() {
            problems.push(Problem::new(
                "sealing.keys",
                "is set, and sealing.keys_command as well; keep one of them",
            ));
        }
        if shlex::split(command).is_none_or(|words| words.is_empty()) {
            problems.push(Problem::new(
                "sealing.keys_command",
                "must be a program with its arguments, with quotes in pairs",
            ));
        }
    }
    if let Err(error) = config.worker.validate() {
        let key = format!("worker.{}", error.key);
        let mut problem = Problem::new(&key, error.problem);
        problem.against = error.against.map(|other| format!("worker.{other}"));
        problems.push(problem);
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
    if let Some(key) = &config.provider.api_key
        && let Err(error) = check_key(key.expose_secret())
    {
        problems.push(Problem::new("provider.api_key", error.to_string()));
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
