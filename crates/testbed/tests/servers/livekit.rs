use std::time::Duration;

use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer, RoomProbe};

/// Far more than a server on this machine ever takes.
const LIMIT: Duration = Duration::from_secs(20);

async fn start() -> LiveKitServer {
    LiveKitServer::start(LiveKitOptions::default())
        .await
        .expect("livekit-server")
}

#[tokio::test]
async fn two_projects_do_not_accept_each_others_keys() {
    let (one, two) = tokio::join!(start(), start());
    assert_ne!(one.url(), two.url());
    one.probe().create_room("hall").await.expect("a room");
    assert!(two.probe().room("hall").await.expect("an answer").is_none());

    let stranger = RoomProbe::new(&one.http_url(), two.api_key(), two.api_secret());
    stranger.rooms().await.expect_err("a foreign key");
}

#[tokio::test]
async fn a_deleted_room_is_seen_to_be_gone() {
    let server = start().await;
    let probe = server.probe();
    probe.create_room("hall").await.expect("a room");
    probe
        .room_gone("hall", Duration::ZERO)
        .await
        .expect_err("it is still there");
    probe.delete_room("hall").await.expect("deleted");
    probe.room_gone("hall", LIMIT).await.expect("gone");
}

#[tokio::test]
async fn a_dispatch_is_listed_until_it_is_deleted() {
    let server = start().await;
    let probe = server.probe();
    probe.create_room("hall").await.expect("a room");
    let dispatch = probe
        .dispatch("hall", "nobody-of-this-name", "{}")
        .await
        .expect("a dispatch");
    // The server adds one of its own, for agents without a name.
    let listed = async || {
        let dispatches = probe.dispatches("hall").await.expect("a list");
        dispatches.iter().any(|listed| listed.id == dispatch.id)
    };
    assert!(listed().await);
    probe
        .delete_dispatch("hall", &dispatch.id)
        .await
        .expect("deleted");
    assert!(!listed().await);
}

#[tokio::test]
async fn a_server_comes_back_on_the_same_ports_without_its_rooms() {
    let mut server = start().await;
    let url = server.url();
    server.probe().create_room("hall").await.expect("a room");

    server.stop().await.expect("stopped");
    server.probe().rooms().await.expect_err("nobody answers");
    server.start_again().await.expect("started again");
    assert_eq!(server.url(), url);
    assert!(server.probe().rooms().await.expect("rooms").is_empty());

    server.crash().await.expect("crashed");
    server.start_again().await.expect("started again");
    assert_eq!(server.url(), url);
}

#[tokio::test]
async fn a_frozen_server_does_not_answer_until_it_thaws() {
    let mut server = start().await;
    let probe = server.probe();
    server.freeze().await.expect("frozen");
    probe.rooms().await.expect_err("no answer in time");
    server.thaw();
    probe
        .participants_until("hall", LIMIT, <[_]>::is_empty)
        .await
        .expect("an answer");
}
