//! What fails before the first word, or takes the whole room with it. (All faults, with how long
//! the silence was: `./dev faults`.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trunkline_testbed::bed::{Bed, start_message_of};
use trunkline_testbed::caller::Caller;
use trunkline_testbed::model::{
    Behaviour, Disturbance, Opening, Reply, ResponseFault, Script, Turn,
};

use crate::common::{SOON, hears, record_of, say};

/// The recorded apology: loud, for longer than a click, and no word of the model's.
async fn hears_the_apology(caller: &Caller) -> anyhow::Result<()> {
    caller
        .heard_until(SOON, |pcm| {
            pcm.iter().filter(|sample| sample.abs() > 8_000).count() > 2_400
        })
        .await
}

async fn apologises(opening: Opening) -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.model.behave(Behaviour {
        opening,
        ..Behaviour::default()
    });
    let caller = bed.project("harbour").ring().await?;
    hears_the_apology(&caller).await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, caller.room()).await?;
    assert_eq!(record.outcome, "model_failed");
    Ok(())
}

/// A model whose first greeting goes wrong in this way.
async fn greets_all_the_same(fault: ResponseFault) -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let has_failed = Arc::new(AtomicBool::new(false));
    bed.model.behave(Behaviour {
        script: Script::new(move |turn: &Turn| {
            let reply = Reply::obedient(turn);
            match has_failed.swap(true, Ordering::Relaxed) {
                true => reply,
                false => reply.but(fault.clone()),
            }
        }),
        ..Behaviour::default()
    });
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_refuses_everybody_is_apologised_for() -> anyhow::Result<()> {
    apologises(Opening::Refused(503)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_answers_is_apologised_for() -> anyhow::Result<()> {
    apologises(Opening::Mute).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_failed_is_asked_for_again() -> anyhow::Result<()> {
    greets_all_the_same(ResponseFault::Failed {
        code: "server_error".to_owned(),
        after: Duration::ZERO,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_the_socket_closes_on_is_another_sessions() -> anyhow::Result<()> {
    let after = Duration::ZERO;
    greets_all_the_same(ResponseFault::Closed { code: 1011, after }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_among_the_models_events_is_passed_over() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.model.behave(Behaviour {
        disturbance: Disturbance::Garbage,
        ..Behaviour::default()
    });
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    say(&caller, "When do you open?").await;
    hears(&caller, "You said: When do you open?").await
}
