//! The live view of a real call.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, answer_of, start_message_of};

use crate::common::{SOON, eventually, hears};

/// Above what is marked as slow, and far below the deadline of the lookup.
const SLOW_LOOKUP: Duration = Duration::from_millis(1_500);

async fn top(bed: &Bed, token_file: &str) -> anyhow::Result<Value> {
    let api = bed.product.api_url();
    let once = [
        "top",
        "--once",
        "--json",
        "--api",
        &api,
        "--token-from",
        token_file,
    ];
    let printed = bed.product.command(&once).await?;
    Ok(serde_json::from_str(&printed)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_a_call_with_what_was_slow_and_forgets_it_with_its_end() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let add = ["token", "add", "top", "--scope", "read"];
    let token = bed.product.command(&add).await?;
    let directory = tempfile::tempdir()?;
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, token)?;
    let token_file = token_file.to_str().context("a path of text")?;

    let project = bed.project("harbour");
    project
        .backend
        .reply(Reply::after(SLOW_LOOKUP, Reply::Json(answer_of("harbour"))));
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;

    let shown = top(&bed, token_file).await?;
    let call = &shown["calls"][0];
    assert_eq!(
        (&call["tenant"], &call["step"]),
        (&json!("harbour"), &json!("talking"))
    );
    let number = call["caller"].as_str().context("a caller")?;
    ensure!(number.starts_with('…'), "{number} is not masked");
    let slow = call["slow"].as_array().context("what was slow")?;
    let lookup = slow.iter().find(|slow| slow["part"] == "lookup");
    let took = lookup.context("a slow lookup")?["took_ms"].as_i64();
    ensure!(took.is_some_and(|took| took > 1_000), "{call}");
    assert_eq!(shown["projects"][0]["state"], "registered");
    assert_eq!(shown["projects"][0]["active_calls"], 1);

    // What the process uses is read every second.
    let per_call = eventually(async || {
        let shown = top(&bed, token_file).await?;
        let used = &shown["replica"]["resources"];
        let cores = used["process_cores_per_call"].as_f64().filter(|c| *c > 0.0);
        Ok(cores.ok_or_else(|| format!("nothing was measured: {shown}")))
    })
    .await?;
    ensure!(per_call < 64.0, "{per_call} cores");

    let room = caller.room().to_owned();
    caller.hang_up().await?;
    project.livekit.probe().room_gone(&room, SOON).await?;
    eventually(async || {
        let calls = top(&bed, token_file).await?["calls"].take();
        Ok(match calls == json!([]) {
            true => Ok(()),
            false => Err(format!("the call is still there: {calls}")),
        })
    })
    .await
}
