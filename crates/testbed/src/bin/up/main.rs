//! `./dev up`: the product with three LiveKit projects, left running to be played
//! with. Two of them are onboarded, the third waits for somebody to do it.
//!
//! What another terminal needs is written to a directory: variables to be read by
//! its shell, and the secrets that are to be given to commands.

mod place;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, Project, answer_of};
use trunkline_testbed::log::{self, Times};
use trunkline_testbed::model::ModelOptions;

use crate::place::Place;

/// Projects whose tenants are there from the start.
const ONBOARDED: [&str; 2] = ["harbour", "lantern"];
/// The one that is yours to onboard.
const SPARE: &str = "museum";

/// How long calls may go on when trunkline is started anew; a drain takes longer in production.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// A process that is killed ends at once.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long at a time it is watched whether trunkline still runs.
const WATCH: Duration = Duration::from_millis(500);

/// Run trunkline with LiveKit projects to play with, until Ctrl-C.
#[derive(Parser)]
#[command(name = "up")]
struct Arguments {
    /// Let OpenAI's model speak, with OPENAI_API_KEY, in the place of the simulated one
    #[arg(long, value_parser = ["openai", "simulated"], default_value = "simulated")]
    model: String,
    /// Where the files go that another terminal needs
    #[arg(long, default_value = "target/up")]
    out: PathBuf,
}

/// What somebody at the terminal wants.
enum Wish {
    Restart,
    /// In this file, or where `trunkline call` was told to save it.
    Heard(Option<PathBuf>),
    End,
    TrunklineEnded,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    log::to_stderr(
        "warn,trunkline_testbed=info,livekit=error,libwebrtc=error",
        Times::Hidden,
    );
    let openai_key = match arguments.model.as_str() {
        "openai" => Some(
            std::env::var("OPENAI_API_KEY")
                .map(SecretString::from)
                .context("--model openai needs OPENAI_API_KEY")?,
        ),
        _ => None,
    };
    // From here on a signal is a wish like others: everything that was started is ended in order.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut bed = tokio::select! {
        bed = set(openai_key.as_ref()) => bed?,
        _ = interrupted.recv() => return Ok(()),
        _ = terminated.recv() => return Ok(()),
    };
    let place = Place::furnish(&arguments.out, &bed, SPARE).await?;
    say(&place.what_to_try(&bed, SPARE));

    let mut typed = typed();
    let mut runs = true;
    loop {
        let wish = tokio::select! {
            _ = interrupted.recv() => Wish::End,
            _ = terminated.recv() => Wish::End,
            Some(wish) = typed.recv() => wish,
            () = trunkline_ended(&mut bed), if runs => Wish::TrunklineEnded,
        };
        match wish {
            Wish::End => break,
            Wish::TrunklineEnded => {
                runs = false;
                say("trunkline has ended. r and Enter starts it again.");
            }
            Wish::Restart => {
                let restarted = tokio::select! {
                    restarted = restart(&mut bed, runs) => restarted,
                    _ = interrupted.recv() => break,
                    _ = terminated.recv() => break,
                };
                runs = restarted.is_ok();
                match restarted {
                    Ok(()) => say("trunkline runs, started anew."),
                    Err(error) => say(&format!("{error:#}")),
                }
            }
            Wish::Heard(file) => say(&place.what_was_heard(file.as_deref())),
        }
    }
    say("Ending everything.");
    Ok(())
}

/// Prints a line, whether somebody reads it or not.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Starts everything, and onboards the first projects, each by a row.
async fn set(openai_key: Option<&SecretString>) -> anyhow::Result<Bed> {
    let names: Vec<&str> = ONBOARDED.into_iter().chain([SPARE]).collect();
    say("Starting Postgres, three livekit-servers, three backends and trunkline …");
    let mut bed = Bed::prepare(&names, ModelOptions::default(), &[]).await?;
    for project in &bed.projects {
        let mut answer = answer_of(&project.slug);
        answer["startMessage"] = greeting_of(&project.slug).into();
        // The model has no such setting, and `tenant test` would say so.
        answer["temperature"] = serde_json::Value::Null;
        project.backend.reply(Reply::Json(answer));
    }
    let (key, base_url) = match openai_key {
        Some(key) => (key.clone(), None),
        None => (bed.model_key.clone(), Some(bed.model.base_url())),
    };
    bed.product
        .configure("TRUNKLINE_PROVIDER__API_KEY", key.expose_secret());
    if let Some(base_url) = base_url {
        bed.product
            .configure("TRUNKLINE_PROVIDER__BASE_URL", &base_url);
    }
    // The model's key was not known as it was started.
    restart(&mut bed, true).await?;
    for slug in ONBOARDED {
        onboard(&bed, bed.project(slug)).await?;
    }
    for slug in ONBOARDED {
        bed.registered(slug).await?;
    }
    Ok(bed)
}

fn greeting_of(slug: &str) -> String {
    format!("This is the {slug}. How can I help you?")
}

async fn onboard(bed: &Bed, project: &Project) -> anyhow::Result<()> {
    let livekit = &project.livekit;
    sqlx::query(
        "INSERT INTO tenants (slug, livekit_url, livekit_api_key, livekit_api_secret, \
         call_config_url) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&project.slug)
    .bind(livekit.url())
    .bind(livekit.api_key())
    .bind(livekit.api_secret().expose_secret())
    .bind(project.backend.url())
    .execute(&bed.sql)
    .await
    .context("onboarding a tenant")?;
    Ok(())
}

async fn restart(bed: &mut Bed, runs: bool) -> anyhow::Result<()> {
    if runs {
        let calls = calls(bed).await;
        if calls > 0 {
            let limit = DRAIN_LIMIT.as_secs();
            say(&format!(
                "It drains, with calls under way: {calls}. It starts anew when they have ended, and \
                 after {limit} s cuts what is left."
            ));
        }
        bed.product.terminate();
        if bed.product.ended(DRAIN_LIMIT).await.is_err() {
            say("The time is up: the calls are cut.");
            bed.product.kill();
            bed.product.ended(KILL_LIMIT).await?;
        }
    }
    bed.product.start_again().await
}

/// Calls under way, as far as it tells.
async fn calls(bed: &Bed) -> u64 {
    let projects = bed.product.projects().await.unwrap_or_default();
    projects.iter().map(|project| project.active_calls).sum()
}

/// What is typed, until nobody can type any more.
fn typed() -> mpsc::Receiver<Wish> {
    let (wishes, typed) = mpsc::channel(1);
    // A thread of its own: a runtime would wait for the end of its input before it ends.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let line = line.trim();
            let wish = match line.split_once(' ') {
                Some(("h", file)) => Wish::Heard(Some(file.trim().into())),
                _ if line.is_empty() => continue,
                _ if line == "r" => Wish::Restart,
                _ if line == "h" => Wish::Heard(None),
                _ if line == "q" => Wish::End,
                _ => {
                    say(&format!("{line:?} is not known: r, h, h FILE or q"));
                    continue;
                }
            };
            if wishes.blocking_send(wish).is_err() {
                return;
            }
        }
    });
    typed
}

async fn trunkline_ended(bed: &mut Bed) {
    while bed.product.ended(WATCH).await.is_err() {}
}
