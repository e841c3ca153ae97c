//! The command `ip`, which makes namespaces and interfaces.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

/// What went wrong with `ip`.
#[derive(Debug, thiserror::Error)]
pub enum IpError {
    /// It could not be run. Debian has it in the package `iproute2`.
    #[error("the command `ip` does not run (Debian's package iproute2 has it)")]
    NotRun(#[source] io::Error),
    /// It refused, mostly because it takes root.
    #[error("`ip {command}` failed: {said}")]
    Refused {
        /// Its arguments or its input.
        command: String,
        /// What it said.
        said: String,
    },
}

/// Runs `ip` with these arguments, and returns what it printed.
pub(super) fn ip(arguments: &[&str]) -> Result<String, IpError> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(IpError::NotRun)?;
    judge(&arguments.join(" "), &output)
}

/// Runs commands of `ip`, one a line, in a namespace.
pub(super) fn ip_in(namespace: &str, batch: &str) -> Result<(), IpError> {
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(IpError::NotRun)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It ends at the first line that fails, and says so below.
        let _ = stdin.write_all(batch.as_bytes());
    }
    let output = child.wait_with_output().map_err(IpError::NotRun)?;
    judge(batch, &output).map(drop)
}

fn judge(command: &str, output: &Output) -> Result<String, IpError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(IpError::Refused {
        command: command.trim().to_owned(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
