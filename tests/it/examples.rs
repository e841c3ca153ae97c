//! The examples of `docs/api/README.md` work as they stand there.

use std::process::Output;

use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret as _;
use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears};

const PAGE: &str = include_str!("../../docs/api/README.md");

/// Every `curl` of the page fails where the API refuses, asks nobody but this machine, and
/// ends: the events go on until then.
const CURL: &str = "curl() { command curl --fail-with-body --noproxy '*' --max-time 30 \"$@\"; }";
/// As [`CURL`], for what does not end by itself.
const CURL_OF_EVENTS: &str =
    "curl() { command curl --fail-with-body --noproxy '*' --max-time 2 \"$@\"; }";
/// What curl ends with when the time is up.
const TIME_IS_UP: i32 = 28;

/// The commands of the page's consoles, in their order.
fn commands() -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for block in PAGE.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        // Whether the line before goes on here.
        let mut goes_on = false;
        for line in block.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push(command.to_owned()),
                (None, Some(last)) if goes_on => {
                    last.push('\n');
                    last.push_str(line);
                }
                // What the command before prints.
                (None, _) => continue,
            }
            let command = commands.last().map_or("", String::as_str);
            goes_on = command.ends_with('\\') || command.matches('\'').count() % 2 == 1;
        }
    }
    commands
}

/// The page's names for what is otherwise here: addresses, the call and the version.
async fn here(bed: &Bed, call: &str, command: &str) -> anyhow::Result<String> {
    let project = bed.project("harbour");
    let query = "SELECT version FROM tenants WHERE slug = 'acme'";
    let version: Option<i64> = sqlx::query_scalar(query).fetch_optional(&bed.sql).await?;
    Ok(command
        .replace("http://127.0.0.1:8081", &bed.product.api_url())
        .replace("wss://acme.livekit.cloud", &project.livekit.url())
        .replace("APIabc", project.livekit.api_key())
        .replace("the-secret", project.livekit.api_secret().expose_secret())
        .replace("https://acme.example/call-config", &project.backend.url())
        .replace("/calls/ID", &format!("/calls/{call}"))
        .replace("\"42\"", &format!("\"{}\"", version.unwrap_or(42))))
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|o| String::from_utf8_lossy(o));
    format!("{out}{err}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_api_s_page_does_what_it_is_there_for() -> anyhow::Result<()> {
    let mut bed = Bed::start(&["harbour"]).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let commands = commands();
    ensure!(commands.len() >= 15, "{commands:#?}");
    // What a command exports is there for those behind it.
    let mut exported: Vec<(String, String)> = Vec::new();
    let mut call = None;
    for command in &commands {
        if let Some(assignment) = command.strip_prefix("export ") {
            let (name, _) = assignment.split_once('=').context("a variable")?;
            let script = here(&bed, "", command).await?;
            let script = format!("{script} && printf %s \"${name}\"");
            let output = bed.product.shell(&script, &exported).await?;
            ensure!(output.status.success(), "{command}\n{}", said(&output));
            exported.push((name.to_owned(), String::from_utf8(output.stdout)?));
            continue;
        }
        if call.is_none() {
            call = Some(live_call(&bed, &exported).await?);
        }
        let id = call.as_deref().unwrap_or_default();
        let is_endless = command.contains("/v1/events");
        let curl = if is_endless { CURL_OF_EVENTS } else { CURL };
        let script = format!("{curl}\n{}", here(&bed, id, command).await?);
        let output = bed.product.shell(&script, &exported).await?;
        let expected = if is_endless { TIME_IS_UP } else { 0 };
        ensure!(
            output.status.code() == Some(expected),
            "{command}\nended with {}: {}",
            output.status,
            said(&output)
        );
        if is_endless {
            let events = said(&output);
            ensure!(events.contains("event: worker"), "{command}\n{events}");
        }
    }
    // The last one of them, on the page as here.
    let exit = bed.product.ended(SOON).await?;
    ensure!(exit.success(), "{exit}");
    Ok(())
}

/// The id of the call under way.
async fn live_call(bed: &Bed, exported: &[(String, String)]) -> anyhow::Result<String> {
    let script = format!("{CURL}\ncurl -s -H \"Authorization: Bearer $TOKEN\" $API/v1/calls/live");
    let output = bed.product.shell(&script, exported).await?;
    let live: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    let id = live["items"][0]["id"].as_str().context("a call")?;
    Ok(id.to_owned())
}
