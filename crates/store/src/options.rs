//! How the database is reached.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::error::DatabaseError;

/// Settings of the store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// `postgres://user:password@host:port/database?sslmode=…`
    pub url: SecretString,
    /// Connections for queries, 1 or more. The change feed has one of its own.
    /// Calls need none while they run, so a few serve very many.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// How long a query waits for a connection, in milliseconds, 1 or more.
    #[serde(default = "default_acquire_timeout_ms")]
    pub acquire_timeout_ms: u64,
    /// How long the database may take to answer, in milliseconds, 1 or more. Our
    /// queries take milliseconds; a database that needs longer than this is away
    /// for our purposes.
    #[serde(default = "default_query_timeout_ms")]
    pub query_timeout_ms: u64,
    /// How often all tenants are read without a notice, in milliseconds, 1 or
    /// more. Spread by a fifth both ways, so that replicas do not read together.
    #[serde(default = "default_reconcile_interval_ms")]
    pub reconcile_interval_ms: u64,
}

fn default_max_connections() -> u32 {
    8
}

fn default_acquire_timeout_ms() -> u64 {
    5_000
}

fn default_query_timeout_ms() -> u64 {
    10_000
}

fn default_reconcile_interval_ms() -> u64 {
    30_000
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Not a URL of Postgres.
    #[error("url must be like postgres://user:password@host:5432/database")]
    Url {
        /// What is wrong with it.
        #[source]
        source: DatabaseError,
    },
    /// A figure that must be positive is 0.
    #[error("{field} must be 1 or more")]
    Zero {
        /// The setting.
        field: &'static str,
    },
}

impl Options {
    /// Settings with defaults for all but the URL.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            max_connections: default_max_connections(),
            acquire_timeout_ms: default_acquire_timeout_ms(),
            query_timeout_ms: default_query_timeout_ms(),
            reconcile_interval_ms: default_reconcile_interval_ms(),
        }
    }

    /// Checks everything that can be checked without the database.
    ///
    /// # Errors
    /// When the URL is none of Postgres, or a figure is 0.
    pub fn validate(&self) -> Result<(), OptionsError> {
        self.connect_options().map(drop)
    }

    pub(crate) fn connect_options(&self) -> Result<PgConnectOptions, OptionsError> {
        for (field, value) in [
            ("max_connections", u64::from(self.max_connections)),
            ("acquire_timeout_ms", self.acquire_timeout_ms),
            ("query_timeout_ms", self.query_timeout_ms),
            ("reconcile_interval_ms", self.reconcile_interval_ms),
        ] {
            if value == 0 {
                return Err(OptionsError::Zero { field });
            }
        }
        let url = self.url.expose_secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OptionsError::Url {
                source: DatabaseError::of_text("its scheme is not postgres"),
            });
        }
        PgConnectOptions::from_str(url)
            .map(|options| options.application_name("trunkline"))
            .map_err(|source| OptionsError::Url {
                source: source.into(),
            })
    }

    pub(crate) fn pool_options(&self) -> PgPoolOptions {
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(Duration::from_millis(self.acquire_timeout_ms))
    }

    pub(crate) fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.query_timeout_ms)
    }

    pub(crate) fn reconcile_interval(&self) -> Duration {
        Duration::from_millis(self.reconcile_interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_something_else_is_refused_and_not_repeated() {
        for url in [
            "mysql://root:hunter2@db/x",
            "hunter2",
            "postgres://u:hunter2@[/x",
        ] {
            let error = Options::new(url).validate().unwrap_err();
            assert!(matches!(error, OptionsError::Url { .. }), "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
        Options::new("postgresql://u:p@db:5433/x?sslmode=require")
            .validate()
            .unwrap();
    }

    #[test]
    fn no_figure_may_be_0() {
        let mut options = Options::new("postgres://db/x");
        options.reconcile_interval_ms = 0;
        let error = options.validate().unwrap_err();
        assert_eq!(error.to_string(), "reconcile_interval_ms must be 1 or more");
    }

    #[test]
    fn debug_does_not_show_the_url() {
        let text = format!("{:?}", Options::new("postgres://u:hunter2@db/x"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
