//! A process of a benchmark that obeys: orders go in and answers come out, a line of JSON each.
//! It ends when its standard input does, so that none outlives us.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};

/// How long a process may take to end after its last order.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A running process.
pub(crate) struct Child {
    name: &'static str,
    process: Process,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts this program in another role.
    pub(crate) fn role(name: &'static str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::role_with(name, arguments, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn role_with(
        name: &'static str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command
            .arg(name)
            .args(arguments)
            .envs(variables.iter().copied());
        Self::spawn(name, command)
    }

    /// Starts a script of `crates/testbed/python/`.
    pub(crate) fn script(
        name: &'static str,
        python: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(python);
        command.arg(script_path(name)).args(arguments);
        Self::spawn(name, command)
    }

    /// Starts any program that keeps to the rules of the module.
    pub(crate) fn spawn(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let orders = process.stdin.take().context("no standard input")?;
        let answers = process.stdout.take().context("no standard output")?;
        Ok(Self {
            name,
            process,
            orders,
            answers: BufReader::new(answers).lines(),
        })
    }

    /// The process's id, by which it is measured.
    pub(crate) fn pid(&self) -> anyhow::Result<i32> {
        let pid = self.process.id().context("the process has ended")?;
        i32::try_from(pid).context("the process's id")
    }

    /// Gives an order and waits for its answer.
    ///
    /// # Errors
    /// When the process ends, answers something else, or takes longer than `limit`.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        order: &impl Serialize,
        limit: Duration,
    ) -> anyhow::Result<T> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders
            .write_all(line.as_bytes())
            .await
            .with_context(|| format!("{} takes no orders any more", self.name))?;
        let answer = tokio::time::timeout(limit, self.answers.next_line())
            .await
            .with_context(|| format!("{} did not answer within {} s", self.name, limit.as_secs()))??
            .with_context(|| format!("{} ended without an answer", self.name))?;
        serde_json::from_str(&answer)
            .with_context(|| format!("{} answered with {answer:?}", self.name))
    }

    /// Ends the process.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.orders);
        let status = tokio::time::timeout(END_LIMIT, self.process.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))??;
        anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

/// Where a script of this package is.
pub(crate) fn script_path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("python")
        .join(format!("{name}.py"))
}
