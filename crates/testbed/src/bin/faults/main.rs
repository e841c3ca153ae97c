//! `./dev faults`: what a caller hears when something fails, for every fault that the testbed can
//! make, on a real livekit-server and a real Postgres.
//!
//! In each case a caller rings, is greeted, asks a question and waits for the answer. What was
//! heard is told by the caller's recording alone. Prints a table for people and, as its last line,
//! one JSON object; ends with 0 only if no caller was left in silence.

mod case;
mod listener;
mod matrix;
mod play;
mod report;
mod silence;
mod site;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trunkline_testbed::bed::Bed;
use trunkline_testbed::log::{self, Times};
use trunkline_testbed::model::ModelOptions;

use crate::case::{Case, Part};
use crate::report::{Row, say};

/// What a caller hears when something fails.
#[derive(Parser)]
#[command(name = "faults")]
struct Arguments {
    /// How many cases run at the same time
    #[arg(long, default_value_t = 4)]
    at_once: usize,
    /// Only the cases whose name holds this text, as "room: " or "garbage"
    #[arg(long)]
    only: Option<String>,
    /// Lists the cases and runs none
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    log::to_stderr(
        "error,livekit=off,livekit_api=off,libwebrtc=off",
        Times::Hidden,
    );
    trunkline_testbed::install_crypto();
    trunkline_signalling::install()?;
    let wanted = |case: &Case| match &arguments.only {
        Some(text) => case.name().contains(text.as_str()),
        None => true,
    };
    let cases: Vec<Case> = matrix::cases().into_iter().filter(wanted).collect();
    if arguments.list {
        for case in &cases {
            say(&case.name())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (rows, unplayed) = run(cases, arguments.at_once.max(1)).await?;
    report::finish(&rows, &unplayed)
}

/// Plays all cases. Those that touch what all share come last, one after the other. Answers what
/// became of them, and which could not be played.
async fn run(cases: Vec<Case>, at_once: usize) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let began = Instant::now();
    let count = cases.len();
    say(&format!(
        "What a caller hears when something fails: {count} cases, {at_once} at a time."
    ))?;
    say("")?;
    let bed = Arc::new(Bed::prepare(&[], ModelOptions::default(), &[]).await?);
    let (alone, together): (Vec<Case>, Vec<Case>) = cases
        .into_iter()
        .partition(|case| case.part == Part::Database);
    let mut rows = Vec::with_capacity(count);
    let mut unplayed = Vec::new();
    report::head()?;
    let places = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for (number, case) in together.into_iter().enumerate() {
        let (bed, places) = (Arc::clone(&bed), Arc::clone(&places));
        playing.spawn(async move {
            let _place = places.acquire_owned().await?;
            let name = case.name();
            let played = play::case(&bed, number, case).await;
            anyhow::Ok((name, played))
        });
    }
    while let Some(row) = playing.join_next().await {
        match row?? {
            (_, Ok(row)) => {
                row.tell()?;
                rows.push(row);
            }
            // As on a machine that is too busy for a caller to get into its room.
            (name, Err(error)) => {
                say(&format!("COULD NOT BE PLAYED: {name}: {error:#}"))?;
                unplayed.push(name);
            }
        }
    }
    let mut bed = Arc::into_inner(bed).context("a case still holds the stage")?;
    for (number, case) in alone.into_iter().enumerate() {
        let row = play::without_database(&mut bed, number, case).await?;
        row.tell()?;
        rows.push(row);
    }
    say("")?;
    say(&format!(
        "{} cases in {} s.",
        rows.len(),
        began.elapsed().as_secs()
    ))?;
    rows.sort_by_key(|row| row.place);
    Ok((rows, unplayed))
}
