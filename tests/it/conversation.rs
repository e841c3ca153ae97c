//! What happens between the first word and the last.

use serde_json::{Value, json};
use trunkline_testbed::backend::Reply;
use trunkline_testbed::bed::{Bed, start_message_of};
use trunkline_testbed::model::{Behaviour, Reply as Answer, Script, Turn};

use crate::common::{SOON, eventually, hears, record_of, say};

const STILL_THERE: &str = "Are you still there?";
const GOODBYE: &str = "I did not hear you, so goodbye.";

/// A model that does what its instructions for one answer ask for.
fn attentive() -> Behaviour {
    Behaviour {
        script: Script::new(|turn: &Turn| {
            let ordered = turn.response_instructions.as_deref().unwrap_or_default();
            if ordered.contains("still there") {
                Answer::say(STILL_THERE)
            } else if ordered.contains("say goodbye") {
                Answer::say(GOODBYE)
            } else {
                Answer::obedient(turn)
            }
        }),
        ..Behaviour::default()
    }
}

async fn bed_with(answer: Value) -> anyhow::Result<Bed> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.project("harbour").backend.reply(Reply::Json(answer));
    Ok(bed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_says_nothing_is_asked_and_then_said_goodbye_to() -> anyhow::Result<()> {
    let bed = bed_with(json!({
        "startMessage": "Hello.",
        "limits": {"silenceSeconds": 2, "silencePrompts": 1},
    }))
    .await?;
    bed.model.behave(attentive());
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, "Hello.").await?;
    hears(&caller, STILL_THERE).await?;
    hears(&caller, GOODBYE).await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, caller.room()).await?;
    assert_eq!(record.outcome, "caller_silent");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_caller_presses_are_told_to_the_model() -> anyhow::Result<()> {
    let bed = bed_with(json!({"startMessage": "Please enter your number."})).await?;
    bed.model.behave(Behaviour {
        script: Script::new(|turn: &Turn| {
            if turn.user.ends_with("keys of the phone: 4 2 #)") {
                Answer::say("Thank you for the number.")
            } else {
                Answer::obedient(turn)
            }
        }),
        ..Behaviour::default()
    });
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, "Please enter your number.").await?;
    caller.press("42#");
    hears(&caller, "Thank you for the number.").await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_are_written_into_the_room() -> anyhow::Result<()> {
    let bed = bed_with(json!({"startMessage": "Hello."})).await?;
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, "Hello.").await?;
    say(&caller, "Are you open on Sunday?").await;
    hears(&caller, "You said: Are you open on Sunday?").await?;
    let written = eventually(async || {
        let written = caller.written();
        Ok(if written.len() >= 3 {
            Ok(written)
        } else {
            Err(format!("only this was written: {written:?}"))
        })
    })
    .await?;
    let track_of = |text: &str| {
        let mut lines = written.iter();
        let line = lines.find(|line| line.text == text);
        line.map(|line| line.track.clone()).unwrap_or_default()
    };
    let agent = track_of("Hello.");
    assert!(agent.starts_with("TR_"), "{written:?}");
    assert_eq!(track_of("You said: Are you open on Sunday?"), agent);
    let caller = track_of("Are you open on Sunday?");
    assert!(caller.starts_with("TR_") && caller != agent, "{written:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_backend_rejects_is_never_answered() -> anyhow::Result<()> {
    let bed = bed_with(json!({"action": {"type": "reject"}})).await?;
    let caller = bed.project("harbour").ring().await?;
    caller.wait_ended(SOON).await?;
    assert!(caller.timeline().answered.is_none());
    let record = record_of(&bed.sql, caller.room()).await?;
    assert_eq!(record.outcome, "rejected");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_passed_on_hears_the_apology() -> anyhow::Result<()> {
    // The project's server has no bridge that could pass it on.
    let bed = bed_with(json!({
        "language": "de",
        "action": {"type": "transfer", "to": "+15550009999"},
    }))
    .await?;
    let caller = bed.project("harbour").ring().await?;
    caller
        .heard_until(SOON, |pcm| pcm.iter().any(|&sample| sample.abs() > 8_000))
        .await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, caller.room()).await?;
    assert_eq!(record.outcome, "transfer_failed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_is_not_to_be_broken_is_heard_whole() -> anyhow::Result<()> {
    let long = "This call is recorded for training purposes, as the law of the harbour demands.";
    let bed = bed_with(json!({"startMessage": long, "greetingInterruptible": false})).await?;
    let caller = bed.project("harbour").ring().await?;
    caller.wait_active(SOON).await?;
    say(&caller, "Hello? Hello?").await;
    hears(&caller, long).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_participant_in_the_room_neither_speaks_for_the_caller_nor_ends_the_call()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let caller = project.ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    let guest = project.livekit.guest(caller.room(), "supervisor").await?;
    guest.close().await?;
    say(&caller, "Are you there?").await;
    hears(&caller, "You said: Are you there?").await
}
