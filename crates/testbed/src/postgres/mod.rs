//! A private Postgres for tests, the demo and the benchmarks.
//!
//! The cluster lives in a temporary directory, listens on a free loopback port
//! and trusts whoever reaches it. Durability is off: nothing here outlives its
//! owner. It ends with its owner, even one that is killed.

mod binaries;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use self::binaries::Binaries;
use crate::ports;
use crate::process::{Guarded, Signal, Spec, User, unprivileged_user};

/// The superuser of every cluster.
const SUPERUSER: &str = "trunkline";

/// `initdb` takes one to three seconds; a slow disk may need many more.
const INITDB_LIMIT: Duration = Duration::from_secs(120);

/// From start to the first connection: well under a second, but recovery after
/// [`Postgres::crash`] and a loaded machine take longer.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A fast shutdown only waits for a checkpoint of a small database.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How often a server that is starting is tried.
const POLL: Duration = Duration::from_millis(20);

/// Settings of the server: as quick as possible, nothing of it durable.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    // Only TCP: the path of a socket may be longer than the 107 bytes allowed.
    "unix_socket_directories=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    // Several test programs' pools at once.
    "max_connections=300",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// A running private Postgres. Dropping it ends it and removes its data.
pub struct Postgres {
    // The order matters: the server ends before its directory is removed.
    server: Option<Guarded>,
    directory: TempDir,
    binaries: Binaries,
    user: Option<User>,
    port: u16,
}

impl Postgres {
    /// Makes a new cluster and starts it.
    ///
    /// The programs come from `PATH`, from the usual place of the system's
    /// packages, or else from Maven Central, cached for the next time. As root,
    /// Postgres runs as the account `postgres` or `nobody`.
    ///
    /// # Errors
    /// When there are no programs and they cannot be fetched, or the server
    /// does not come up; its log is in the error.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("trunkline-postgres-")
            .tempdir()
            .context("cannot make a directory for Postgres")?;
        let user = unprivileged_user(directory.path())?;
        let binaries = binaries::obtain()
            .await?
            .reachable_for(user.as_ref(), directory.path())?;
        if let Some(user) = &user {
            std::os::unix::fs::chown(directory.path(), Some(user.uid), Some(user.gid))
                .context("cannot give Postgres its directory")?;
        }
        let mut postgres = Self {
            server: None,
            directory,
            binaries,
            user,
            port: 0,
        };
        postgres.initdb().await?;
        for attempt in 1..=ports::ATTEMPTS {
            [postgres.port] = ports::free_tcp().context("there is no free port")?;
            match postgres.start_again().await {
                Ok(()) => return Ok(postgres),
                Err(error) if attempt == ports::ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(attempt, "Postgres did not start: {error:#}"),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// The URL of a database, whether it exists or not.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// The port, which stays the same over stops and starts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database and returns its URL.
    ///
    /// # Errors
    /// When it exists already, or the server is stopped.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.url("postgres"))
            .await
            .context("cannot connect to Postgres")?;
        let quoted = name.replace('"', "\"\"");
        connection
            .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{quoted}\"")))
            .await
            .with_context(|| format!("cannot create the database {name}"))?;
        connection
            .close()
            .await
            .context("cannot close the connection")?;
        Ok(self.url(name))
    }

    /// Takes the database away as an operator would: clients are disconnected,
    /// and new connections refused, until [`Self::start_again`].
    ///
    /// # Errors
    /// When the server does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::Interrupt).await
    }

    /// Takes the database away as a crash would: connections break in the
    /// middle of what they were doing.
    ///
    /// # Errors
    /// When the server does not end in time.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        self.end(Signal::Quit).await
    }

    /// Brings a stopped database back, with its data, on the same port. Does
    /// nothing when it runs.
    ///
    /// # Errors
    /// When the server does not come up; its log is in the error.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let mut command = vec![self.binaries.postgres().into_os_string()];
        command.extend(["-D".into(), self.data().into_os_string()]);
        command.extend(["-p".into(), self.port.to_string().into()]);
        for setting in SETTINGS {
            command.extend(["-c".into(), setting.into()]);
        }
        let server = Guarded::spawn(&Spec {
            name: "Postgres",
            command,
            environment: &[],
            log: &self.log(),
            user: self.user.as_ref(),
            last_signal: Signal::Quit,
            scratch: self.directory.path(),
        })?;
        let server = self.ready(server).await?;
        self.server = Some(server);
        Ok(())
    }

    /// [`Self::stop`] and [`Self::start_again`].
    ///
    /// # Errors
    /// Those of the two.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.signal(signal);
            server.ended(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Waits until the server answers, or has ended.
    async fn ready(&self, mut server: Guarded) -> anyhow::Result<Guarded> {
        let url = self.url("postgres");
        let until = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = server.exit()? {
                anyhow::bail!(
                    "Postgres ended at once ({status}); its log ends with\n{}",
                    server.log_tail()
                );
            }
            match PgConnection::connect(&url).await {
                Ok(connection) => {
                    connection
                        .close()
                        .await
                        .context("Postgres broke off its first connection")?;
                    return Ok(server);
                }
                Err(error) => anyhow::ensure!(
                    Instant::now() < until,
                    "Postgres did not answer within {} s ({error}); its log ends with\n{}",
                    READY_LIMIT.as_secs(),
                    server.log_tail()
                ),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn initdb(&self) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(self.binaries.initdb());
        command
            .arg("-D")
            .arg(self.data())
            .args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C", "--no-sync"])
            .stdin(Stdio::null())
            .current_dir("/")
            .kill_on_drop(true);
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let output = tokio::time::timeout(INITDB_LIMIT, command.output())
            .await
            .with_context(|| format!("initdb had not ended after {} s", INITDB_LIMIT.as_secs()))?
            .with_context(|| format!("cannot run {}", self.binaries.initdb().display()))?;
        anyhow::ensure!(
            output.status.success(),
            "initdb failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("postgres.log")
    }
}

/// Makes sure that Postgres can be started on this machine, fetching its
/// programs if need be, and returns where they are.
///
/// # Errors
/// When there are none and they cannot be fetched.
pub async fn prepare() -> anyhow::Result<PathBuf> {
    Ok(Path::to_path_buf(binaries::obtain().await?.directory()))
}
