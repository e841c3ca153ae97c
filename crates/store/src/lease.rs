//! A connection for one piece of work, within a bound.
//!
//! A connection that did not answer in time, or whose work was dropped half way,
//! does not go back into the pool: there it would have to be waited for, while it
//! takes one of few places. It is closed instead.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};

use crate::error::{DatabaseError, StoreError};

/// How long is spent on finding out why there is no connection. Whoever asked
/// has waited for one already.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// From the first packet to the end of the handshake, for connections outside
/// the pool. A server that takes longer takes TCP and does not answer.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Lease {
    /// Until it is returned or closed.
    connection: Option<PoolConnection<Postgres>>,
}

impl Lease {
    /// Waits as long as the pool's options say.
    pub(crate) async fn from(pool: &PgPool) -> Result<Self, StoreError> {
        match pool.acquire().await {
            Ok(connection) => Ok(Self {
                connection: Some(connection),
            }),
            Err(sqlx::Error::PoolTimedOut) => Err(why_none(pool).await),
            Err(error) => Err(error.into()),
        }
    }

    /// Does the work and gives the connection back.
    pub(crate) async fn run<T, E: From<StoreError>>(
        mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(connection) = self.connection.as_mut() else {
            unreachable!("a lease has its connection until it is consumed or dropped");
        };
        match tokio::time::timeout(limit, work(connection)).await {
            Ok(result) => {
                // Into the pool, which looks after broken ones.
                drop(self.connection.take());
                result
            }
            Err(_) => Err(StoreError::TimedOut { limit }.into()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// Connects once, to see whether it can be done. A pool tries again while the
/// connection is refused, and says in the end only that it took too long; this
/// says at once what the matter is.
pub(crate) async fn probe(options: &PgConnectOptions, limit: Duration) -> Result<(), StoreError> {
    let attempt = async {
        let connection = PgConnection::connect_with(options).await?;
        connection.close().await
    };
    within(limit, attempt).await
}

pub(crate) async fn within<T, E: Into<StoreError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(StoreError::TimedOut { limit }),
    }
}

async fn why_none(pool: &PgPool) -> StoreError {
    match probe(&pool.connect_options(), PROBE_LIMIT).await {
        Err(error) => error,
        Ok(()) => StoreError::Unreachable {
            source: DatabaseError::of_text("all connections of this process are in use"),
        },
    }
}
