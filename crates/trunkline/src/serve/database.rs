//! Waits for a database that can be used.

use std::time::Duration;

use tokio::sync::watch;
use trunkline_admin::Obstacle;
use trunkline_store::{MigrateError, SchemaError, Store, StoreError};
use trunkline_worker::Backoff;

/// While the database cannot be reached. Short at first: at a start of
/// everything at once, it is a second or two behind.
const RETRY: Backoff = Backoff {
    floor: Duration::from_millis(100),
    first: Duration::from_millis(250),
    cap: Duration::from_secs(5),
};

/// What is done about the tables at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    /// They are brought to this version.
    AtStart,
    /// They must be at this version already.
    Before,
}

/// The database answers and cannot be used: somebody must do something.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The migration failed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The tables are not those of this version.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl DatabaseError {
    /// What trying again can mend.
    fn transient(&self) -> Option<&StoreError> {
        match self {
            Self::Migrate(MigrateError::Store(error)) | Self::Schema(SchemaError::Store(error)) => {
                Some(error).filter(|error| error.is_transient())
            }
            Self::Migrate(_) | Self::Schema(_) => None,
        }
    }
}

/// Returns when the tables are there; waits for the database for as long as it
/// is away, with one line in the log at the beginning and one at the end.
pub(super) async fn wait(
    store: &Store,
    migration: Migration,
    obstacle: &watch::Sender<Obstacle>,
) -> Result<(), DatabaseError> {
    obstacle.send_replace(Some("waiting for the database".to_owned()));
    let mut attempt = 0;
    loop {
        let result: Result<(), DatabaseError> = match migration {
            Migration::AtStart => store.migrate().await.map_err(Into::into),
            Migration::Before => store.check_schema().await.map_err(Into::into),
        };
        let error = match result {
            Ok(()) => {
                if attempt > 0 {
                    tracing::info!("the database can be reached");
                }
                obstacle.send_replace(None);
                return Ok(());
            }
            Err(error) => error,
        };
        let Some(cause) = error.transient().map(StoreError::one_line) else {
            return Err(error);
        };
        if attempt == 0 {
            tracing::warn!(
                error = cause,
                "waiting for the database; check that it runs and that database.url is right"
            );
        }
        obstacle.send_replace(Some(format!("waiting for the database: {cause}")));
        let delay = RETRY.delay(attempt, &mut rand::rng());
        tokio::time::sleep(delay).await;
        attempt += 1;
    }
}
