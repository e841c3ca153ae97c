//! The command line.
//!
//! Exit codes: 0 done; 1 failed, with the reason on standard error; 2 the
//! command line or the configuration cannot be used. Results go to standard
//! output, everything else to standard error.

mod config;
mod keys;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{ConfigError, Loaded};

/// Answers phone calls for any number of LiveKit projects.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, propagate_version = true)]
pub struct Cli {
    /// The configuration file, in TOML. Variables TRUNKLINE_SECTION__KEY are over it
    #[arg(long, global = true, env = "TRUNKLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the keys that tenants' secrets are sealed with
    #[command(subcommand)]
    Keys(keys::Command),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(config::Command),
}

/// The command line or the configuration cannot be used. As clap exits.
const EXIT_USAGE: u8 = 2;
/// It was tried, and it failed.
const EXIT_FAILED: u8 = 1;

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            report::error(&error);
            let code = if error.is::<ConfigError>() {
                EXIT_USAGE
            } else {
                EXIT_FAILED
            };
            ExitCode::from(code)
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        let read_config = || Loaded::read(self.config.as_deref());
        match self.command {
            Command::Keys(command) => command.run(),
            Command::Config(command) => command.run(&read_config()?),
        }
    }
}
