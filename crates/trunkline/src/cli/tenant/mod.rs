//! `trunkline tenant …`

mod add;
mod change;
mod document;
mod export;
mod history;
mod import;
mod list;
mod set;
mod show;
mod test;
mod view;

use std::process::ExitCode;

use change::Consent;
use clap::{Args, Subcommand};

pub(super) use view::registrations;

use crate::config::Config;
use crate::wiring;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a tenant: one LiveKit project and how its calls are run
    Add(Box<add::Arguments>),
    /// Change a tenant: what is not named stays
    Set(Box<set::Arguments>),
    /// List the tenants with the state of each on every replica, and why a parked one is parked
    List(Output),
    /// Show one tenant, without its secrets
    Show {
        #[command(flatten)]
        tenant: Slug,
        #[command(flatten)]
        output: Output,
    },
    /// Check from end to end whether a tenant's calls would work, and say what to do where not
    Test(test::Arguments),
    /// Who changed what of a tenant, and when; the latest last. Also of one that was removed
    History(history::Arguments),
    /// Print tenants as one JSON document, without their secrets
    Export(export::Arguments),
    /// Create and change tenants as a JSON document says, all of them or none
    Import(import::Arguments),
    /// Let a tenant take calls
    Enable(Slug),
    /// Take no more calls for a tenant. Its row stays, and calls under way go on
    Disable(Slug),
    /// Remove a tenant and erase its secrets. Calls under way go on; the records of its calls and
    /// its history stay
    ///
    /// At a terminal it asks first.
    Remove {
        #[command(flatten)]
        tenant: Slug,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Slug {
    /// The tenant's name
    slug: String,
}

#[derive(Debug, Args)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = wiring::open_store(config).await?;
        let outcome = match self {
            Self::Add(arguments) => arguments.run(&store).await,
            Self::Set(arguments) => arguments.run(&store).await,
            Self::History(arguments) => arguments.run(&store).await,
            Self::Export(arguments) => arguments.run(&store).await,
            Self::Import(arguments) => arguments.run(&store).await,
            Self::List(output) => list::run(&store, &output).await,
            Self::Show { tenant, output } => show::run(config, &store, &tenant.slug, &output).await,
            Self::Test(arguments) => {
                let tested = arguments.run(config, &store).await;
                store.close().await;
                return tested;
            }
            Self::Enable(tenant) => change::enable(&store, &tenant.slug).await,
            Self::Disable(tenant) => change::disable(&store, &tenant.slug).await,
            Self::Remove { tenant, yes } => {
                let consent = if yes { Consent::Given } else { Consent::Asked };
                change::remove(&store, &tenant.slug, consent).await
            }
        };
        store.close().await;
        outcome.map(|()| ExitCode::SUCCESS)
    }
}
