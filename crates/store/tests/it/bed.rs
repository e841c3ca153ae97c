//! A database of its own for each test, on one server for all of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use trunkline_store::{Actor, Keyring, Options, Store, TenantFeed, TenantRow};
use trunkline_testbed::postgres::Postgres;

use crate::logs;

/// What a test waits for at most. Everything awaited takes milliseconds; a
/// loaded machine takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// So long between reconciles that none is seen in a test.
pub(crate) const NEVER_MS: u64 = 3_600_000;

pub(crate) struct Bed {
    pub(crate) url: String,
    pub(crate) keys: SecretString,
    /// As ops have the database: without any of our code.
    pub(crate) sql: PgPool,
    pub(crate) store: Store,
}

impl Bed {
    /// A migrated database on the shared server.
    pub(crate) async fn start() -> Self {
        let bed = Self::unmigrated().await;
        bed.store.migrate().await.unwrap();
        bed
    }

    /// An empty database on the shared server.
    pub(crate) async fn unmigrated() -> Self {
        // The server ends with the process: its guard sees to it.
        static SERVER: OnceCell<Postgres> = OnceCell::const_new();
        let server = SERVER
            .get_or_init(async || Postgres::start().await.unwrap())
            .await;
        Self::on(server).await
    }

    /// A database of an earlier release, as far as this migration.
    pub(crate) async fn of_migration(last: i64) -> Self {
        let bed = Self::unmigrated().await;
        bed.migrate_to(last).await;
        bed
    }

    /// Applies what is missing of the migrations up to this one.
    pub(crate) async fn migrate_to(&self, last: i64) {
        let all = sqlx::migrate!("../../migrations");
        let until: Vec<Migration> = all.iter().filter(|m| m.version <= last).cloned().collect();
        let migrator = Migrator::with_migrations(until);
        let mut connection = self.sql.acquire().await.unwrap();
        migrator
            .run_direct(None, &mut *connection, false)
            .await
            .unwrap();
    }

    /// An empty database on this server.
    pub(crate) async fn on(server: &Postgres) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        logs::install();
        let name = format!("store_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = server.create_database(&name).await.unwrap();
        Self::at(url, &Keyring::generate_key().unwrap())
    }

    /// The database at this address.
    pub(crate) fn at(url: String, keys: &SecretString) -> Self {
        let sql = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&url)
            .unwrap();
        let store = open(&url, keys, |_| {});
        Self {
            url,
            keys: keys.clone(),
            sql,
            store,
        }
    }

    /// Another replica: its own connections, the same keys.
    pub(crate) fn replica(&self, change: impl FnOnce(&mut Options)) -> Store {
        open(&self.url, &self.keys, change)
    }

    /// Runs a statement as ops do. Returns how many rows it touched.
    pub(crate) async fn execute(&self, statement: &str) -> u64 {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.sql)
            .await
            .unwrap()
            .rows_affected()
    }

    /// The first column of the only row.
    pub(crate) async fn value<T>(&self, query: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_one(&self.sql)
            .await
            .unwrap()
            .get(0)
    }

    /// The shortest onboarding that there is.
    pub(crate) async fn insert(&self, slug: &str, secret: &str) {
        self.execute(&format!(
            "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret)
             VALUES ('{slug}', 'wss://{slug}.example', 'key-of-{slug}', '{secret}')"
        ))
        .await;
    }

    pub(crate) async fn row(&self, slug: &str) -> TenantRow {
        self.store.tenant(slug).await.unwrap().unwrap()
    }
}

/// Who changes tenants in these tests.
pub(crate) fn actor() -> Actor {
    Actor::new("test:somebody")
}

pub(crate) fn open(url: &str, keys: &SecretString, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = Options::new(url);
    options.reconcile_interval_ms = NEVER_MS;
    change(&mut options);
    Store::connect_lazy(&options, Keyring::from_keys(keys).unwrap()).unwrap()
}

/// The slugs of pictures until one has these, which is a failure after [`LIMIT`].
pub(crate) async fn reaches(feed: &mut TenantFeed, slugs: &[&str]) {
    let mut last = Vec::new();
    let reached = tokio::time::timeout(LIMIT, async {
        loop {
            last = slugs_of(&feed.next().await.tenants);
            if last == slugs {
                return;
            }
        }
    });
    let reached = reached.await.is_ok();
    assert!(reached, "the feed never showed {slugs:?}, last {last:?}");
}

pub(crate) fn slugs_of(rows: &[TenantRow]) -> Vec<String> {
    rows.iter().map(|row| row.slug.clone()).collect()
}

/// Something that goes on beside the test, and ends with it.
pub(crate) struct Beside<T>(JoinSet<T>);

impl<T: Send + 'static> Beside<T> {
    pub(crate) fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        let mut set = JoinSet::new();
        set.spawn(work);
        Self(set)
    }

    /// What came of it, within [`LIMIT`].
    pub(crate) async fn ended(mut self) -> T {
        tokio::time::timeout(LIMIT, self.0.join_next())
            .await
            .expect("it ends in time")
            .expect("there is one task")
            .expect("it does not panic")
    }
}
