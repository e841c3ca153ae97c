//! The caller breaks in.

use std::time::Duration;

use serde_json::json;
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::Bed;
use trunkline_testbed::caller::SAMPLE_RATE;
use trunkline_testbed::voice;

use crate::common::{SOON, heard, hears, say};

/// Long enough that nobody hears the end of it.
const LONG: &str = "Welcome to the harbour office, which is open every day from seven in the \
                    morning until eight in the evening, except on the first Monday of the month, \
                    when the crew cleans the quays and nobody picks up the telephone at all.";

#[tokio::test(flavor = "multi_thread")]
async fn a_break_in_stops_the_sound_and_truncates_at_what_was_heard() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    project
        .backend
        .reply(Reply::Json(json!({ "startMessage": LONG })));
    let caller = project.ring().await?;
    caller
        .heard_until(SOON, |pcm| {
            voice::decode(pcm, SAMPLE_RATE)
                .iter()
                .any(|heard| heard.text.contains("harbour"))
        })
        .await?;
    say(&caller, "Sorry, which number is this?").await;
    hears(&caller, "You said: Sorry, which number is this?").await?;

    let greeting = heard(&caller).remove(0);
    assert!(!greeting.complete, "{greeting:?}");
    let words: Vec<&str> = greeting.text.split(' ').collect();
    let begun: Vec<&str> = LONG.split(' ').take(words.len() + 1).collect();
    assert!(
        voice::is_sentence(&greeting.text, &begun.join(" ")),
        "{greeting:?}"
    );

    let session = bed.model.sessions().pop().expect("a session");
    let truncation = session.truncations.first().expect("the model was told");
    let said = voice::spoken_by(LONG, truncation.audio_end);
    // The words that the model keeps are the words that were heard: one may have
    // been cut in the middle, and is on one side only; one may be lost on the line.
    let (kept, heard) = (said.split(' ').count(), greeting.text.split(' ').count());
    assert!(
        kept.abs_diff(heard) <= 2,
        "kept {said:?}, heard {:?}",
        greeting.text
    );
    assert!(truncation.audio_end > Duration::ZERO);
    Ok(())
}
