//! `trunkline keys …`

use std::process::ExitCode;

use clap::Subcommand;

use super::report;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a new sealing key, as sealing.keys takes it. Keep it apart from the database: without it no tenant's secrets can be read
    Generate {
        /// The key's id, which is kept beside everything that it seals
        #[arg(long, default_value = "k1")]
        id: String,
    },
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Generate { id } => {
                anyhow::ensure!(
                    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                    "a key's id is made of letters, digits and '-', not {id:?}"
                );
                report::result(&format!("{id}:{}\n", "TODO"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
