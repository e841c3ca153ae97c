//! The command line.
//!
//! Exit codes: 0 done; 1 failed, with the reason on standard error; 2 the
//! command line or the configuration cannot be used. Results go to standard
//! output, everything else to standard error.

mod actor;
mod call;
mod config;
mod hidden_input;
mod keys;
mod migrate;
mod number;
mod openapi;
mod report;
mod secret;
mod serve;
mod shell;
mod tenant;
mod token;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{ArgAction, Parser, Subcommand};

use crate::config::{ConfigError, Loaded, Log, LogFormat};
use crate::serve::{ServeError, StartError};
use crate::telemetry::logs;
use crate::wiring::OpenError;

/// Answers phone calls for any number of LiveKit projects.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, propagate_version = true)]
pub struct Cli {
    /// The configuration file, in TOML. Variables TRUNKLINE_SECTION__KEY are over it
    #[arg(long, global = true, env = "TRUNKLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log what libraries say too, and with -vv in detail. RUST_LOG chooses what. `serve` logs as
    /// log.filter says
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer calls until told to stop
    Serve(serve::Arguments),
    /// Bring the database's tables to this version
    Migrate,
    /// Add, list, switch and remove tenants
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Ring a test call into a tenant's project, and save what is heard
    Call(Box<call::Arguments>),
    /// Watch projects and calls live in the terminal
    Top(top::Arguments),
    /// Make, list and revoke tokens for the API
    #[command(subcommand)]
    Token(token::Command),
    /// Print the API's description: OpenAPI 3.1, as /v1/openapi.json serves it
    Openapi,
    /// Make, list and rotate the keys that tenants' secrets are sealed with
    #[command(subcommand)]
    Keys(keys::Command),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print what a shell needs to complete the command line
    Completion(shell::Completion),
    /// Write the pages for `man`, one for each command
    Man(shell::Man),
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
            let usage = error.is::<ConfigError>()
                || error.is::<OpenError>()
                || matches!(
                    error.downcast_ref(),
                    Some(ServeError::Start(StartError::Open(_)))
                );
            ExitCode::from(if usage { EXIT_USAGE } else { EXIT_FAILED })
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        // Before there is a configuration, there is a key in it.
        if let Command::Keys(command) = &self.command
            && command.generates()
        {
            return keys::generate();
        }
        match &self.command {
            Command::Openapi => return openapi::run(),
            Command::Completion(arguments) => return arguments.run(),
            Command::Man(arguments) => return arguments.run(),
            _ => {}
        }
        let loaded = Loaded::read(self.config.as_deref())?;
        match self.command {
            Command::Serve(_) => logs::install(&loaded.config.log)?,
            _ => self.install_logs()?,
        }
        // One crypto library in the process, for TLS wherever it is spoken.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .map_err(|_| anyhow::anyhow!("another TLS provider is installed"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the asynchronous runtime cannot be started")?;
        runtime.block_on(async {
            match self.command {
                Command::Serve(arguments) => arguments.run(loaded.config).await,
                Command::Migrate => migrate::run(&loaded.config).await,
                Command::Tenant(command) => command.run(&loaded.config).await,
                Command::Keys(command) => command.run(&loaded.config).await,
                Command::Token(command) => command.run(&loaded.config).await,
                Command::Openapi => openapi::run(),
                Command::Top(arguments) => arguments.run().await,
                Command::Call(arguments) => arguments.run(&loaded.config).await,
                Command::Completion(arguments) => arguments.run(),
                Command::Man(arguments) => arguments.run(),
                Command::Config(command) => command.run(&loaded).await,
            }
        })
    }

    /// What a command has to say it says itself.
    fn install_logs(&self) -> anyhow::Result<()> {
        let wanted = std::env::var("RUST_LOG").ok().filter(|w| !w.is_empty());
        let filter = match (&self.command, wanted, self.verbose) {
            // What is logged would stand in the middle of the picture.
            (Command::Top(_), ..) => "off".to_owned(),
            (_, Some(wanted), _) => wanted,
            (_, None, 2..) => "debug".to_owned(),
            (_, None, 1) => "info".to_owned(),
            // Libraries warn of what the call, or the check, goes on to tell.
            (Command::Call(_) | Command::Tenant(tenant::Command::Test(_)), ..) => "off".to_owned(),
            _ => "warn".to_owned(),
        };
        let format = LogFormat::Human;
        logs::install(&Log { format, filter })
            .context("logging cannot be set up; is RUST_LOG right?")
    }
}
