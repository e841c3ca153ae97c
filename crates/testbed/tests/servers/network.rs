//! Rooms of the SDK over the paths that networks without UDP leave, against a real server.

use std::{env, time::Duration};

use futures_util::StreamExt as _;
use livekit::prelude::{DataPacket, Room, RoomEvent, RoomOptions};
use livekit::webrtc::peer_connection_factory::{IceServer, IceTransportsType};
use livekit_api::access_token::VideoGrants;
use livekit_protocol::{SignalResponse, signal_response::Message};
use prost::Message as _;
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedReceiver;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer, Media, Turn};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(40);

/// Tells the test for TLS that it is the one that trusts the certificate.
const CHILD: &str = "TESTBED_TRUSTS_CERTIFICATE";

async fn start(media: Media, turn: Option<Turn>) -> LiveKitServer {
    let options = LiveKitOptions {
        media,
        turn,
        ..LiveKitOptions::default()
    };
    LiveKitServer::start(options).await.expect("livekit-server")
}

fn token(server: &LiveKitServer, identity: &str) -> String {
    let grants = VideoGrants {
        room_join: true,
        room: "hall".to_owned(),
        ..VideoGrants::default()
    };
    server.token(identity, grants).expect("a token")
}

/// The servers that a participant is told of, with its user name and password.
async fn told_servers(server: &LiveKitServer) -> Vec<livekit_protocol::IceServer> {
    let token = token(server, "scout");
    let url = format!("{}/rtc?protocol=15&access_token={token}", server.url());
    let (mut socket, _) = tokio_tungstenite::connect_async(url)
        .await
        .expect("a socket");
    while let Some(message) = socket.next().await {
        let bytes = message.expect("a message").into_data();
        let response = SignalResponse::decode(bytes).expect("a response");
        if let Some(Message::Join(join)) = response.message {
            return join.ice_servers;
        }
    }
    panic!("no answer to the join");
}

fn relay_only(servers: Vec<IceServer>) -> RoomOptions {
    let mut options = RoomOptions::default();
    options.rtc_config.ice_transport_type = IceTransportsType::Relay;
    options.rtc_config.ice_servers = servers;
    options
}

struct Member {
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
}

async fn join(server: &LiveKitServer, identity: &str, options: RoomOptions) -> Member {
    let token = token(server, identity);
    let joined = tokio::time::timeout(LIMIT, Room::connect(&server.url(), &token, options)).await;
    let (room, events) = joined
        .expect("in time")
        .unwrap_or_else(|error| panic!("{identity}: {error}\n{}", server.log_tail()));
    Member { room, events }
}

/// Sends again and again until it is heard: whoever listens may not have joined yet.
async fn hears(from: &Member, to: &mut Member, what: &str) {
    let packet = || DataPacket {
        payload: what.as_bytes().to_vec(),
        reliable: true,
        ..DataPacket::default()
    };
    let participant = from.room.local_participant();
    let mut again = tokio::time::interval(Duration::from_millis(200));
    let heard = async {
        loop {
            tokio::select! {
                _ = again.tick() => participant.publish_data(packet()).await.expect("sent"),
                event = to.events.recv() => match event.expect("an event") {
                    RoomEvent::DataReceived { payload, .. } if *payload == what.as_bytes() => return,
                    _ => {}
                },
            }
        }
    };
    tokio::time::timeout(LIMIT, heard)
        .await
        .unwrap_or_else(|_| panic!("{what:?} was not heard"));
}

async fn both_hear(server: &LiveKitServer, ours: impl Fn() -> RoomOptions) {
    let mut a = join(server, "a", ours()).await;
    let mut b = join(server, "b", ours()).await;
    hears(&a, &mut b, "from a").await;
    hears(&b, &mut a, "from b").await;
    a.room.close().await.expect("closed");
    b.room.close().await.expect("closed");
}

#[tokio::test]
async fn a_server_without_udp_is_reached_by_tcp() {
    let server = start(Media::Tcp, None).await;
    both_hear(&server, RoomOptions::default).await;
    both_hear(&server, || {
        let mut options = RoomOptions::default();
        options.single_peer_connection = false;
        options
    })
    .await;
}

#[tokio::test]
async fn whoever_may_only_relay_is_heard_through_the_servers_relay() {
    let server = start(Media::Any, Some(Turn::Udp)).await;
    both_hear(&server, || relay_only(Vec::new())).await;
}

/// The told server's user with another URL: what is told names a port that only root may bind.
async fn relay_at(server: &LiveKitServer, url: String) -> Vec<IceServer> {
    let told = told_servers(server).await;
    let told = told.into_iter().find(|told| !told.username.is_empty());
    let told = told.expect("a server with a user");
    vec![IceServer {
        urls: vec![url],
        username: told.username,
        password: told.credential,
    }]
}

#[tokio::test]
async fn a_relay_is_reached_by_tcp() {
    let server = start(Media::Any, Some(Turn::Tcp)).await;
    let port = server.turn_tcp_port();
    let url = format!("turn:127.0.0.1:{port}?transport=tcp");
    let servers = relay_at(&server, url).await;
    both_hear(&server, || relay_only(servers.clone())).await;
}

/// The roots of this system are read once per process, so the test runs itself with others.
#[tokio::test]
async fn a_relay_is_reached_by_tls_and_must_be_trusted() {
    let directory = tempfile::tempdir().expect("a directory");
    if env::var_os(CHILD).is_some() {
        return relay_by_tls().await;
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (directory.path().join("cert"), directory.path().join("key"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let output = Command::new(env::current_exe().expect("this program"))
        .args([
            "--exact",
            "network::a_relay_is_reached_by_tls_and_must_be_trusted",
        ])
        .env(CHILD, directory.path())
        .env("SSL_CERT_FILE", &certificate)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(2 * LIMIT, output).await;
    let output = output.expect("in time").expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

async fn relay_by_tls() {
    let directory = std::path::PathBuf::from(env::var_os(CHILD).expect("a directory"));
    let turn = Turn::Tls {
        certificate: directory.join("cert"),
        key: directory.join("key"),
    };
    let server = start(Media::Any, Some(turn)).await;
    let port = server.turn_tcp_port();
    let url = format!("turns:localhost:{port}?transport=tcp");
    let servers = relay_at(&server, url).await;
    both_hear(&server, || relay_only(servers.clone())).await;
    // The same server under a name that is not the certificate's.
    let url = format!("turns:127.0.0.1:{port}?transport=tcp");
    let servers = relay_at(&server, url).await;
    let mut options = relay_only(servers);
    options.join_retries = 0;
    let (url, token) = (server.url(), token(&server, "c"));
    let refused = Room::connect(&url, &token, options);
    let refused = tokio::time::timeout(LIMIT, refused).await.expect("in time");
    assert!(refused.is_err(), "an untrusted relay was used");
}

#[tokio::test]
async fn a_room_goes_on_over_tcp_when_the_server_says_so() {
    let server = start(Media::Any, None).await;
    let mut a = join(&server, "a", RoomOptions::default()).await;
    let mut b = join(&server, "b", RoomOptions::default()).await;
    hears(&a, &mut b, "by udp").await;
    a.room
        .simulate_scenario(livekit::SimulateScenario::ForceTcp)
        .await
        .expect("simulated");
    let reconnected =
        async { while !matches!(a.events.recv().await, Some(RoomEvent::Reconnected)) {} };
    tokio::time::timeout(LIMIT, reconnected)
        .await
        .expect("reconnected");
    hears(&a, &mut b, "by tcp").await;
    hears(&b, &mut a, "back by tcp").await;
}
