use std::time::Duration;

use trunkline_testbed::caller::{Caller, CallerOptions, Ending, SAMPLE_RATE};
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};
use trunkline_testbed::voice;

use crate::agent::Agent;

/// Far more than anything here ever takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Long enough to see that nothing happens.
const SHORT: Duration = Duration::from_millis(500);

async fn server() -> LiveKitServer {
    LiveKitServer::start(LiveKitOptions::default())
        .await
        .expect("livekit-server")
}

async fn ring(server: &LiveKitServer) -> Caller {
    Caller::ring(CallerOptions::to(server, "+15550001"))
        .await
        .expect("it rings")
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("in time")
}

fn hears(pcm: &[i16], sentence: &str) -> bool {
    voice::decode(pcm, SAMPLE_RATE)
        .iter()
        .any(|heard| heard.complete && heard.text == sentence)
}

/// Waits until the caller has heard this sentence whole.
async fn caller_hears(caller: &Caller, sentence: &str) {
    let heard = caller.heard_until(LIMIT, |pcm| hears(pcm, sentence)).await;
    if let Err(error) = heard {
        let instead = voice::decode(&caller.heard(), SAMPLE_RATE);
        panic!("not {sentence:?} but {instead:?}: {error:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_hear_each_others_words_and_the_agent_sees_the_caller_hang_up() {
    let server = server().await;
    let caller = ring(&server).await;
    let mut agent = within(Agent::join(&server, caller.room())).await;
    within(agent.publish()).await;
    caller.wait_active(LIMIT).await.expect("active");
    within(agent.sees_status("active")).await;

    within(agent.say("Good morning, how can I help?")).await;
    caller_hears(&caller, "Good morning, how can I help?").await;

    let words = voice::encode("I would like a table.", SAMPLE_RATE);
    tokio::join!(
        within(caller.speak(&words)),
        within(agent.hears("I would like a table."))
    );

    let ended = caller.hang_up().await.expect("left");
    assert_eq!(ended.how, Ending::HungUp);
    within(agent.sees_status("hangup")).await;

    let timeline = caller.timeline();
    let in_order = [
        timeline.joined,
        timeline.agent_joined,
        timeline.published,
        timeline.answered,
        timeline.active,
        timeline.first_sound,
        Some(ended.at),
    ];
    assert!(in_order.iter().all(Option::is_some), "{timeline:?}");
    assert!(in_order.is_sorted(), "{timeline:?}");

    let directory = tempfile::tempdir().expect("a directory");
    let wav = directory.path().join("heard.wav");
    caller.save_wav(&wav).expect("written");
    let length = std::fs::metadata(&wav).expect("a file").len();
    assert_eq!(length, 44 + 2 * caller.heard().len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_shows_a_sip_participant_and_the_rules_dispatch() {
    let server = server().await;
    let mut options = CallerOptions::to(&server, "+15550001");
    options.agent_name = Some("somebody".to_owned());
    options.metadata = r#"{"rule":1}"#.to_owned();
    let number = options.caller.clone();
    let caller = Caller::ring(options).await.expect("it rings");

    let probe = server.probe();
    let inside = probe
        .participants_until(caller.room(), LIMIT, |inside| !inside.is_empty())
        .await
        .expect("the caller");
    assert_eq!(inside[0].identity, format!("sip_{number}"));
    assert_eq!(inside[0].kind().as_str_name(), "SIP");
    assert_eq!(inside[0].attributes["sip.callStatus"], "ringing");
    assert_eq!(inside[0].attributes["sip.trunkPhoneNumber"], "+15550001");

    let dispatches = probe.dispatches(caller.room()).await.expect("dispatches");
    let dispatch = dispatches
        .iter()
        .find(|dispatch| dispatch.agent_name == "somebody")
        .expect("the rule's dispatch");
    assert_eq!(dispatch.metadata, r#"{"rule":1}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_only_joins_does_not_answer_and_the_caller_gives_up() {
    let server = server().await;
    let caller = ring(&server).await;
    let mut agent = within(Agent::join(&server, caller.room())).await;
    caller.wait_agent(LIMIT).await.expect("an agent");
    caller
        .wait_answered(SHORT)
        .await
        .expect_err("nobody published");
    let ended = caller.cancel().await.expect("left");
    assert_eq!(ended.how, Ending::GaveUp);
    within(agent.sees_status("hangup")).await;
    caller
        .wait_answered(LIMIT)
        .await
        .expect_err("it never was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_before_the_call_is_active_is_lost() {
    let server = server().await;
    let mut options = CallerOptions::to(&server, "+15550001");
    options.active_after = Duration::from_secs(4);
    let caller = Caller::ring(options).await.expect("it rings");
    let agent = within(Agent::join(&server, caller.room())).await;
    within(agent.publish()).await;
    within(agent.say("Too soon.")).await;
    assert!(
        caller.timeline().active.is_none(),
        "{:?}",
        caller.timeline()
    );
    caller.wait_active(LIMIT).await.expect("active");
    within(agent.say("In time.")).await;
    caller_hears(&caller, "In time.").await;
    assert!(!hears(&caller.heard(), "Too soon."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_room_and_a_removal_end_the_call() {
    let server = server().await;
    let probe = server.probe();

    let caller = ring(&server).await;
    probe.delete_room(caller.room()).await.expect("deleted");
    let ended = caller.wait_ended(LIMIT).await.expect("ended");
    assert_eq!(ended.how, Ending::RoomDeleted);

    let caller = ring(&server).await;
    probe
        .remove_participant(caller.room(), caller.identity())
        .await
        .expect("removed");
    let ended = caller.wait_ended(LIMIT).await.expect("ended");
    assert_eq!(ended.how, Ending::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_nobody_answers_stops_ringing() {
    let server = server().await;
    let mut options = CallerOptions::to(&server, "+15550001");
    options.ringing_timeout = SHORT;
    let caller = Caller::ring(options).await.expect("it rings");
    let ended = caller.wait_ended(LIMIT).await.expect("ended");
    assert_eq!(ended.how, Ending::RangOut);
    server
        .probe()
        .participants_until(caller.room(), LIMIT, <[_]>::is_empty)
        .await
        .expect("the caller has left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_dropped_hangs_up() {
    let server = server().await;
    let caller = ring(&server).await;
    let room = caller.room().to_owned();
    drop(caller);
    server
        .probe()
        .participants_until(&room, LIMIT, <[_]>::is_empty)
        .await
        .expect("the caller has left");
}
