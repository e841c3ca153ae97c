//! `./dev demo`: two LiveKit projects, one process, a phone call in each at the
//! same time; a row changed while they talk, and a third call that hears it.
//!
//! Everything is real but the phone network, the tenants' backends and (unless
//! told otherwise) the model, which are simulated at their wires. Prints the story
//! for people and, as its last line, one JSON object; ends with 0 only if every
//! sentence that was heard was the right one.

mod call;
mod stage;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::json;
use trunkline_testbed::caller::Caller;
use trunkline_testbed::log::{self, Times};
use trunkline_testbed::voice;

use crate::call::Call;
use crate::stage::{HARBOUR, LANTERN, Stage};
use crate::story::{millis, say};

/// Which model speaks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    /// The simulated one, whose words are decoded from what the callers hear.
    Simulated,
    /// OpenAI's, with OPENAI_API_KEY. What it says is recorded, not decoded.
    Openai,
}

/// Two LiveKit projects, one process, a phone call answered in each.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Which model speaks
    #[arg(long, value_enum, default_value = "simulated")]
    model: Model,
    /// Where the recordings go
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

/// A bound for each step, far beyond what it takes.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    log::to_stderr(
        "warn,trunkline_testbed=info,livekit=error,libwebrtc=error",
        Times::Hidden,
    );
    std::fs::create_dir_all(&arguments.out)?;

    say("trunkline demo: two LiveKit projects, one process, a phone call in each")?;
    let stage = Stage::set(arguments.model).await?;
    let (calls, hot_reload) = play(&stage, &arguments).await?;

    let right = calls.iter().all(Call::is_right);
    say("")?;
    say(match right {
        true => "Every caller heard the right words.",
        false => "NOT RIGHT: see above for what was heard.",
    })?;
    let calls: Vec<_> = calls.iter().map(Call::json).collect();
    say(&json!({ "calls": calls, "hot_reload_ms": millis(hot_reload) }).to_string())?;
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The three calls, and how long the changed row took to hold.
async fn play(stage: &Stage, arguments: &Arguments) -> anyhow::Result<(Vec<Call>, Duration)> {
    say("")?;
    say("Both numbers are rung at the same moment.")?;
    let (harbour, lantern) =
        tokio::try_join!(stage.project(HARBOUR).ring(), stage.project(LANTERN).ring())?;
    tokio::try_join!(harbour.wait_active(LIMIT), lantern.wait_active(LIMIT))?;
    let interrupted = match arguments.model {
        Model::Simulated => Some(converse(&harbour).await?),
        Model::Openai => None,
    };
    let hot_reload = stage.change_row().await?;
    say(&format!(
        "While {HARBOUR} talks, {LANTERN}'s row is changed by UPDATE: in force after {} ms.",
        millis(hot_reload)
    ))?;
    stage
        .greeted(&harbour, stage.expected(HARBOUR, 1), interrupted.is_some())
        .await?;
    stage
        .greeted(&lantern, stage.expected(LANTERN, 1), false)
        .await?;
    if arguments.model == Model::Simulated {
        converse_to_the_end(&harbour).await?;
    }
    tokio::try_join!(harbour.hang_up(), lantern.hang_up())?;

    let again = stage.project(LANTERN).ring().await?;
    again.wait_active(LIMIT).await?;
    stage
        .greeted(&again, stage.expected(LANTERN, 2), false)
        .await?;
    again.hang_up().await?;

    let mut calls = Vec::new();
    for (slug, number, caller, interrupted) in [
        (HARBOUR, 1, harbour, interrupted),
        (LANTERN, 1, lantern, None),
        (LANTERN, 2, again, None),
    ] {
        let wav = arguments.out.join(format!("{slug}-{number}.wav"));
        let call = Call::observe(stage, slug, number, &caller, interrupted, wav).await?;
        call.tell()?;
        calls.push(call);
    }
    Ok((calls, hot_reload))
}

/// What the caller of the first call says when it breaks in.
const QUESTION: &str = "Sorry, are you open on Sunday?";

/// Lets the greeting begin, then breaks in. Returns when.
async fn converse(caller: &Caller) -> anyhow::Result<Instant> {
    let began = |pcm: &[i16]| {
        let words: usize = voice::decode(pcm, trunkline_testbed::caller::SAMPLE_RATE)
            .iter()
            .map(|heard| heard.text.split(' ').count())
            .sum();
        words >= 6
    };
    caller.heard_until(LIMIT, began).await?;
    let at = Instant::now();
    caller.start_speaking(&voice::encode(
        QUESTION,
        trunkline_testbed::caller::SAMPLE_RATE,
    ));
    Ok(at)
}

/// Waits for the answer to the question.
async fn converse_to_the_end(caller: &Caller) -> anyhow::Result<()> {
    let answer = format!("You said: {QUESTION}");
    caller
        .heard_until(LIMIT, |pcm| {
            voice::decode(pcm, trunkline_testbed::caller::SAMPLE_RATE)
                .iter()
                .any(|heard| voice::is_sentence(&heard.text, &answer))
        })
        .await
}
