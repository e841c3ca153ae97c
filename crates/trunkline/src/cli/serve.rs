//! `trunkline serve`

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::config::Config;
use crate::serve::{self, Migration, Stop};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Bring the database's tables to this version first, as `trunkline migrate` does and as
    /// database.migrate_at_start sets
    #[arg(long)]
    migrate: bool,
}

impl Arguments {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let migration = if self.migrate || config.database.migrate_at_start {
            Migration::AtStart
        } else {
            Migration::Before
        };
        let stop = Stop::default();
        let signals = serve::on_signals(stop.clone()).context("cannot listen for signals")?;
        tokio::select! {
            outcome = serve::run(config, migration, stop) => outcome?,
            () = signals => anyhow::bail!("signals are no longer heard"),
        }
        tracing::info!("the service has ended");
        Ok(ExitCode::SUCCESS)
    }
}
