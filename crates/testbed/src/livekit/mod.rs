//! Real livekit-servers for tests, the demo and the benchmarks.
//!
//! Each is one project: its own URL, key and secret, on loopback ports of its
//! own, or in a host of a [`NetLab`](crate::netlab::NetLab). It ends with its
//! owner, even one that is killed.

mod binary;
mod place;
mod probe;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use livekit::{Room, RoomOptions};
use livekit_api::access_token::{AccessToken, VideoGrants};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

pub use self::binary::{VERSION, prepare};
use self::place::Place;
pub use self::probe::RoomProbe;
use crate::netlab::Host;
use crate::ports;
use crate::private_file::write_private;
use crate::process::{Guarded, Signal, Spec, log_tail};

/// From start to the first answer: some 100 ms; a loaded machine takes longer.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A forced shutdown gives open HTTP requests 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How long a running server may take for an answer, and a shutdown for the
/// rooms to empty before a second signal forces it (left alone, the server waits
/// for its last participant).
const PATIENCE: Duration = Duration::from_millis(300);

/// How often a server that is starting is tried.
const POLL: Duration = Duration::from_millis(20);

/// What a project is started with.
#[derive(Clone, Debug)]
pub struct LiveKitOptions {
    /// The project's API key.
    pub api_key: String,
    /// The project's API secret; the server wants at least 32 characters.
    pub api_secret: SecretString,
    /// A second key with its secret, as a project has while its keys are changed.
    pub spare_key: (String, SecretString),
    /// How long a room waits for its first participant. LiveKit's default is
    /// five minutes; a test wants to see the end of it.
    pub empty_timeout: Duration,
    /// How long a room stays after its last participant has left.
    pub departure_timeout: Duration,
    /// The server's log level: `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// How media reaches the server.
    pub media: Media,
    /// The relay that the server is, too.
    pub turn: Option<Turn>,
    /// The host of a lab where it runs, reached over the lab's wires only;
    /// `None`: this machine's loopback interface.
    pub host: Option<Host>,
}

/// How media reaches a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// By UDP, or by TCP where UDP does not get through.
    Any,
    /// By TCP alone.
    Tcp,
}

/// How a server is spoken to as a relay (TURN).
#[derive(Clone, Debug)]
pub enum Turn {
    /// By UDP.
    Udp,
    /// By TCP, as if something before it undid the TLS.
    Tcp,
    /// By TLS.
    Tls {
        /// The file of its certificate, in PEM.
        certificate: PathBuf,
        /// The file of its private key, in PEM.
        key: PathBuf,
    },
}

impl Default for LiveKitOptions {
    /// A project with a key and a secret of its own.
    fn default() -> Self {
        let (api_key, api_secret) = new_key();
        Self {
            api_key,
            api_secret,
            spare_key: new_key(),
            empty_timeout: Duration::from_secs(60),
            departure_timeout: Duration::from_secs(20),
            log_level: "info".to_owned(),
            media: Media::Any,
            turn: None,
            host: None,
        }
    }
}

/// A key that no other project has, and its secret.
fn new_key() -> (String, SecretString) {
    let unique = Uuid::new_v4().simple().to_string();
    let secret = format!("{unique}{}", Uuid::new_v4().simple());
    (format!("API{}", &unique[..12]), secret.into())
}

/// A running livekit-server. Dropping it ends it.
pub struct LiveKitServer {
    // The order matters: the server ends before its directory is removed.
    server: Option<Guarded>,
    directory: TempDir,
    program: PathBuf,
    options: LiveKitOptions,
    place: Place,
}

impl LiveKitServer {
    /// Starts a server; see [`prepare`] for where its program comes from.
    ///
    /// # Errors
    /// When there is no program and it cannot be built, or the server does not
    /// come up; its log is in the error.
    pub async fn start(options: LiveKitOptions) -> anyhow::Result<Self> {
        let program = prepare().await?;
        let directory = tempfile::Builder::new()
            .prefix("trunkline-livekit-")
            .tempdir()
            .context("cannot make a directory for livekit-server")?;
        let place = Place::pick(options.host.as_ref())?;
        let mut server = Self {
            server: None,
            directory,
            program,
            options,
            place,
        };
        for attempt in 1..=ports::ATTEMPTS {
            match server.start_again().await {
                Ok(()) => return Ok(server),
                Err(error) if attempt == ports::ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(attempt, "livekit-server did not start: {error:#}"),
            }
            server.place = Place::pick(server.options.host.as_ref())?;
        }
        unreachable!("the last attempt returns")
    }

    /// The project's URL, as a tenant's row has it: `ws://127.0.0.1:<port>`, or
    /// the same with the address of its host in the lab, for those in the lab.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.place.signal_address())
    }

    /// Its URL for HTTP clients in this process, also for a server in a lab.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.place.address_from_here())
    }

    /// Where the server is reached from here: `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        self.place.address_from_here().to_string()
    }

    /// The port of the server's relay, for TCP and TLS.
    #[must_use]
    pub fn turn_tcp_port(&self) -> u16 {
        self.place.turn_tcp_port()
    }

    /// The project's API key.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.options.api_key
    }

    /// The project's API secret.
    #[must_use]
    pub fn api_secret(&self) -> &SecretString {
        &self.options.api_secret
    }

    /// The project's second key, and its secret.
    #[must_use]
    pub fn spare_key(&self) -> (&str, &SecretString) {
        let (key, secret) = &self.options.spare_key;
        (key, secret)
    }

    /// A look into the project's rooms.
    #[must_use]
    pub fn probe(&self) -> RoomProbe {
        RoomProbe::new(&self.http_url(), self.api_key(), self.api_secret())
    }

    /// A token of the project with these grants, for `identity`.
    ///
    /// # Errors
    /// When the grants name no room to join.
    pub fn token(&self, identity: &str, grants: VideoGrants) -> anyhow::Result<String> {
        AccessToken::with_api_key(self.api_key(), self.api_secret().expose_secret())
            .with_identity(identity)
            .with_grants(grants)
            .to_jwt()
            .context("cannot sign a token")
    }

    /// Somebody else in a room, who neither speaks nor listens.
    ///
    /// # Errors
    /// When the room cannot be joined.
    pub async fn guest(&self, room: &str, identity: &str) -> anyhow::Result<Room> {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            ..VideoGrants::default()
        };
        let mut options = RoomOptions::default();
        options.auto_subscribe = false;
        let token = self.token(identity, grants)?;
        let (guest, _) = Room::connect(&self.url(), &token, options)
            .await
            .context("a guest cannot join the room")?;
        Ok(guest)
    }

    /// Ends the server: whoever is in its rooms is disconnected first.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        server.signal(Signal::Terminate);
        if server.ended_within(PATIENCE).await?.is_none() {
            server.signal(Signal::Terminate);
            server.ended(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Ends the server without a word to anybody.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        server.signal(Signal::Kill);
        server.ended(STOP_LIMIT).await?;
        Ok(())
    }

    /// Makes the server stand still with all its connections open, as a hung
    /// machine does, until [`Self::thaw`]. Returns when it does.
    ///
    /// # Errors
    /// When the server goes on answering.
    pub async fn freeze(&mut self) -> anyhow::Result<()> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        server.signal(Signal::Stop);
        let probe = self.probe();
        let until = Instant::now() + STOP_LIMIT;
        while tokio::time::timeout(PATIENCE, probe.rooms()).await.is_ok() {
            anyhow::ensure!(
                Instant::now() < until,
                "livekit-server does not freeze; its log ends with\n{}",
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Lets a frozen server go on.
    pub fn thaw(&mut self) {
        if let Some(server) = &mut self.server {
            server.signal(Signal::Continue);
        }
    }

    /// Brings a stopped server back on the same ports, without its rooms. Does
    /// nothing when it runs.
    ///
    /// # Errors
    /// When the server does not come up; its log is in the error.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let config = self.directory.path().join("config.json");
        write_private(&config, &self.config().to_string())
            .context("cannot write livekit-server's config")?;
        let command = vec![
            self.program.clone().into_os_string(),
            "--config".into(),
            config.into_os_string(),
        ];
        let server = Guarded::spawn(&Spec {
            name: "livekit-server",
            command: match &self.options.host {
                Some(host) => host.command_line(command),
                None => command,
            },
            environment: &[],
            log: &self.log_path(),
            user: None,
            last_signal: Signal::Kill,
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

    /// The process's id, by which it is measured.
    ///
    /// # Errors
    /// When it is stopped.
    pub fn pid(&self) -> anyhow::Result<i32> {
        let server = self.server.as_ref().context("livekit-server is stopped")?;
        server.server_pid()
    }

    /// The end of the server's log, for a failed test's story.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&self.log_path())
    }

    /// Where the server's log is; it goes when the server is dropped.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("livekit-server.log")
    }

    /// Waits until the server answers, or has ended.
    async fn ready(&self, mut server: Guarded) -> anyhow::Result<Guarded> {
        // With our key: another server that took the port would refuse it.
        let probe = self.probe();
        let until = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = server.exit()? {
                anyhow::bail!(
                    "livekit-server ended at once ({status}); its log ends with\n{}",
                    server.log_tail()
                );
            }
            if probe.rooms().await.is_ok() {
                return Ok(server);
            }
            anyhow::ensure!(
                Instant::now() < until,
                "livekit-server did not answer within {} s; its log ends with\n{}",
                READY_LIMIT.as_secs(),
                server.log_tail()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// The configuration. It is YAML to the server, and JSON is YAML.
    fn config(&self) -> serde_json::Value {
        let secret = self.api_secret().expose_secret();
        let (spare_key, spare_secret) = self.spare_key();
        json!({
            "port": self.place.signal_address().port(),
            "bind_addresses": self.place.bind_addresses(),
            "keys": { self.api_key(): secret, spare_key: spare_secret.expose_secret() },
            "logging": { "level": self.options.log_level, "json": false },
            "rtc": self.place.rtc(self.options.media),
            // Where participants keep the schemas of their data tracks.
            "enable_participant_data_blob": true,
            "room": {
                "auto_create": true,
                "empty_timeout": self.options.empty_timeout.as_secs(),
                "departure_timeout": self.options.departure_timeout.as_secs(),
            },
            "turn": self.place.turn(self.options.turn.as_ref()),
        })
    }
}
