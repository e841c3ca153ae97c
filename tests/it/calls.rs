//! The main thing: phones are answered.

use serde_json::json;
use trunkline_testbed::bed::{Bed, start_message_of};

use crate::common::{SOON, hears, record_of, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_each_of_two_projects_hears_its_own_tenants_sentence() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour", "lantern"]).await?;
    let (harbour, lantern) =
        tokio::try_join!(bed.project("harbour").ring(), bed.project("lantern").ring())?;
    tokio::try_join!(harbour.wait_answered(SOON), lantern.wait_answered(SOON))?;
    hears(&harbour, &start_message_of("harbour")).await?;
    hears(&lantern, &start_message_of("lantern")).await?;

    say(&harbour, "When do you open?").await;
    say(&lantern, "Is the lamp ready?").await;
    hears(&harbour, "You said: When do you open?").await?;
    hears(&lantern, "You said: Is the lamp ready?").await?;

    for (slug, caller) in [("harbour", harbour), ("lantern", lantern)] {
        let room = caller.room().to_owned();
        caller.hang_up().await?;
        let record = record_of(&bed.sql, &room).await?;
        assert_eq!(record.outcome, "caller_hung_up", "{slug}");
        assert_eq!(record.config_source.as_deref(), Some("fresh"), "{slug}");
        assert_eq!(record.fallback_reason, None, "{slug}");
        bed.project(slug)
            .livekit
            .probe()
            .room_gone(&room, SOON)
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_told_who_calls_whom_and_the_model_is_set_up_as_it_answers()
-> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    let project = bed.project("harbour");
    let caller = project.ring().await?;
    caller.wait_answered(SOON).await?;

    let asked = project
        .backend
        .wait_for_requests(1, SOON)
        .await?
        .remove(0)
        .body;
    let attributes = asked["attributes"]
        .as_object()
        .expect("an object of attributes");
    assert_eq!(asked["tenant"], "harbour");
    assert_eq!(asked["callDirection"], "inbound");
    assert_eq!(asked["callerPhone"], attributes["sip.phoneNumber"]);
    assert_eq!(asked["calledPhone"], json!(project.number));
    assert_eq!(asked["trunkId"], attributes["sip.trunkID"]);
    assert_eq!(asked["sipCallId"], attributes["sip.callID"]);
    assert_eq!(asked["room"], json!(caller.room()));
    assert_eq!(attributes["sip.callStatus"], "ringing");

    let sessions = bed.model.sessions();
    let session = sessions.last().expect("a session with the model");
    assert_eq!(session.model, "gpt-realtime");
    let config = session.session.to_string();
    assert!(
        config.contains("You answer the phone of harbour."),
        "{config}"
    );
    assert!(config.contains("marin"), "{config}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_of_the_greeting_because_it_waits_for_active() -> anyhow::Result<()> {
    let bed = Bed::start(&["harbour"]).await?;
    // The bridge passes audio on late: what is said before is dropped.
    let caller = bed
        .project("harbour")
        .ring_with(|options| options.active_after = std::time::Duration::from_millis(900))
        .await?;
    hears(&caller, &start_message_of("harbour")).await
}
