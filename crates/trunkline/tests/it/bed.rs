//! The binary with a database of its own.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use trunkline_store::{Keyring, Options, Store};
use trunkline_testbed::postgres::Postgres;

/// For what takes milliseconds on a quiet machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_trunkline");
/// 32 bytes in base64, under an id.
pub(crate) const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(crate) struct Bed {
    pub(crate) postgres: Postgres,
    pub(crate) url: String,
    pub(crate) directory: TempDir,
}

impl Bed {
    /// An empty database.
    pub(crate) async fn empty() -> Self {
        let postgres = Postgres::start().await.unwrap();
        let url = postgres.create_database("trunkline").await.unwrap();
        Self {
            postgres,
            url,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A database with the tables.
    pub(crate) async fn migrated() -> Self {
        let bed = Self::empty().await;
        bed.succeeds(&["migrate"]).await;
        bed
    }

    pub(crate) async fn sql(&self) -> PgPool {
        PgPool::connect(&self.url).await.unwrap()
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The binary in an environment that holds our settings alone.
    pub(crate) fn command(&self) -> Command {
        let mut command = bare();
        command
            .env("TRUNKLINE_DATABASE__URL", &self.url)
            .env("TRUNKLINE_SEALING__KEYS", KEYS)
            .env("TRUNKLINE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("TRUNKLINE_API__LISTEN", "127.0.0.1:0");
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().await.unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) async fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let said = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed\n{said}");
        text(&output.stdout)
    }

    /// Runs a command that must fail with this code; what it said.
    pub(crate) async fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        said
    }

    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeeds(arguments).await).unwrap()
    }

    /// The secrets of a tenant: LiveKit's, the bearer token, the signing secret and the
    /// model's; what there is not is empty.
    pub(crate) async fn secrets_of(&self, slug: &str) -> [String; 4] {
        let keyring = Keyring::from_keys(&KEYS.into()).unwrap();
        let options = Options::new(self.url.clone());
        let store = Store::connect_lazy(&options, keyring).unwrap();
        let row = store.tenant(slug).await.unwrap().unwrap();
        store.close().await;
        let tenant = row.tenant.unwrap();
        let lookup = tenant.lookup.as_ref();
        [
            Some(&tenant.project.api_secret),
            lookup.and_then(|lookup| lookup.bearer.as_ref()),
            lookup.and_then(|lookup| lookup.signing_secret.as_ref()),
            tenant.provider.api_key.as_ref(),
        ]
        .map(|secret| secret.map_or_else(String::new, |s| s.expose_secret().to_owned()))
    }

    /// Adds a tenant that nobody answers for.
    pub(crate) async fn add(&self, slug: &str) -> String {
        let secret = self.file("secret", "a-secret-of-32-bytes-or-a-few-more\n");
        self.succeeds(&[
            "tenant",
            "add",
            slug,
            "--livekit-url",
            "ws://127.0.0.1:9",
            "--livekit-api-key",
            &format!("key-of-{slug}"),
            "--livekit-api-secret-from",
            secret.to_str().unwrap(),
        ])
        .await
    }
}

/// The binary without any configuration.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn with_input(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin: ChildStdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running `trunkline serve`, and its log as it is written.
pub(crate) struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
    admin: String,
    api: String,
}

impl Serving {
    /// Starts it, and waits until its admin API has an address.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command
            .env("TRUNKLINE_LOG__FORMAT", "json")
            .arg("serve")
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut serving = Self {
            child,
            log,
            seen: Vec::new(),
            admin: String::new(),
            api: String::new(),
        };
        let started = serving.logs("the service starts").await;
        serving.admin = started["admin"].as_str().unwrap().to_owned();
        serving.api = started["api"].as_str().unwrap().to_owned();
        serving
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// Reads the log to the next line with this message.
    pub(crate) async fn logs(&mut self, message: &str) -> Value {
        let read = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.seen.push(line);
                let line: Value = serde_json::from_str(self.seen.last().unwrap()).unwrap();
                if line["message"] == message {
                    return Some(line);
                }
            }
            None
        };
        match tokio::time::timeout(SOON, read).await {
            Ok(Some(line)) => line,
            _ => panic!("{message:?} was not logged, but {:#?}", self.seen),
        }
    }

    /// How many lines with this message were read.
    pub(crate) fn lines_with(&self, message: &str) -> usize {
        self.seen
            .iter()
            .filter(|line| line.contains(message))
            .count()
    }

    /// An answer of the admin API.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        trunkline_testbed::install_crypto();
        let client = reqwest::Client::builder()
            .timeout(SOON)
            .no_proxy()
            .build()
            .unwrap();
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn get_until(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
        let until = Instant::now() + SOON;
        loop {
            let (status, body) = self.get(path).await;
            if wanted(status, &body) {
                return body;
            }
            assert!(Instant::now() < until, "{path} is still {status} {body}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) async fn ends(mut self) -> (ExitStatus, String) {
        let end = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.seen.push(line);
            }
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(SOON, end).await.unwrap();
        (status, self.seen.join("\n"))
    }
}
