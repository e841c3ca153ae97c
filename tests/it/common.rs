//! What the tests say again and again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sqlx::PgPool;
use trunkline_testbed::caller::{Caller, SAMPLE_RATE};
use trunkline_testbed::voice;

/// A bound for what takes milliseconds on a quiet machine and seconds on one
/// that has other work. Nothing passes or fails by being faster than this.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How often it is asked again for what is waited for.
const POLL: Duration = Duration::from_millis(20);

/// How long a caller waits for an answer before asking again.
const PATIENCE: Duration = Duration::from_secs(4);

/// The sentences that a caller has heard so far, whole or broken off.
pub(crate) fn heard(caller: &Caller) -> Vec<voice::Heard> {
    voice::decode(&caller.heard(), SAMPLE_RATE)
}

/// Waits until the caller has heard this sentence to its end; a word may be lost
/// on the way.
pub(crate) async fn hears(caller: &Caller, sentence: &str) -> anyhow::Result<()> {
    hears_within(SOON, caller, sentence).await
}

async fn hears_within(limit: Duration, caller: &Caller, sentence: &str) -> anyhow::Result<()> {
    let last = sentence.rsplit(' ').next().unwrap_or_default();
    let said = |pcm: &[i16]| {
        voice::decode(pcm, SAMPLE_RATE).iter().any(|heard| {
            let to_its_end = heard.complete || heard.text.ends_with(last);
            to_its_end && voice::is_sentence(&heard.text, sentence)
        })
    };
    caller
        .heard_until(limit, said)
        .await
        .with_context(|| format!("{sentence:?} was not heard, but {:?}", heard(caller)))
}

/// Says a sentence to the agent, in a voice whose words the model understands.
pub(crate) async fn say(caller: &Caller, sentence: &str) {
    caller.speak(&voice::encode(sentence, SAMPLE_RATE)).await;
}

/// Says a sentence again until it is answered, as people do when they were not
/// heard: while the agent's connection is made anew, nobody listens.
pub(crate) async fn ask_until_answered(caller: &Caller, sentence: &str) -> anyhow::Result<()> {
    let until = Instant::now() + SOON;
    let answer = format!("You said: {sentence}");
    loop {
        say(caller, sentence).await;
        let error = match hears_within(PATIENCE, caller, &answer).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(error);
        }
    }
}

/// The record of a call, as far as the tests look at it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Record {
    pub(crate) outcome: String,
    pub(crate) config_source: Option<String>,
    pub(crate) fallback_reason: Option<String>,
    pub(crate) model: Option<String>,
}

/// Waits for the record of the call in a room.
pub(crate) async fn record_of(sql: &PgPool, room: &str) -> anyhow::Result<Record> {
    let query = "SELECT outcome, config_source, fallback_reason, model FROM calls WHERE room = $1";
    eventually(async || {
        let found = sqlx::query_as::<_, Record>(query).bind(room);
        let found = found.fetch_optional(sql).await?;
        Ok(found.ok_or_else(|| format!("there is no record of the call in {room}")))
    })
    .await
}

/// Asks until there is what is waited for; what there is meanwhile is the error in the end.
pub(crate) async fn eventually<T>(
    mut ask: impl AsyncFnMut() -> anyhow::Result<Result<T, String>>,
) -> anyhow::Result<T> {
    let until = Instant::now() + SOON;
    loop {
        match ask().await? {
            Ok(found) => return Ok(found),
            Err(instead) => ensure!(Instant::now() < until, "{instead}"),
        }
        tokio::time::sleep(POLL).await;
    }
}
