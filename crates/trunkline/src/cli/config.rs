//! `trunkline config …`

use std::process::ExitCode;

use clap::Subcommand;

use super::report;
use crate::config::Loaded;
use crate::wiring;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the configuration as it holds, with the origin of each value. Secrets are not shown
    Show,
    /// Check everything that `serve` needs, without starting it and without trying the database.
    /// Errors name the key and its origin
    Check,
}

impl Command {
    pub(super) async fn run(self, loaded: &Loaded) -> anyhow::Result<ExitCode> {
        match self {
            Self::Show => report::result(&loaded.show())?,
            Self::Check => {
                wiring::open_store(&loaded.config).await?;
                if loaded.config.provider.api_key.is_none() {
                    report::note(&format!("warning: {}", wiring::NO_MODEL_KEY));
                }
                report::result("the configuration is fine\n")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
