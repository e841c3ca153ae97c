//! The model fails in mid-call, and the caller has the answer all the same.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use trunkline_testbed::bed::{Bed, REGISTER_LIMIT, start_message_of};
use trunkline_testbed::caller::Caller;
use trunkline_testbed::model::{
    Behaviour, ModelOptions, Opening, Reply, ResponseFault, Role, Script, SimulatedModel, Turn,
};
use trunkline_testbed::voice;

use crate::common::{SOON, hears, record_of, say};

/// A model whose answers fail in this way, the first so many of them. Greetings do not.
fn failing(fault: ResponseFault, times: usize) -> Behaviour {
    let failed = Arc::new(AtomicUsize::new(0));
    Behaviour {
        script: Script::new(move |turn: &Turn| {
            let greeting = turn.ordered_words();
            let is_greeting = greeting.is_some();
            let reply = Reply::say(greeting.unwrap_or_else(|| answer(turn)));
            if is_greeting || failed.fetch_add(1, Ordering::Relaxed) >= times {
                reply
            } else {
                reply.but(fault.clone())
            }
        }),
        ..Behaviour::default()
    }
}

/// An answer to the latest that the caller said, whether or not one was begun before.
fn answer(turn: &Turn) -> String {
    let mut said = turn.history.iter().rev();
    let latest = said.find(|(role, _)| *role == Role::User);
    format!("You said: {}", latest.map_or("", |(_, text)| text))
}

/// A file with these words in it.
fn wav(words: &str) -> anyhow::Result<Vec<u8>> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 24_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec)?;
    let sound = voice::encode(words, spec.sample_rate);
    sound.iter().try_for_each(|s| writer.write_sample(*s))?;
    writer.finalize()?;
    Ok(file.into_inner())
}

async fn greeted(bed: &Bed) -> anyhow::Result<Caller> {
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, &start_message_of("harbour")).await?;
    Ok(caller)
}

async fn answered_after(fault: ResponseFault, sessions: usize) -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.model.behave(failing(fault.clone(), 1));
    let caller = greeted(&bed).await?;
    say(&caller, "When do you open?").await;
    hears(&caller, "You said: When do you open?").await?;
    let room = caller.room().to_owned();
    caller.hang_up().await?;
    assert_eq!(record_of(&bed.sql, &room).await?.outcome, "caller_hung_up");
    let seen = bed.model.sessions();
    assert_eq!(seen.len(), sessions, "{fault:?}");
    if sessions > 1 {
        let history = &seen[sessions - 1].history;
        // The caller spoke as the greeting ended: its last word may count as not heard.
        let greeting = start_message_of("harbour");
        let (role, told) = &history[0];
        assert!(
            *role == Role::Assistant && !told.is_empty() && greeting.starts_with(told.as_str()),
            "the new session was not told what was said: {history:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_closes_before_the_answer_is_replaced() -> anyhow::Result<()> {
    let after = Duration::ZERO;
    answered_after(ResponseFault::Closed { code: 1011, after }, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_fails_is_asked_for_again_in_the_same_session() -> anyhow::Result<()> {
    let fault = ResponseFault::Failed {
        code: "rate_limit_exceeded".to_owned(),
        after: Duration::ZERO,
    };
    answered_after(fault, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_is_another_sessions() -> anyhow::Result<()> {
    answered_after(ResponseFault::Ignored, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_new_session_to_be_had_the_caller_hears_the_apology() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let after = Duration::ZERO;
    bed.model
        .behave(failing(ResponseFault::Closed { code: 1011, after }, 1));
    let caller = greeted(&bed).await?;
    bed.model.behave(Behaviour {
        opening: Opening::Refused(503),
        ..Behaviour::default()
    });
    let mark = caller.mark();
    say(&caller, "When do you open?").await;
    // No word of the model's: a voice that the decoder knows nothing of.
    caller
        .heard_until(SOON, |_| {
            let since = caller.heard_since(mark);
            since.iter().filter(|sample| sample.abs() > 8_000).count() > 2_400
        })
        .await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, caller.room()).await?;
    assert_eq!(record.outcome, "model_failed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_model_answers_what_the_first_one_refuses_in_mid_call() -> anyhow::Result<()> {
    let bed = Bed::prepare(&["harbour"], ModelOptions::default(), &[]).await?;
    let key = SecretString::from("sk-of-the-second-model");
    let second = SimulatedModel::start(ModelOptions {
        api_key: Some(key.clone()),
        ..ModelOptions::default()
    })
    .await?;
    bed.onboard(bed.project("harbour")).await?;
    sqlx::query(
        "UPDATE tenants SET fallback_provider = 'openai', fallback_provider_base_url = $1, \
         fallback_provider_api_key = $2, fallback_model = 'the-second'",
    )
    .bind(second.base_url())
    .bind(key.expose_secret())
    .execute(&bed.sql)
    .await?;
    let version: i64 = sqlx::query_scalar("SELECT version FROM tenants")
        .fetch_one(&bed.sql)
        .await?;
    bed.product
        .project_until("harbour", REGISTER_LIMIT, |project| {
            project.state == "registered" && project.version >= version
        })
        .await?;

    let after = Duration::ZERO;
    bed.model
        .behave(failing(ResponseFault::Closed { code: 1011, after }, 1));
    let caller = greeted(&bed).await?;
    bed.model.behave(Behaviour {
        opening: Opening::Refused(503),
        ..Behaviour::default()
    });
    say(&caller, "When do you open?").await;
    hears(&caller, "You said: When do you open?").await?;
    let room = caller.room().to_owned();
    caller.hang_up().await?;
    let record = record_of(&bed.sql, &room).await?;
    assert_eq!(record.outcome, "caller_hung_up");
    assert_eq!(record.model.as_deref(), Some("the-second"));
    assert_eq!(second.sessions().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_apology_is_heard_and_a_file_that_cannot_be_played_is_noted()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    bed.execute("UPDATE tenants SET apology_audio = 'no sound'")
        .await?;
    bed.product
        .project_until("harbour", SOON, |project| {
            let reason = project.reason.as_deref().unwrap_or_default();
            project.state == "registered" && reason.contains("apology_audio cannot be played")
        })
        .await?;
    let words = "The harbour is closed by a storm";
    sqlx::query("UPDATE tenants SET apology_audio = $1")
        .bind(wav(words)?)
        .execute(&bed.sql)
        .await?;
    bed.product
        .project_until("harbour", SOON, |project| project.reason.is_none())
        .await?;
    bed.model.behave(Behaviour {
        opening: Opening::Refused(503),
        ..Behaviour::default()
    });
    let caller = bed.project("harbour").ring().await?;
    hears(&caller, words).await?;
    caller.wait_ended(SOON).await?;
    let record = record_of(&bed.sql, caller.room()).await?;
    assert_eq!(record.outcome, "model_failed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_finds_a_session_of_the_model_open() -> anyhow::Result<()> {
    let bed = Bed::start_with(&["harbour"], &[("TRUNKLINE_REALTIME__WARM_SESSIONS", "4")]).await?;
    let first = greeted(&bed).await?;
    bed.model
        .wait_for("a session in reserve", SOON, |sessions| {
            (sessions.len() == 2).then_some(())
        })
        .await?;
    // The first call goes on; the second has the session that waits.
    let second = greeted(&bed).await?;
    say(&second, "Is it you?").await;
    hears(&second, "You said: Is it you?").await?;
    let (_, metrics) = bed.product.get("/metrics").await?;
    let taken = "trunkline_realtime_sessions_taken_total{from=\"spare\"} 1";
    assert!(metrics.contains(taken), "{metrics}");
    first.hang_up().await?;
    second.hang_up().await?;
    Ok(())
}
