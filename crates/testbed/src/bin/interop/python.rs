//! The other participant: a Python process that is told what to do, a line at a time.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// For one thing that it is told: joining takes about a second, and starting Python another.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Python {
    process: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Python {
    pub(crate) fn start(python: &Path, script: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", python.display()))?;
        let commands = process.stdin.take().context("no standard input")?;
        let answers = process.stdout.take().context("no standard output")?;
        Ok(Self {
            process,
            commands,
            answers: BufReader::new(answers).lines(),
        })
    }

    /// Has something done, and waits until it is.
    pub(crate) async fn ask(&mut self, command: Value) -> anyhow::Result<Value> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let answer = tokio::time::timeout(PATIENCE, self.answers.next_line()).await;
        let answer = answer
            .with_context(|| format!("Python does not come to an end with {}", command["do"]))??
            .with_context(|| format!("Python died of {}", command["do"]))?;
        Ok(serde_json::from_str(&answer)?)
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            mut process,
            commands,
            ..
        } = self;
        drop(commands);
        let ended = tokio::time::timeout(PATIENCE, process.wait()).await;
        ended.context("Python does not end")??;
        Ok(())
    }
}
