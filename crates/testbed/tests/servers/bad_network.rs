//! A room over networks as they are: loss, jitter, outages. The server and a
//! speaker are in one host of a lab, a listener in another; each is a process.
//! Skipped, with a word on it, where there can be no lab.

use std::path::PathBuf;
use std::time::Duration;

use livekit_api::access_token::VideoGrants;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};
use trunkline_testbed::netlab::{
    Direction, Host, Jitter, Loss, NetLab, Order, Profile, Share, Wire,
};
use trunkline_testbed::peer::{Peer, PeerOptions, What};

/// Far more than anything here takes; the SDK itself gives up sooner.
const LIMIT: Duration = Duration::from_secs(60);

const TONE: &str = "440";

/// A tone crosses the wire from the server's side to the client's.
struct Room {
    // The order matters: the processes end before the networks go.
    listener: Peer,
    _speaker: Peer,
    _livekit: LiveKitServer,
    wire: Wire,
    _lab: NetLab,
}

impl Room {
    /// Everything up, and the tone heard.
    async fn open(test: &str) -> Option<Self> {
        let mut lab = NetLab::or_skip(test)?;
        let server = lab.host("server").expect("a host");
        let client = lab.host("client").expect("a host");
        let wire = lab.wire(&client, &server).expect("a wire");
        let options = LiveKitOptions {
            host: Some(server.clone()),
            ..LiveKitOptions::default()
        };
        let livekit = LiveKitServer::start(options).await.expect("livekit-server");
        let speaker = peer(&livekit, &server, "speaker", ["--tone", TONE]).await;
        let listen = ["--listen-for-tone", TONE, "--stats-every", "0.5"];
        let listener = peer(&livekit, &client, "listener", listen).await;
        let mut room = Self {
            listener,
            _speaker: speaker,
            _livekit: livekit,
            wire,
            _lab: lab,
        };
        room.until(&What::ToneHeard).await;
        Some(room)
    }

    /// Waits for something that happens to the listener, after what was waited for before.
    async fn until(&mut self, wanted: &What) {
        self.listener
            .wait(LIMIT, |event| event.what == *wanted)
            .await
            .expect("it happens");
    }

    fn reconnects(&self) -> usize {
        let events = self.listener.events().expect("events");
        events
            .iter()
            .filter(|event| event.what == What::Reconnecting)
            .count()
    }

    fn cut(&self) {
        for direction in Direction::BOTH {
            self.wire.cut(direction);
        }
    }

    fn mend(&self) {
        for direction in Direction::BOTH {
            self.wire.mend(direction);
        }
    }
}

async fn peer<const N: usize>(
    livekit: &LiveKitServer,
    host: &Host,
    name: &str,
    arguments: [&str; N],
) -> Peer {
    let grants = VideoGrants {
        room_join: true,
        room: "hall".to_owned(),
        ..VideoGrants::default()
    };
    let options = PeerOptions {
        host: Some(host.clone()),
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_peer"))),
        url: livekit.url(),
        token: livekit.token(name, grants).expect("a token"),
        arguments: Vec::new(),
    };
    Peer::start(options.with(arguments)).await.expect("a peer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_is_heard_through_loss_jitter_and_reordering() {
    let Some(mut room) = Room::open("a_tone_is_heard_through_loss_jitter_and_reordering").await
    else {
        return;
    };
    let before = room.wire.counters(Direction::Back);
    room.wire.set_both(&Profile {
        delay: Duration::from_millis(40),
        jitter: Jitter::Uniform {
            spread: Duration::from_millis(20),
        },
        loss: Loss::Random {
            share: Share::percent(5.0),
        },
        order: Order::ByDelay,
        ..Profile::default()
    });
    // Five seconds' worth of packets of 20 ms, counted and not timed.
    let wire = &room.wire;
    room.listener
        .wait(LIMIT, |_| {
            let now = wire.counters(Direction::Back);
            now.delivered.packets - before.delivered.packets >= 250
        })
        .await
        .expect("packets");
    let after = room.wire.counters(Direction::Back);
    assert!(after.lost.packets > 0, "{after:?}");
    assert!(
        after.overtaken.packets > before.overtaken.packets,
        "{after:?}"
    );

    // The tone goes on: statistics come while it has not been gone for long.
    let events = room.listener.events().expect("events");
    let last = events
        .iter()
        .rev()
        .find(|event| matches!(event.what, What::ToneHeard | What::ToneGone))
        .expect("the tone");
    if last.what == What::ToneGone {
        room.until(&What::ToneHeard).await;
    }
    assert_eq!(room.reconnects(), 0);
    room.listener.leave().await.expect("left");
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_comes_back_by_itself_after_a_short_outage() {
    let Some(mut room) = Room::open("sound_comes_back_by_itself_after_a_short_outage").await else {
        return;
    };
    room.cut();
    room.until(&What::ToneGone).await;
    // An outage is as long as it is: the media engine's clock is the wall's.
    tokio::time::sleep(Duration::from_secs(4)).await;
    room.mend();
    room.until(&What::ToneHeard).await;
    assert_eq!(room.reconnects(), 0, "{:?}", room.listener.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_comes_back_after_an_outage_that_makes_the_sdk_reconnect() {
    let Some(mut room) =
        Room::open("sound_comes_back_after_an_outage_that_makes_the_sdk_reconnect").await
    else {
        return;
    };
    room.cut();
    room.until(&What::Reconnecting).await;
    room.mend();
    room.until(&What::ToneHeard).await;
}
