//! `./dev bench`: what the media engine costs, whether it leaks, and how it sounds, beside
//! Google's C++ engine through the official Python SDK; what tenants cost, and how quick and how
//! dear calls are, beside livekit-agents.
//!
//! Each prints text for people and, as its last line, one JSON object.

mod allocations;
mod call;
mod call_script;
mod child;
mod deployment;
mod engine;
mod fidelity;
mod idle_agents;
mod leaks;
mod opus_alone;
mod orders;
mod pair;
mod protocol;
mod report;
mod rooms;
mod sites;
mod speech;
mod tenants;
mod usage;
mod visitor;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trunkline_testbed::log::{self, Times};

#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What a room costs
    Engine(engine::EngineArguments),
    /// Whether rooms leave anything behind
    Leaks(leaks::LeaksArguments),
    /// How speech arrives over a bad network
    Fidelity(fidelity::FidelityArguments),
    /// What tenants cost that wait for calls, and how soon a change is in effect
    Tenants(tenants::TenantsArguments),
    /// What calls cost, and how soon their callers hear something
    Call(call::CallArguments),
    /// A process that sits in rooms
    #[command(hide = true)]
    Rooms(rooms::RoomsArguments),
    /// A process of connections without an SDK
    #[command(hide = true)]
    Pairs(pair::PairArguments),
    /// A process that joins and leaves
    #[command(hide = true)]
    Visitor,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    log::to_stderr("warn,livekit=off,libwebrtc=error", Times::Shown);
    trunkline_testbed::install_crypto();
    // As the product does.
    trunkline_signalling::install()?;
    match Arguments::parse().what {
        What::Engine(arguments) => engine::run(arguments).await?,
        What::Leaks(arguments) => return leaks::run(arguments).await,
        What::Fidelity(arguments) => fidelity::run(arguments).await?,
        What::Tenants(arguments) => tenants::run(arguments).await?,
        What::Call(arguments) => call::run(arguments).await?,
        What::Rooms(arguments) => rooms::run(arguments).await?,
        What::Pairs(arguments) => pair::run(arguments).await?,
        What::Visitor => visitor::run().await?,
    }
    Ok(ExitCode::SUCCESS)
}
