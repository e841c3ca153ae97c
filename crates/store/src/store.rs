//! The handle on the database.

use std::fmt;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use crate::error::StoreError;
use crate::feed::TenantFeed;
use crate::keyring::Keyring;
use crate::lease::Lease;
use crate::options::{Options, OptionsError};

/// How long a health check waits. A prober waits about as long itself.
const HEALTH_LIMIT: Duration = Duration::from_secs(2);

/// The database. A clone is another handle on the same connections and keys.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) keyring: Keyring,
    query_timeout: Duration,
    reconcile_interval: Duration,
}

impl Store {
    /// A handle. Nothing is connected before it is needed.
    ///
    /// Needs a Tokio runtime, and a rustls crypto provider where the URL asks for TLS.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub fn connect_lazy(options: &Options, keyring: Keyring) -> Result<Self, OptionsError> {
        let connect = options.connect_options()?;
        Ok(Self {
            pool: options.pool_options().connect_lazy_with(connect),
            keyring,
            query_timeout: options.query_timeout(),
            reconcile_interval: options.reconcile_interval(),
        })
    }

    /// Asks the database for an answer, within two seconds.
    ///
    /// # Errors
    /// When there is none.
    pub async fn healthy(&self) -> Result<(), StoreError> {
        let limit = HEALTH_LIMIT;
        tokio::time::timeout(
            limit,
            self.with(async |connection: &mut PgConnection| {
                sqlx::query!("SELECT 1 AS one")
                    .fetch_one(connection)
                    .await?;
                Ok::<_, StoreError>(())
            }),
        )
        .await
        .map_err(|_| StoreError::TimedOut { limit })?
    }

    /// The feed of all tenants, over a connection of its own.
    pub fn feed(&self) -> TenantFeed {
        TenantFeed::new(
            &self.pool.connect_options(),
            self.keyring.clone(),
            self.query_timeout,
            self.reconcile_interval,
        )
    }

    /// The ids of the keys that this process was given, the sealing key's first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keyring.ids()
    }

    /// Ends the connections. Queries after it fail.
    pub async fn close(&self) {
        // A query that hangs is not waited for longer than it may take.
        let closed = tokio::time::timeout(self.query_timeout, self.pool.close()).await;
        if closed.is_err() {
            tracing::debug!("connections to the database did not end in time");
        }
    }

    /// Some queries on one connection, within the query timeout.
    pub(crate) async fn with<T, E: From<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let lease = Lease::from(&self.pool).await?;
        lease.run(self.query_timeout, work).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("keys", &self.keyring)
            .finish_non_exhaustive()
    }
}
