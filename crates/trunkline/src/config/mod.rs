//! The process's configuration: its shape and its defaults.
//!
//! Sources, each over the one before: defaults, the plain variables
//! `DATABASE_URL` and `OPENAI_API_KEY`, the TOML file, `TRUNKLINE_*` variables.
//! A key that is not known is an error, so that a misspelt one is never
//! silently a default. Secrets can stand in a file of their own (`*_file`),
//! which is how Kubernetes hands them over.
//!
//! `docs/configuration.md` lists every key with its default, and a test holds
//! it and this module together.

mod check;
mod environment;
mod error;
mod load;
mod secret;
mod show;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

pub use error::{ConfigError, Problem};
pub use load::Loaded;
pub(crate) use secret::{MAX_SECRET_BYTES, read_secret_file, secret_of_text};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Postgres.
    pub database: Database,
    /// The keys that tenants' secrets are sealed with.
    pub sealing: Sealing,
    /// The model of tenants that name none of their own.
    pub provider: Provider,
    /// Connections to models.
    pub realtime: trunkline_realtime::Options,
    /// The workers: how much the process takes on, and how they reach LiveKit.
    pub worker: trunkline_worker::Options,
    /// Restarts of workers, and the end of calls that are cut.
    pub supervisor: trunkline_supervisor::Options,
    /// The client that asks tenants' backends for the configuration of calls.
    pub call_config: trunkline_callconfig::Options,
    /// Health, metrics, status.
    pub admin: Admin,
    /// What is counted.
    pub metrics: Metrics,
    /// The API.
    pub api: Api,
    /// Who this process is among its equals.
    pub replica: Replica,
    /// Records of calls on their way to the database.
    pub records: Records,
    /// Logs.
    pub log: Log,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// Postgres.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host/database`.
    #[serde(serialize_with = "secret::redact")]
    pub url: Option<SecretString>,
    /// A file that holds the URL.
    pub url_file: Option<PathBuf>,
    /// Connections at most. One more is held for notices.
    pub max_connections: u32,
    /// How long a query waits for a free connection.
    pub acquire_timeout_ms: u64,
    /// How long the database may take to answer.
    pub query_timeout_ms: u64,
    /// How often all tenants are read again, should a notice have been missed.
    pub reconcile_interval_ms: u64,
    /// Whether `serve` brings the schema up to date before it begins.
    pub migrate_at_start: bool,
}

impl Default for Database {
    fn default() -> Self {
        // The figures are the store's.
        let options = trunkline_store::Options::new("");
        Self {
            url: None,
            url_file: None,
            max_connections: options.max_connections,
            acquire_timeout_ms: options.acquire_timeout_ms,
            query_timeout_ms: options.query_timeout_ms,
            reconcile_interval_ms: options.reconcile_interval_ms,
            migrate_at_start: false,
        }
    }
}

impl Database {
    /// The store's options.
    pub fn options(&self, url: SecretString) -> trunkline_store::Options {
        trunkline_store::Options {
            url,
            max_connections: self.max_connections,
            acquire_timeout_ms: self.acquire_timeout_ms,
            query_timeout_ms: self.query_timeout_ms,
            reconcile_interval_ms: self.reconcile_interval_ms,
        }
    }
}

/// The keys that tenants' secrets are sealed with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealing {
    /// `id:key[,id:key…]`; the first seals, all of them open.
    #[serde(serialize_with = "secret::redact")]
    pub keys: Option<SecretString>,
    /// A file that holds them.
    pub keys_file: Option<PathBuf>,
    /// A program with its arguments that prints them, quoted as for a shell.
    pub keys_command: Option<String>,
}

/// The model of tenants that name none of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Where the realtime API is, without `/realtime`.
    pub base_url: Url,
    /// The API key.
    #[serde(serialize_with = "secret::redact")]
    pub api_key: Option<SecretString>,
    /// A file that holds the API key.
    pub api_key_file: Option<PathBuf>,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1"
                .parse()
                .expect("a literal URL parses"),
            api_key: None,
            api_key_file: None,
        }
    }
}

/// Health, metrics, status.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The address that answers. There is no authentication on it: it is for
    /// the machine itself or for the cluster's network.
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Whether the series of tenants tell which tenant it is.
    pub tenant_label: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { tenant_label: true }
    }
}

/// The API under `/v1`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The address that answers. Every request bears a token.
    pub listen: SocketAddr,
    /// The certificate, in PEM. With it TLS is spoken.
    pub tls_certificate_file: Option<PathBuf>,
    /// Its key, in PEM.
    pub tls_key_file: Option<PathBuf>,
    /// How often it is looked whether the two have changed.
    pub tls_check_interval_ms: u64,
    /// Requests per second of one token.
    pub requests_per_second: u32,
    /// Failed authentications per minute from one address.
    pub failures_per_minute: u32,
    /// Whether URLs that a token of one tenant writes may lead to internal addresses.
    pub allow_internal_urls: bool,
}

impl Default for Api {
    fn default() -> Self {
        let limits = trunkline_admin::api::ApiLimits::default();
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            tls_certificate_file: None,
            tls_key_file: None,
            // Certificates are renewed days before they end.
            tls_check_interval_ms: 10_000,
            requests_per_second: limits.requests_per_second,
            failures_per_minute: limits.failures_per_minute,
            allow_internal_urls: false,
        }
    }
}

impl Api {
    /// How much may be asked for.
    pub fn limits(&self) -> trunkline_admin::api::ApiLimits {
        trunkline_admin::api::ApiLimits {
            requests_per_second: self.requests_per_second,
            failures_per_minute: self.failures_per_minute,
            inner_urls: if self.allow_internal_urls {
                trunkline_store::InnerUrls::Taken
            } else {
                trunkline_store::InnerUrls::Refused
            },
        }
    }

    /// Where the certificate and its key are; `None`: TLS is not spoken.
    pub fn tls(&self) -> Option<trunkline_admin::api::TlsFiles> {
        Some(trunkline_admin::api::TlsFiles {
            certificate: self.tls_certificate_file.clone()?,
            key: self.tls_key_file.clone()?,
            check_interval: Duration::from_millis(self.tls_check_interval_ms),
        })
    }
}

/// Who this process is among its equals.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// In records and states. Left out: the host's name.
    pub name: Option<String>,
}

/// Records of calls on their way to the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// How many records are kept in memory while the database is away.
    pub max_waiting: usize,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            // About 1 kB each: 10 MB at most, and an outage of 100 minutes at
            // 100 calls a minute.
            max_waiting: 10_000,
        }
    }
}

/// Logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, as `level` and `target=level` separated by commas.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            // The SDK says at `info` what our own spans say better, and sqlx warns
            // of what becomes an error of ours.
            filter:
                "info,livekit=warn,livekit_api=warn,livekit_signaling=warn,str0m=warn,sqlx=error"
                    .to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people at a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// How the process ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long calls may go on after the first signal.
    pub grace_s: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        // Most calls are over by then, and it is below the hour after which a
        // job's token could no longer join its room again.
        Self { grace_s: 600 }
    }
}
