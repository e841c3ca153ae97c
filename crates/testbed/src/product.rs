//! The product itself, as a process: the binary that ops run, with its
//! configuration in the environment, its log in a file, and signals.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::SecretString;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::ports;
use crate::private_file::write_private;
use crate::process::{Guarded, Signal, Spec, log_tail};
use crate::program;

/// Names a binary to be used instead of building one.
const OVERRIDE: &str = "TRUNKLINE_BIN";

/// From start to the first answer of `/healthz`.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often what is waited for is looked at.
const POLL: Duration = Duration::from_millis(5);

/// What one project looks like from outside: an entry of `/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct ProjectStatus {
    /// The tenant.
    pub slug: String,
    /// `registered`, `backing_off`, `credentials_refused`, `parked`, …
    pub state: String,
    /// Why it is in this state.
    #[serde(default)]
    pub reason: Option<String>,
    /// How often its worker was restarted.
    #[serde(default)]
    pub restarts: u64,
    /// Calls under way.
    #[serde(default)]
    pub active_calls: u64,
    /// Offers that were refused, by the reason.
    #[serde(default)]
    pub refused_offers: BTreeMap<String, u64>,
    /// The version of the row that it runs.
    #[serde(default)]
    pub version: i64,
}

#[derive(Deserialize)]
struct Status {
    projects: Vec<ProjectStatus>,
}

/// A running `trunkline serve`. Dropping it ends it.
pub struct Product {
    process: Guarded,
    directory: TempDir,
    program: PathBuf,
    environment: Vec<(String, String)>,
    admin: u16,
    api: u16,
    http: reqwest::Client,
    sealing_keys: SecretString,
}

impl Product {
    /// Builds the binary if need be, and starts it on a database, with more
    /// variables in its environment. Returns when it answers.
    ///
    /// # Errors
    /// When it cannot be built or does not come up; its log is in the error.
    pub async fn start(
        database_url: &str,
        more: impl IntoIterator<Item = (&str, &str)>,
    ) -> anyhow::Result<Self> {
        let program = program::built("trunkline", "trunkline", OVERRIDE).await?;
        let directory = tempfile::Builder::new()
            .prefix("trunkline-product-")
            .tempdir()
            .context("cannot make a directory for trunkline")?;
        let [admin, api] = ports::free_tcp().context("there is no free port")?;
        let keys = run(&program, &["keys", "generate"], &[]).await?;
        let keys_file = directory.path().join("sealing.keys");
        write_private(&keys_file, &keys).context("cannot write the sealing keys")?;
        let sealing_keys = SecretString::from(keys.trim());
        let mut environment = vec![
            (
                "TRUNKLINE_DATABASE__URL".to_owned(),
                database_url.to_owned(),
            ),
            (
                "TRUNKLINE_SEALING__KEYS_FILE".to_owned(),
                keys_file.display().to_string(),
            ),
            (
                "TRUNKLINE_ADMIN__LISTEN".to_owned(),
                format!("127.0.0.1:{admin}"),
            ),
            (
                "TRUNKLINE_API__LISTEN".to_owned(),
                format!("127.0.0.1:{api}"),
            ),
            ("TRUNKLINE_LOG__FORMAT".to_owned(), "json".to_owned()),
            // One session of the model's for each call, unless a test wants more.
            (
                "TRUNKLINE_REALTIME__WARM_SESSIONS".to_owned(),
                "0".to_owned(),
            ),
        ];
        environment.extend(more.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
        // As ops do it: the schema first, then the service.
        run(&program, &["migrate"], &environment).await?;
        let process = spawn(&program, &environment, directory.path())?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .context("cannot make an HTTP client")?;
        let mut product = Self {
            process,
            directory,
            program,
            environment,
            admin,
            api,
            http,
            sealing_keys,
        };
        product.answers().await?;
        Ok(product)
    }

    /// Runs the binary's command line in the same environment, for instance
    /// `["tenant", "list", "--json"]`, and returns what it printed.
    ///
    /// # Errors
    /// When it fails; what it said is in the error.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(&self.program, arguments, &self.environment).await
    }

    /// As [`Self::command`], whatever becomes of it.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub async fn try_command(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        output(&self.program, arguments, &self.environment).await
    }

    /// The program that runs.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it is configured with, besides our own environment.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Configures it otherwise, from its next start on.
    pub fn configure(&mut self, variable: &str, value: &str) {
        self.environment.retain(|(name, _)| name != variable);
        self.environment
            .push((variable.to_owned(), value.to_owned()));
    }

    /// The keys that it seals tenants' secrets with, as `id:key`.
    #[must_use]
    pub fn sealing_keys(&self) -> &SecretString {
        &self.sealing_keys
    }

    /// Runs commands of a shell in which `trunkline` is this binary, in the same environment,
    /// with more variables.
    ///
    /// # Errors
    /// When there is no shell.
    pub async fn shell(&self, script: &str, more: &[(String, String)]) -> anyhow::Result<Output> {
        let mut path = OsString::from(self.program.parent().unwrap_or(Path::new(".")));
        if let Some(inherited) = std::env::var_os("PATH") {
            path.push(":");
            path.push(inherited);
        }
        let environment = self.environment.iter().chain(more);
        Command::new("sh")
            .args(["-c", script])
            .envs(environment.map(|(key, value)| (key, value)))
            .env("PATH", path)
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run sh")
    }

    /// Where the API under `/v1` is. A token is made with the command line.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// The body of an admin route.
    ///
    /// # Errors
    /// When there is no answer. The status is returned, whatever it is.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("{}{path}", self.admin_url());
        let response = self.http.get(&url).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await?))
    }

    /// How the projects are.
    ///
    /// # Errors
    /// When `/status` does not answer as it should.
    pub async fn projects(&self) -> anyhow::Result<Vec<ProjectStatus>> {
        let (_, body) = self.get("/status").await?;
        let status: Status =
            serde_json::from_str(&body).with_context(|| format!("/status answered {body}"))?;
        Ok(status.projects)
    }

    /// Waits until a project is as wanted and returns it so.
    ///
    /// # Errors
    /// When it is not within `limit`: with what it was last, and the log's end.
    pub async fn project_until(
        &self,
        slug: &str,
        limit: Duration,
        wanted: impl Fn(&ProjectStatus) -> bool,
    ) -> anyhow::Result<ProjectStatus> {
        let until = Instant::now() + limit;
        loop {
            let projects = self.projects().await?;
            let project = projects.into_iter().find(|project| project.slug == slug);
            if let Some(project) = project.as_ref().filter(|project| wanted(project)) {
                return Ok(project.clone());
            }
            anyhow::ensure!(
                Instant::now() < until,
                "project {slug} did not come to the state within {} ms; it is {project:?}; \
                 the log ends with\n{}",
                limit.as_millis(),
                self.log_tail()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until no project of this name is listed any more.
    ///
    /// # Errors
    /// When it still is after `limit`.
    pub async fn project_gone(&self, slug: &str, limit: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + limit;
        while self
            .projects()
            .await?
            .iter()
            .any(|project| project.slug == slug)
        {
            anyhow::ensure!(Instant::now() < until, "project {slug} is still there");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The process's id, by which it is measured.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> anyhow::Result<i32> {
        self.process.server_pid()
    }

    /// Asks the process to drain (`SIGTERM`).
    pub fn terminate(&mut self) {
        self.process.signal(Signal::Terminate);
    }

    /// Starts it again after it has ended, with the same settings.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.process = spawn(&self.program, &self.environment, self.directory.path())?;
        self.answers().await
    }

    /// Ends the process as a crash would.
    pub fn kill(&mut self) {
        self.process.signal(Signal::Kill);
    }

    /// Waits for the process's end.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.process.ended(limit).await
    }

    /// Everything that the process logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_path(self.directory.path())).unwrap_or_default()
    }

    /// What the process logged after this many bytes.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_from(&self, offset: u64) -> anyhow::Result<String> {
        let mut file = File::open(log_path(self.directory.path()))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    /// How long the log is, in bytes.
    ///
    /// # Errors
    /// When there is none.
    pub fn log_length(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(log_path(self.directory.path()))?.len())
    }

    /// Where the log is; it goes when the product is dropped.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        log_path(self.directory.path())
    }

    /// The end of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&log_path(self.directory.path()))
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + START_LIMIT;
        loop {
            if let Ok((200, _)) = self.get("/healthz").await {
                return Ok(());
            }
            if let Some(status) = self.process.exit()? {
                anyhow::bail!("trunkline ended with {status}:\n{}", self.log_tail());
            }
            anyhow::ensure!(
                Instant::now() < until,
                "trunkline does not answer; its log ends with\n{}",
                self.log_tail()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("trunkline.log")
}

fn spawn(
    program: &Path,
    environment: &[(String, String)],
    directory: &Path,
) -> anyhow::Result<Guarded> {
    Guarded::spawn(&Spec {
        name: "trunkline",
        command: vec![program.into(), "serve".into()],
        environment,
        log: &log_path(directory),
        user: None,
        last_signal: Signal::Kill,
        scratch: directory,
    })
}

async fn run(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> anyhow::Result<String> {
    let output = output(program, arguments, environment).await?;
    anyhow::ensure!(
        output.status.success(),
        "`trunkline {}` ended with {}: {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("what it printed is not UTF-8")
}

async fn output(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> anyhow::Result<Output> {
    Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))
}
