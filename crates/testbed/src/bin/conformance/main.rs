//! `./dev conformance`: the official SDK's own end-to-end tests, on our media
//! engine and a real livekit-server.
//!
//! The tests come with the SDK's crate, in the version that the lock file names.
//! They are built in a little workspace under `target/`, and each runs in a
//! process of its own. Prints a table for people, keeps the output of what
//! failed, and prints one JSON object as its last line; ends with 0 only if
//! nothing failed and every test of the SDK was either run or left out by name.

mod binaries;
mod limits;
mod report;
mod run;
mod suites;
mod workspace;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use tokio::task::JoinSet;
use trunkline_testbed::livekit::{self, LiveKitOptions, LiveKitServer};
use trunkline_testbed::log::{self, Times};
use trunkline_testbed::sdk::Sdk;

use crate::binaries::Binary;
use crate::report::Report;
use crate::run::Test;
use crate::suites::{SUITES, Suite};
use crate::workspace::SdkWorkspace;

/// The official SDK's own end-to-end tests on our media engine.
#[derive(Parser)]
#[command(name = "conformance")]
struct Arguments {
    /// How many times everything runs
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Only the suites with this in their names (repeatable); then nothing is
    /// said of the others, nor of what is left out
    #[arg(long)]
    suite: Vec<String>,
    /// How many tests run at once
    #[arg(long, default_value_t = limits::AT_ONCE)]
    at_once: usize,
    /// Only tests with one of these in `target::name`
    #[arg(last = true)]
    filter: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    log::to_stderr("warn,trunkline_testbed=info", Times::Hidden);
    trunkline_testbed::install_crypto();

    let chosen: Vec<&Suite> = SUITES
        .iter()
        .filter(|suite| is_chosen(suite, &arguments.suite))
        .collect();
    anyhow::ensure!(
        !chosen.is_empty(),
        "no suite of that name; there are: {}",
        SUITES.map(|suite| suite.name).join(", ")
    );

    let sdk = Sdk::find()?;
    let directory = sdk.target().join("conformance");
    let workspace = SdkWorkspace::write(&sdk, &directory)?;
    let targets: Vec<&str> = if arguments.suite.is_empty() {
        // All that there are, to see those that are in no table.
        vec!["*"]
    } else {
        chosen
            .iter()
            .flat_map(|suite| suite.targets.iter().copied())
            .collect()
    };
    let binaries = binaries::build(&workspace, sdk.target(), &targets).await?;
    let objections = if arguments.suite.is_empty() {
        let listed: Vec<_> = binaries
            .iter()
            .map(|binary| (binary.target.clone(), binary.tests.clone()))
            .collect();
        suites::objections(&listed)
    } else {
        Vec::new()
    };
    let tests = tests(binaries, &arguments);
    anyhow::ensure!(!tests.is_empty(), "no test is selected");

    let server = LiveKitServer::start(LiveKitOptions::default()).await?;
    let server = Arc::new(server);
    let mut report = Report::new(&tests, arguments.runs, arguments.suite.is_empty());
    report.title(&format!(
        "livekit {}, its own tests, on crates/libwebrtc (in the place of {}) and livekit-server {}",
        sdk.version(),
        sdk.engine_version(),
        livekit::VERSION
    ))?;
    let output = fresh(&directory.join("output"))?;
    for run in 1..=arguments.runs {
        let output = output.join(run.to_string());
        std::fs::create_dir(&output).context("cannot make a directory for the output")?;
        report.begin(run)?;
        run_all(&tests, &server, &output, arguments.at_once, &mut report).await?;
        report.end()?;
    }
    report.objections(&objections)?;
    report.finish()?;
    Ok(if report.failed() == 0 && objections.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn is_chosen(suite: &Suite, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|part| suite.name.contains(part.as_str()))
}

/// What is to run, suite by suite.
fn tests(binaries: Vec<Binary>, arguments: &Arguments) -> Vec<Test> {
    let mut tests = Vec::new();
    for (index, suite) in SUITES.iter().enumerate() {
        if !is_chosen(suite, &arguments.suite) {
            continue;
        }
        for binary in &binaries {
            if !suite.targets.contains(&binary.target.as_str()) {
                continue;
            }
            tests.extend(binary.tests.iter().map(|name| Test {
                suite: index,
                target: binary.target.clone(),
                name: name.clone(),
                program: binary.program.clone(),
            }));
        }
    }
    tests.retain(|test| {
        let title = test.title();
        arguments.filter.is_empty() || arguments.filter.iter().any(|part| title.contains(part))
    });
    tests
}

/// An empty directory in the place of the last run's.
fn fresh(directory: &Path) -> anyhow::Result<PathBuf> {
    if directory.exists() {
        std::fs::remove_dir_all(directory).context("cannot remove the last run's output")?;
    }
    std::fs::create_dir_all(directory).context("cannot make a directory for the output")?;
    Ok(directory.to_owned())
}

/// Runs every test once: most of them a few at a time, then those that measure
/// time, one by one.
async fn run_all(
    tests: &[Test],
    server: &Arc<LiveKitServer>,
    output: &Path,
    at_once: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (alone, together): (VecDeque<Test>, VecDeque<Test>) = tests
        .iter()
        .cloned()
        .partition(|test| SUITES[test.suite].alone.contains(&test.name.as_str()));
    for (mut waiting, limit) in [(together, at_once.max(1)), (alone, 1)] {
        let mut running = JoinSet::new();
        loop {
            while running.len() < limit
                && let Some(test) = waiting.pop_front()
            {
                let (server, output) = (server.clone(), output.to_owned());
                running.spawn(async move {
                    let outcome = run::run(&test, &server, &output).await;
                    (test, outcome)
                });
            }
            let Some(ended) = running.join_next().await else {
                break;
            };
            let (test, outcome) = ended.context("a test's task has panicked")?;
            report.ended(&test, &outcome?)?;
        }
    }
    Ok(())
}
