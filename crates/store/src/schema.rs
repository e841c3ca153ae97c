//! The tables: made by `migrations/`, forward only.
//!
//! A migration keeps the version before it working: while a new version is rolled
//! out, old replicas run on the new tables. So a database that is ahead of this
//! program is fine, and one that is behind is not.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

use crate::error::{DatabaseError, StoreError};
use crate::lease::{CONNECT_LIMIT, within};
use crate::store::Store;

/// A migration may rewrite a large table, and waits for another replica that is
/// migrating. Connecting has a limit of its own: a server that does not answer is
/// no long migration.
const MIGRATE_LIMIT: Duration = Duration::from_secs(15 * 60);

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations");
    // Those of a later version.
    migrator.set_ignore_missing(true);
    migrator
}

/// The migration did not succeed. What was applied before it stays applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration that was applied is not the one that this program holds.
    #[error(
        "migration {version} was applied in another form; this program does not belong to this \
         database"
    )]
    Changed {
        /// The migration's number.
        version: i64,
    },
    /// A migration failed.
    #[error("migration {version} failed, and was undone")]
    Failed {
        /// The migration's number.
        version: i64,
        /// What the server said.
        #[source]
        source: DatabaseError,
    },
    /// Anything else.
    #[error("the database cannot be migrated: {problem}")]
    Other {
        /// What is wrong.
        problem: String,
    },
}

impl From<sqlx::migrate::MigrateError> for MigrateError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError as Cause;
        match error {
            Cause::Execute(error) => Self::Store(error.into()),
            Cause::ExecuteMigration(error, version) => Self::Failed {
                version,
                source: error.into(),
            },
            Cause::VersionMismatch(version) => Self::Changed { version },
            other => Self::Other {
                problem: other.to_string(),
            },
        }
    }
}

/// The tables cannot be used by this version.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database was away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was never migrated.
    #[error("the database has no tables of trunkline; run `trunkline migrate`")]
    Missing,
    /// It was migrated by an earlier version.
    #[error(
        "the database is at migration {found} and this version needs {needed}; \
         run `trunkline migrate`"
    )]
    Behind {
        /// The last migration that was applied.
        found: i64,
        /// The last one that this program holds.
        needed: i64,
    },
}

impl Store {
    /// Brings the tables to this version. Does nothing when they are there
    /// already. Several replicas may do it at once: one does, the others wait.
    ///
    /// # Errors
    /// When the database is away or refuses, or was migrated by something else.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let limit = MIGRATE_LIMIT;
        tokio::time::timeout(limit, self.run_migrations())
            .await
            .map_err(|_| StoreError::TimedOut { limit })?
    }

    /// On a connection of its own, which ends with it: the lock under which
    /// migrations run belongs to the session, and outlives a failure.
    async fn run_migrations(&self) -> Result<(), MigrateError> {
        let options = self.pool.connect_options();
        let connect = PgConnection::connect_with(&options);
        let mut connection = within(CONNECT_LIMIT, connect).await?;
        migrator().run_direct(None, &mut connection, false).await?;
        connection.close().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Whether the tables are those of this version, or of a later one.
    ///
    /// # Errors
    /// When they are not, or the database is away.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        let needed = migrator().iter().map(|m| m.version).max().unwrap_or(0);
        match self.with(applied).await {
            Err(StoreError::NotMigrated { .. }) | Ok(None) => Err(SchemaError::Missing),
            Err(error) => Err(error.into()),
            Ok(Some(found)) if found < needed => Err(SchemaError::Behind { found, needed }),
            Ok(Some(_)) => Ok(()),
        }
    }
}

/// Not a checked query: this table is made by the migrator and by no migration.
async fn applied(connection: &mut PgConnection) -> Result<Option<i64>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(connection)
            .await?,
    )
}
