//! `trunkline keys …`

use std::process::ExitCode;

use clap::Subcommand;
use secrecy::ExposeSecret;
use trunkline_store::Keyring;

use super::report;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a new sealing key in the form of sealing.keys
    ///
    /// Keep it apart from the database, and keep a copy: without it no tenant's secrets can be
    /// read. To change keys, put the new one before the old one, separated by a comma: the first
    /// seals, all of them open.
    Generate,
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Generate => {
                let key = Keyring::generate_key()?;
                report::result(&format!("{}\n", key.expose_secret()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
