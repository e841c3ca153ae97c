//! `./dev interop`: LiveKit's Python SDK, on Google's C++ engine, and the Rust SDK on ours, in the
//! same room of a real server. Each must hear the other's tone and read the other's packets, in
//! clear and encrypted.
//!
//! Not a part of `./dev test`, for it needs Python and a package from PyPI. Prints a line a check
//! and, as the last one, one JSON object; ends with 0 only if all passed.

mod ours;
mod python;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use livekit::webrtc::native::frame_cryptor::EncryptionState;
use serde_json::json;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};

use crate::ours::{Ours, grants};
use crate::python::Python;

/// What ours plays, and what the other plays.
const OUR_HZ: u32 = 440;
const THEIR_HZ: u32 = 600;

/// Less of a tone than this is none.
const NO_TONE: f64 = 0.1;

const PASSWORD: &[u8] = b"password";
const NEXT_PASSWORD: &[u8] = b"another password";

/// Our engine and LiveKit's Python SDK in the same room.
#[derive(Parser)]
#[command(name = "interop")]
struct Arguments {
    /// A Python with the package `livekit`
    #[arg(long)]
    python: PathBuf,
    /// The participant to run with it
    #[arg(long, default_value = "crates/testbed/interop/peer.py")]
    peer: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "warn,livekit=error,libwebrtc=error".into()),
        )
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    trunkline_testbed::install_crypto();
    let server = LiveKitServer::start(LiveKitOptions::default()).await?;
    let mut report = Report::default();
    let scenes = [
        ("in clear", None, None),
        ("encrypted", Some(PASSWORD), Some(PASSWORD)),
        ("with different keys", Some(PASSWORD), Some(NEXT_PASSWORD)),
    ];
    for (scene, our_key, their_key) in scenes {
        let mut pair = Pair::meet(&server, &arguments, scene, our_key, their_key).await?;
        let is_done = match scene {
            "with different keys" => pair.do_not_understand(&mut report).await,
            "encrypted" => match pair.understand(&mut report).await {
                Ok(()) => pair.change_keys(&mut report).await,
                failed => failed,
            },
            _ => pair.understand(&mut report).await,
        };
        if let Err(error) = is_done {
            report.check(scene, &format!("{error:#}"), false)?;
        }
        pair.part().await?;
    }
    let Report { passed, failed } = report;
    let last = json!({ "passed": passed, "failed": failed });
    writeln!(std::io::stdout(), "{last}")?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Default)]
struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    fn check(&mut self, scene: &str, what: &str, passed: bool) -> std::io::Result<()> {
        let (count, word) = match passed {
            true => (&mut self.passed, "ok"),
            false => (&mut self.failed, "FAILED"),
        };
        *count += 1;
        writeln!(std::io::stdout(), "{word:>6}  {scene}: {what}")
    }
}

/// The two in a room.
struct Pair {
    scene: &'static str,
    ours: Ours,
    theirs: Python,
}

impl Pair {
    async fn meet(
        server: &LiveKitServer,
        arguments: &Arguments,
        scene: &'static str,
        our_key: Option<&[u8]>,
        their_key: Option<&[u8]>,
    ) -> anyhow::Result<Self> {
        let room = scene.replace(' ', "-");
        let mut theirs = Python::start(&arguments.python, &arguments.peer)?;
        let token = server.token("python", grants(&room))?;
        theirs
            .ask(json!({
                "do": "join",
                "url": server.url(),
                "token": token,
                "key": their_key.map(hex),
                "hz": THEIR_HZ,
            }))
            .await?;
        let token = server.token("rust", grants(&room))?;
        let ours = Ours::join(&server.url(), &token, our_key, OUR_HZ).await?;
        Ok(Self {
            scene,
            ours,
            theirs,
        })
    }

    async fn part(self) -> anyhow::Result<()> {
        self.theirs.end().await?;
        self.ours.leave().await
    }

    /// Both ways, sound and packets.
    async fn understand(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.hear_each_other(report, "").await?;
        self.write_to_each_other(report, "").await
    }

    async fn hear_each_other(&mut self, report: &mut Report, when: &str) -> anyhow::Result<()> {
        self.ours.hear(THEIR_HZ).await?;
        report.check(self.scene, &format!("we hear Python{when}"), true)?;
        self.theirs
            .ask(json!({ "do": "hear", "hz": OUR_HZ }))
            .await?;
        report.check(self.scene, &format!("Python hears us{when}"), true)?;
        Ok(())
    }

    async fn write_to_each_other(&mut self, report: &mut Report, when: &str) -> anyhow::Result<()> {
        self.ours.send("to Python").await?;
        let answer = self.theirs.ask(json!({ "do": "receive" })).await?;
        let is_right = answer["text"] == "to Python";
        report.check(self.scene, &format!("Python reads us{when}"), is_right)?;
        self.theirs
            .ask(json!({ "do": "send", "text": "to Rust" }))
            .await?;
        let is_right = self.ours.receive().await? == "to Rust";
        report.check(self.scene, &format!("we read Python{when}"), is_right)?;
        Ok(())
    }

    /// Ratchets on either side, then another key under another index, while they talk.
    async fn change_keys(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let theirs = self
            .theirs
            .ask(json!({ "do": "ratchet", "index": 0 }))
            .await?;
        self.ours.hear_state(EncryptionState::KeyRatcheted).await?;
        self.ours.hear(THEIR_HZ).await?;
        report.check(self.scene, "we follow Python's ratchet", true)?;
        let ours = self.ours.ratchet(0)?;
        let is_same = theirs["key"] == hex(&ours);
        report.check(self.scene, "both ratchet to the same key", is_same)?;

        let next = json!({ "do": "key", "key": hex(NEXT_PASSWORD), "index": 1 });
        self.theirs.ask(next).await?;
        self.ours.set_key(NEXT_PASSWORD, 1)?;
        self.hear_each_other(report, " with another key").await?;
        self.write_to_each_other(report, " with another key")
            .await?;

        self.ours.ratchet(1)?;
        self.theirs
            .ask(json!({ "do": "hear", "hz": OUR_HZ }))
            .await?;
        let told = self.theirs.ask(json!({ "do": "told" })).await?;
        let states = told["states"].as_array().cloned().unwrap_or_default();
        let has_followed = states.iter().any(|state| state == "rust KEY_RATCHETED");
        report.check(self.scene, "Python follows our ratchet", has_followed)?;
        Ok(())
    }

    /// With different keys there is silence, and both are told.
    async fn do_not_understand(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let state = EncryptionState::DecryptionFailed;
        self.ours.hear_state(state).await?;
        report.check(self.scene, "we are told that we cannot decrypt", true)?;
        let share = self.ours.share(THEIR_HZ).await?;
        report.check(self.scene, "we do not hear Python", share < NO_TONE)?;
        let answer = self
            .theirs
            .ask(json!({ "do": "share", "hz": OUR_HZ }))
            .await?;
        let share = answer["share"].as_f64().unwrap_or(1.0);
        report.check(self.scene, "Python does not hear us", share < NO_TONE)?;
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
