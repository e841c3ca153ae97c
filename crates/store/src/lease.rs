//! A connection for one piece of work, within a bound.
//!
//! A connection that did not answer in time, or whose work was dropped half way,
//! does not go back into the pool: there it would have to be waited for, while it
//! takes one of few places. It is closed instead.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

use crate::error::StoreError;

pub(crate) struct Lease {
    /// Until it is returned or closed.
    connection: Option<PoolConnection<Postgres>>,
}

impl Lease {
    /// Waits as long as the pool's options say.
    pub(crate) async fn from(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self {
            connection: Some(pool.acquire().await?),
        })
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
