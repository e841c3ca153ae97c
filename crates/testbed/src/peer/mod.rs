//! A participant in a process of its own, so that it can be in another network
//! than the test, and can be measured alone: the program `peer`.
//!
//! It joins a room, says a tone, a sentence or a recording, listens, and tells
//! what happens to it as [`Event`]s.

mod event;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

pub use self::event::{Event, Inbound, Outbound, Path as MediaPath, Stats, What, now_us};
use crate::netlab::Host;
use crate::process::{Guarded, Signal, Spec, log_tail};
use crate::program;

/// Names a binary to be used instead of building one.
const OVERRIDE: &str = "TRUNKLINE_PEER_BIN";

/// How often a peer's events are looked at while one is awaited.
const POLL: Duration = Duration::from_millis(10);

/// Leaving a room takes a round trip, and some seconds where nothing gets through.
const LEAVE_LIMIT: Duration = Duration::from_secs(20);

/// A peer to be started.
#[derive(Clone, Debug, Default)]
pub struct PeerOptions {
    /// The host of a lab where it runs; `None`: this machine's own network.
    pub host: Option<Host>,
    /// The program; `None`: the one of `TRUNKLINE_PEER_BIN`, or it is built. A test
    /// of this package has it in `env!("CARGO_BIN_EXE_peer")`.
    pub program: Option<PathBuf>,
    /// The server's URL.
    pub url: String,
    /// A token for one room.
    pub token: String,
    /// More of its command line, `["--tone", "440"]`; `peer --help` tells it all.
    pub arguments: Vec<OsString>,
}

impl PeerOptions {
    /// More of the command line.
    #[must_use]
    pub fn with(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
}

/// A running peer. Dropping it ends it without a goodbye.
pub struct Peer {
    // The order matters: it ends before its directory is removed.
    process: Guarded,
    directory: TempDir,
    host: Option<Host>,
    /// Events before this one were waited for.
    next: usize,
}

impl Peer {
    /// Starts a peer, which then joins.
    ///
    /// # Errors
    /// When there is no program, or it cannot be started.
    pub async fn start(options: PeerOptions) -> anyhow::Result<Self> {
        let program = match options.program {
            Some(program) => program,
            None => program::built("trunkline-testbed", "peer", OVERRIDE).await?,
        };
        let directory = tempfile::Builder::new()
            .prefix("trunkline-peer-")
            .tempdir()
            .context("cannot make a directory for a peer")?;
        // `env` hands the token over: command lines can be read by everybody.
        let mut command: Vec<OsString> = vec![
            "env".into(),
            format!("TRUNKLINE_PEER_TOKEN={}", options.token).into(),
            program.into(),
            "--url".into(),
            options.url.into(),
            "--events".into(),
            events_path(directory.path()).into(),
        ];
        command.extend(options.arguments);
        let process = Guarded::spawn(&Spec {
            name: "peer",
            command: match &options.host {
                Some(host) => host.command_line(command),
                None => command,
            },
            environment: &[],
            log: &log_path(directory.path()),
            user: None,
            last_signal: Signal::Kill,
            scratch: directory.path(),
        })?;
        Ok(Self {
            process,
            directory,
            host: options.host,
            next: 0,
        })
    }

    /// Everything that it has told so far.
    ///
    /// # Errors
    /// When it told something that is no event.
    pub fn events(&self) -> anyhow::Result<Vec<Event>> {
        let text = std::fs::read_to_string(events_path(self.directory.path())).unwrap_or_default();
        // The last line may still be being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no event: {line}")))
            .collect()
    }

    /// Waits for an event that comes, or came, after the last one that was waited
    /// for.
    ///
    /// # Errors
    /// When it does not come within `limit`, or the peer has ended.
    pub async fn wait(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> anyhow::Result<Event> {
        let until = Instant::now() + limit;
        let mut looked_at = self.next;
        loop {
            // Before looking: what it told up to its end must be seen.
            let exit = self.process.exit()?;
            let events = self.events()?;
            for event in events.iter().skip(looked_at) {
                looked_at += 1;
                if wanted(event) {
                    self.next = looked_at;
                    return Ok(event.clone());
                }
            }
            let story = match exit {
                Some(status) => format!("the peer ended ({status})"),
                None if Instant::now() >= until => {
                    format!("it did not happen within {} ms", limit.as_millis())
                }
                None => {
                    tokio::time::sleep(POLL).await;
                    continue;
                }
            };
            let told: Vec<_> = events
                .iter()
                .filter(|event| !matches!(event.what, What::Stats(_)))
                .collect();
            anyhow::bail!(
                "{story}{}; it told {told:?} and logged\n{}",
                self.host
                    .as_ref()
                    .map(|host| format!(" in {}", host.name()))
                    .unwrap_or_default(),
                self.log_tail()
            );
        }
    }

    /// Leaves the room and ends.
    ///
    /// # Errors
    /// When it does not within a few seconds, or ends with an error.
    pub async fn leave(&mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::Terminate);
        let status = self.process.ended(LEAVE_LIMIT).await?;
        anyhow::ensure!(
            status.success(),
            "the peer ended with {status}:\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// The end of what it logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&log_path(self.directory.path()))
    }
}

fn events_path(directory: &Path) -> PathBuf {
    directory.join("events.jsonl")
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("peer.log")
}
