//! The log of the testbed's own programs.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Whether lines begin with the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For what is measured.
    Shown,
    /// For what is told to people.
    Hidden,
}

/// Logs to standard error what `RUST_LOG` says, else what `filter` does.
pub fn to_stderr(filter: &str, times: Times) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| filter.into()))
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match times {
        Times::Shown => log.init(),
        Times::Hidden => log.without_time().init(),
    }
}
