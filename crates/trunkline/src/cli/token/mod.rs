//! `trunkline token …`

mod add;
mod expiry;
mod list;
mod revoke;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use trunkline_store::{AuditEntry, AuditOutcome, Store};
use uuid::Uuid;

use crate::cli::actor::actor;
use crate::cli::report;
use crate::config::Config;
use crate::wiring;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token for the API, and print it: it can never be read again
    Add(add::Arguments),
    /// List the tokens: who may use the API, how, and when they last did
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token. Every replica refuses it from the next request on
    Revoke(Named),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// The token's name, or its id
    name: String,
}

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = match &self {
            // The tenant's row is read, and what is in clear in it sealed.
            Self::Add(arguments) if arguments.names_a_tenant() => {
                wiring::open_store(config).await?
            }
            // Tokens themselves are hashed, not sealed.
            _ => wiring::open_store_without_keys(config)?,
        };
        let outcome = match self {
            Self::Add(arguments) => arguments.run(&store).await,
            Self::List { json } => list::run(&store, json).await,
            Self::Revoke(named) => revoke::run(&store, &named.name).await,
        };
        store.close().await;
        outcome.map(|()| ExitCode::SUCCESS)
    }
}

/// Says in the audit what was done here; it has been done, whether it can be said or
/// not.
async fn note(store: &Store, action: &str, target: &str, tenant_id: Option<Uuid>) {
    let entry = AuditEntry {
        replica: "cli".to_owned(),
        request_id: None,
        actor: actor().to_string(),
        token_id: None,
        address: None,
        action: action.to_owned(),
        target: Some(target.to_owned()),
        tenant_id,
        outcome: AuditOutcome::Done,
        status: None,
        detail: None,
    };
    if let Err(error) = store.audit(&entry).await {
        report::note(&format!("the audit did not take it: {}", error.one_line()));
    }
}
