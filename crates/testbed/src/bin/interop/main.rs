//! `./dev interop`: another LiveKit SDK, Python's on Google's C++ engine or JavaScript's in a
//! browser, and the Rust SDK on our engine in the same room of a real server. Each must hear the
//! other's tone and read the other's packets, in clear and encrypted.
//!
//! Not a part of `./dev test`, for it needs Python, node, a browser and packages of both. Prints a
//! table and, as the last line, one JSON object; ends with 0 only if all passed.

mod ours;
mod report;
mod scene;
mod theirs;

use std::process::ExitCode;

use clap::Parser;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};
use trunkline_testbed::log::{self, Times};

use crate::report::Report;
use crate::scene::Scene;
use crate::theirs::{Runtimes, Sdk};

/// Our engine and LiveKit's other SDKs in the same room.
#[derive(Parser)]
#[command(name = "interop")]
struct Arguments {
    #[command(flatten)]
    runtimes: Runtimes,
    /// Only with this SDK
    #[arg(long, value_enum)]
    sdk: Option<Sdk>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { runtimes, sdk } = Arguments::parse();
    log::to_stderr("warn,livekit=error,libwebrtc=error", Times::Shown);
    trunkline_testbed::install_crypto();
    let server = LiveKitServer::start(LiveKitOptions::default()).await?;
    let sdks = sdk.map_or(Sdk::ALL.to_vec(), |sdk| vec![sdk]);
    let mut report = Report::new(sdks.clone());
    for (place, sdk) in sdks.into_iter().enumerate() {
        for scene in Scene::ALL {
            let notes = report.notes(place, scene.name());
            scene.play(&server, sdk, &runtimes, notes).await?;
        }
    }
    Ok(match report.finish()? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
