//! The other participant: a process with another SDK in it that is told what to do, a line at a time.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::scene::Delivery;

/// For one thing that it is told: joining takes about a second, and starting Python or a browser
/// another.
const PATIENCE: Duration = Duration::from_secs(60);

/// The SDKs that ours meets.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sdk {
    /// On Google's C++ engine.
    Python,
    /// In Chromium.
    #[value(name = "javascript")]
    JavaScript,
    /// The one for node, on Google's C++ engine.
    Node,
}

/// What they run on.
#[derive(clap::Args)]
pub(crate) struct Runtimes {
    /// A Python with the package `livekit`
    #[arg(long)]
    python: PathBuf,
    #[arg(long, default_value = "node")]
    node: PathBuf,
    #[arg(long, default_value = "chromium")]
    chromium: PathBuf,
    /// A directory of npm packages with `livekit-client` and `@livekit/rtc-node` in it
    #[arg(long)]
    node_modules: PathBuf,
    /// Where the participants' programs are
    #[arg(long, default_value = "crates/testbed/interop")]
    scripts: PathBuf,
}

impl Sdk {
    pub(crate) const ALL: [Self; 3] = [Self::Python, Self::JavaScript, Self::Node];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::Node => "node",
        }
    }

    /// Whether it finds a key that was ratcheted by the other side, and says so. The JavaScript
    /// SDK's provider of one key for everybody never looks for one, and node's says nothing.
    pub(crate) fn follows_ratchets(self) -> bool {
        self == Self::Python
    }

    /// Whether it says what a ratchet has made of a key. The JavaScript SDK does so for keys of
    /// single participants only.
    pub(crate) fn shows_keys(self) -> bool {
        self != Self::JavaScript
    }

    /// Whether it says that a key is wrong. The C++ engine does not unless told to tolerate a
    /// number of failures.
    pub(crate) fn reports_wrong_keys(self) -> bool {
        self == Self::JavaScript
    }

    /// Where the next key goes. Node's SDK cannot encrypt with keys of other indices than 0.
    pub(crate) fn next_key_index(self) -> i32 {
        match self {
            Self::Python | Self::JavaScript => 1,
            Self::Node => 0,
        }
    }

    fn command(self, runtimes: &Runtimes) -> Command {
        let Runtimes {
            python,
            node,
            chromium,
            node_modules,
            scripts,
        } = runtimes;
        match self {
            Self::Python => {
                let mut command = Command::new(python);
                command.arg(scripts.join("peer.py"));
                command
            }
            Self::JavaScript => {
                let mut command = Command::new(node);
                command
                    .arg(scripts.join("browser.mjs"))
                    .args([chromium, node_modules]);
                command
            }
            Self::Node => {
                let mut command = Command::new(node);
                command.arg(scripts.join("node.mjs")).arg(node_modules);
                command
            }
        }
    }
}

/// With what a participant encrypts everything.
#[derive(Clone, Copy)]
pub(crate) struct Encryption {
    pub(crate) key: &'static [u8],
    /// How many ratchets of its key the other participant may be ahead.
    pub(crate) ratchet_window: i32,
}

pub(crate) struct Theirs {
    pub(crate) sdk: Sdk,
    process: Child,
    commands: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Theirs {
    pub(crate) fn start(sdk: Sdk, runtimes: &Runtimes) -> anyhow::Result<Self> {
        let mut process = sdk
            .command(runtimes)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", sdk.name()))?;
        let commands = process.stdin.take().context("no standard input")?;
        let output = process.stdout.take().context("no standard output")?;
        Ok(Self {
            sdk,
            process,
            commands,
            output: BufReader::new(output).lines(),
        })
    }

    /// Has something done, and waits until it is.
    async fn ask(&mut self, command: Value) -> anyhow::Result<Value> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let (name, what) = (self.sdk.name(), &command["do"]);
        let answered = async {
            loop {
                let line = self.output.next_line().await?;
                let line = line.with_context(|| format!("{name} died of {what}"))?;
                let mut line: Value = serde_json::from_str(&line)
                    .with_context(|| format!("{name} answered {line:?}"))?;
                // SDKs log there as well.
                if let Some(answer) = line.get_mut("answer") {
                    return Ok(answer.take());
                }
            }
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        answered.with_context(|| format!("{name} does not come to an end with {what}"))?
    }

    /// Joins and plays a tone.
    pub(crate) async fn join(
        &mut self,
        url: &str,
        token: &str,
        encryption: Option<Encryption>,
        hz: u32,
    ) -> anyhow::Result<()> {
        self.ask(json!({
            "do": "join",
            "url": url,
            "token": token,
            "key": encryption.map(|encryption| hex(encryption.key)),
            "ratchet_window": encryption.map(|encryption| encryption.ratchet_window),
            "hz": hz,
        }))
        .await?;
        Ok(())
    }

    /// Listens until half a second is the tone; how loud it is, as a share of full scale.
    pub(crate) async fn hear(&mut self, hz: u32) -> anyhow::Result<f64> {
        let answer = self.ask(json!({ "do": "hear", "hz": hz })).await?;
        answer["amplitude"].as_f64().context("no amplitude")
    }

    /// How much of the loudest of three half seconds is the tone.
    pub(crate) async fn share(&mut self, hz: u32) -> anyhow::Result<f64> {
        let answer = self.ask(json!({ "do": "share", "hz": hz })).await?;
        answer["share"].as_f64().context("no share")
    }

    pub(crate) async fn send(&mut self, text: &str, delivery: Delivery) -> anyhow::Result<()> {
        self.ask(json!({ "do": "send", "text": text, "reliable": delivery.is_reliable() }))
            .await?;
        Ok(())
    }

    /// The first packet that has not been received yet.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<String> {
        let answer = self.ask(json!({ "do": "receive" })).await?;
        Ok(answer["text"].as_str().context("no text")?.to_owned())
    }

    /// Another key for everything from now on.
    pub(crate) async fn set_key(&mut self, key: &[u8], index: i32) -> anyhow::Result<()> {
        self.ask(json!({ "do": "key", "key": hex(key), "index": index }))
            .await?;
        Ok(())
    }

    /// Ratchets its key; what has become of it, where the SDK shows that.
    pub(crate) async fn ratchet(&mut self, index: i32) -> anyhow::Result<Option<String>> {
        let answer = self.ask(json!({ "do": "ratchet", "index": index })).await?;
        Ok(answer["key"].as_str().map(str::to_owned))
    }

    /// What the SDK said of encryption, in its own words, after the identity it is about.
    pub(crate) async fn told(&mut self) -> anyhow::Result<Vec<String>> {
        let mut answer = self.ask(json!({ "do": "told" })).await?;
        Ok(serde_json::from_value(answer["states"].take())?)
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            sdk,
            mut process,
            commands,
            ..
        } = self;
        drop(commands);
        let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
        let status = ended.with_context(|| format!("{} does not end", sdk.name()))??;
        anyhow::ensure!(status.success(), "{} ended with {status}", sdk.name());
        Ok(())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
