//! Two connections that signal to each other by function calls.

use std::{fmt::Debug, time::Duration};

use libwebrtc::{
    data_channel::{DataChannel, DataChannelInit},
    ice_candidate::IceCandidate,
    peer_connection::{
        AnswerOptions, OfferOptions, PeerConnection, PeerConnectionState, TrackEvent,
    },
    peer_connection_factory::{PeerConnectionFactory, RtcConfiguration},
    session_description::SessionDescription,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long anything may take before the test fails with its story. Far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection and everything that it reports.
pub(crate) struct Peer {
    pub(crate) connection: PeerConnection,
    pub(crate) states: Reports<PeerConnectionState>,
    pub(crate) candidates: Reports<IceCandidate>,
    pub(crate) channels: Reports<DataChannel>,
    pub(crate) tracks: Reports<TrackEvent>,
}

/// What a callback was told, in order.
pub(crate) struct Reports<T> {
    what: &'static str,
    receiver: UnboundedReceiver<T>,
}

impl<T: Debug> Reports<T> {
    pub(crate) fn new(what: &'static str) -> (UnboundedSender<T>, Self) {
        let (sender, receiver) = unbounded_channel();
        (sender, Self { what, receiver })
    }

    /// The next report.
    pub(crate) async fn next(&mut self) -> T {
        let next = tokio::time::timeout(PATIENCE, self.receiver.recv()).await;
        next.unwrap_or_else(|_| panic!("no {} was reported", self.what))
            .unwrap_or_else(|| panic!("no {} can be reported any more", self.what))
    }

    /// The next report that `wanted` accepts; the others are lost.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&T) -> bool) -> T {
        loop {
            let report = self.next().await;
            if wanted(&report) {
                return report;
            }
        }
    }

    /// Everything reported so far.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).collect()
    }
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::with(RtcConfiguration::default())
    }

    pub(crate) fn with(config: RtcConfiguration) -> Self {
        let factory = PeerConnectionFactory::default();
        let connection = factory.create_peer_connection(config).unwrap();
        let (sender, states) = Reports::new("connection state");
        connection.on_connection_state_change(Some(Box::new(move |state| {
            let _ = sender.send(state);
        })));
        let (sender, candidates) = Reports::new("candidate");
        connection.on_ice_candidate(Some(Box::new(move |candidate| {
            let _ = sender.send(candidate);
        })));
        let (sender, channels) = Reports::new("data channel");
        connection.on_data_channel(Some(Box::new(move |channel| {
            let _ = sender.send(channel);
        })));
        let (sender, tracks) = Reports::new("track");
        connection.on_track(Some(Box::new(move |event| {
            let _ = sender.send(event);
        })));
        Self {
            connection,
            states,
            candidates,
            channels,
            tracks,
        }
    }

    pub(crate) async fn offer(&self, ice_restart: bool) -> SessionDescription {
        let options = OfferOptions {
            ice_restart,
            ..OfferOptions::default()
        };
        let offer = self.connection.create_offer(options).await.unwrap();
        self.connection
            .set_local_description(offer.clone())
            .await
            .unwrap();
        offer
    }

    /// Takes an offer and answers it.
    pub(crate) async fn answer(&self, offer: SessionDescription) -> SessionDescription {
        self.connection.set_remote_description(offer).await.unwrap();
        let answer = self
            .connection
            .create_answer(AnswerOptions::default())
            .await
            .unwrap();
        self.connection
            .set_local_description(answer.clone())
            .await
            .unwrap();
        answer
    }

    /// Opens a negotiated channel.
    pub(crate) fn channel(&self, label: &str, id: i32, lossy: bool) -> DataChannel {
        let init = DataChannelInit {
            ordered: !lossy,
            max_retransmits: lossy.then_some(0),
            negotiated: true,
            id,
            ..DataChannelInit::default()
        };
        self.connection.create_data_channel(label, init).unwrap()
    }
}

/// One offer and answer between two peers, candidates included.
pub(crate) async fn negotiate(offerer: &mut Peer, answerer: &mut Peer, ice_restart: bool) {
    let is_first = offerer.connection.current_local_description().is_none();
    let offer = offerer.offer(ice_restart).await;
    let answer = answerer.answer(offer).await;
    offerer
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    if is_first || ice_restart {
        trickle(offerer, answerer).await;
        trickle(answerer, offerer).await;
    }
}

/// Hands over candidates up to the loopback one, which is told last and works everywhere.
async fn trickle(from: &mut Peer, to: &mut Peer) {
    loop {
        let candidate = from.candidates.next().await;
        let is_last = candidate.candidate().contains(" 127.0.0.1 ");
        to.connection.add_ice_candidate(candidate).await.unwrap();
        if is_last {
            return;
        }
    }
}

/// Waits until both are connected.
pub(crate) async fn connected(a: &mut Peer, b: &mut Peer) {
    a.states
        .until(|state| *state == PeerConnectionState::Connected)
        .await;
    b.states
        .until(|state| *state == PeerConnectionState::Connected)
        .await;
}

/// Fails with `what` if `future` takes too long.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("too late: {what}"))
}
