//! A peer connection from the inside.
//!
//! [`PeerGuard`] is what the API holds: dropping the last one closes the connection. Behind it,
//! [`PeerShared`] is one lock around all state, the transport included. API calls take the lock,
//! change, and wake the driver, the connection's one task, which moves packets and delivers
//! events. Channels and transceivers hold weak references, so that nothing keeps a connection
//! alive but its guard. Locks are taken in the order connection, transceiver or channel, track.

mod agreement;
mod apply;
mod capabilities;
mod channel;
mod driver;
mod encryption;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handlers;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod link_tests;
mod liveness;
mod network;
mod offer;
mod pipelines;
mod reports;
mod retransmission;
mod runtime;
mod state;
mod stats;
mod stream_limit;
mod transceiver;
mod transport_events;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::{
    capabilities::capabilities, channel::ChannelCore, encryption::Cryptor,
    transceiver::TransceiverCore,
};
use self::{
    handlers::Handlers,
    state::State,
    stream_limit::MAX_STREAMS,
    transceiver::{MediaKind, check_sendable},
};
use crate::{
    MediaType, RtcError,
    data_channel::{DataChannel, DataChannelInit},
    ice_candidate::IceCandidate,
    media_stream_track::MediaStreamTrack,
    peer_connection::{
        BitrateSettings, IceConnectionState, IceGatheringState, OfferOptions, PeerConnectionState,
        SignalingState,
    },
    peer_connection_factory::RtcConfiguration,
    rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection, RtpTransceiverInit},
    session_description::{SdpType, SessionDescription},
    stats::RtcStats,
};

/// How long `close()` takes at least where there is something to take leave of. The driver says
/// goodbye meanwhile, so that a process that ends after closing has said it. And the SDK takes
/// it for given that a connection does not close within the grain of tokio's timers, 1 ms:
/// it has a `Room::close` under a timeout of nothing cancelled (its test
/// `test_cancelled_close_still_closes_peer_connections`), which without this won the race in
/// half of all runs. The C++ engine waits here for its threads.
const LEAVE_TAKING: Duration = Duration::from_millis(1);

/// Transceivers that can be added to a connection. The SDK adds as many as the server asks for, up
/// to billions; rooms need one for each track that is heard at a time, and servers ask for some
/// tens. What a description brings is bounded by its sections.
const MAX_TRANSCEIVERS: usize = 500;

/// What a connection's API, driver, channels and transceivers share.
pub(crate) struct PeerShared {
    state: Mutex<State>,
    handlers: Handlers,
    /// The driver's alarm.
    wake: Arc<Notify>,
    /// Grows whenever what is sent or received may have changed; the driver compares.
    media_version: AtomicU64,
}

impl PeerShared {
    fn is_closed(&self) -> bool {
        self.state.lock().is_closed()
    }

    /// Lets the driver look again at what is sent and received.
    fn media_changed(&self) {
        self.media_version.fetch_add(1, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Closes the connection when dropped.
pub(crate) struct PeerGuard(Arc<PeerShared>);

impl Drop for PeerGuard {
    fn drop(&mut self) {
        self.close();
    }
}

impl PeerGuard {
    /// A new connection with its driver.
    ///
    /// # Errors
    /// Where the engine's runtime or certificate could not be made.
    pub(crate) fn new(config: RtcConfiguration) -> Result<Arc<Self>, RtcError> {
        let runtime = runtime::runtime()?;
        let fingerprint = engine::local_fingerprint()?;
        let shared = Arc::new_cyclic(|peer| PeerShared {
            state: Mutex::new(State::new(Weak::clone(peer), config, fingerprint)),
            handlers: Handlers::default(),
            wake: Arc::new(Notify::new()),
            media_version: AtomicU64::new(0),
        });
        driver::spawn(&runtime, Arc::clone(&shared));
        Ok(Arc::new(Self(shared)))
    }

    pub(crate) fn handlers(&self) -> &Handlers {
        &self.0.handlers
    }

    /// Runs `act` on the state of an open connection and wakes the driver.
    fn change<R>(
        &self,
        act: impl FnOnce(&mut State) -> Result<R, RtcError>,
    ) -> Result<R, RtcError> {
        let mut state = self.0.state.lock();
        state.check_open()?;
        let result = act(&mut state);
        drop(state);
        self.0.media_changed();
        result
    }

    pub(crate) fn set_configuration(&self, config: RtcConfiguration) -> Result<(), RtcError> {
        self.change(|state| state.set_configuration(config))
    }

    pub(crate) fn set_bitrate(&self, settings: BitrateSettings) -> Result<(), RtcError> {
        let BitrateSettings {
            min_bitrate_bps,
            start_bitrate_bps,
            max_bitrate_bps,
        } = settings;
        let bounds = [min_bitrate_bps, start_bitrate_bps, max_bitrate_bps];
        let given: Vec<u64> = bounds.into_iter().flatten().collect();
        self.change(|_| {
            if given.is_sorted() {
                // Speech needs no estimate of the bandwidth, so there is none to bound.
                Ok(())
            } else {
                Err(RtcError::internal("the bitrates contradict each other"))
            }
        })
    }

    pub(crate) fn create_offer(
        &self,
        options: &OfferOptions,
    ) -> Result<SessionDescription, RtcError> {
        let receive = [
            (options.offer_to_receive_audio, MediaKind::Audio),
            (options.offer_to_receive_video, MediaKind::Video),
        ];
        self.change(|state| {
            for (_, kind) in receive.into_iter().filter(|(wanted, _)| *wanted) {
                if !state
                    .transceivers
                    .iter()
                    .any(|transceiver| transceiver.kind() == kind)
                {
                    self.add(state, kind, None, receive_only())?;
                }
            }
            state.create_offer(options.ice_restart)
        })
    }

    pub(crate) fn create_answer(&self) -> Result<SessionDescription, RtcError> {
        self.change(|state| state.create_answer())
    }

    pub(crate) fn set_local_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        desc.check_readable()?;
        self.change(|state| match desc.sdp_type() {
            SdpType::Offer => state.set_local_offer(desc),
            SdpType::Answer => state.set_local_answer(desc),
            SdpType::Rollback => state.roll_back(SignalingState::HaveLocalOffer),
            SdpType::PrAnswer => Err(no_provisional_answers()),
        })
    }

    pub(crate) fn set_remote_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        desc.check_readable()?;
        self.change(|state| match desc.sdp_type() {
            SdpType::Offer => {
                let make = |state: &mut State, kind, track_id: &str| {
                    self.make(state, kind, None, receive_only(), Some(track_id))
                };
                state.set_remote_offer(desc, make)
            }
            SdpType::Answer => state.set_remote_answer(desc),
            SdpType::Rollback => state.roll_back(SignalingState::HaveRemoteOffer),
            SdpType::PrAnswer => Err(no_provisional_answers()),
        })
    }

    pub(crate) fn add_ice_candidate(&self, candidate: &IceCandidate) -> Result<(), RtcError> {
        self.change(|state| state.add_remote_candidate(candidate))
    }

    pub(crate) fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannel, RtcError> {
        self.change(|state| {
            if init.negotiated {
                if !(0..i32::from(MAX_STREAMS)).contains(&init.id) {
                    return Err(RtcError::invalid_state("a negotiated channel needs an id"));
                }
                if state.has_negotiated_channel(init.id) {
                    return Err(RtcError::invalid_state("the channel id is taken"));
                }
            }
            let core = ChannelCore::new(label, init, Arc::downgrade(&self.0));
            state.add_channel(&core);
            Ok(DataChannel { core })
        })
    }

    pub(crate) fn add_transceiver(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        check_sendable(&track)?;
        let kind = kind_of(&track);
        self.change(|state| self.add(state, kind, Some(track), init))
    }

    pub(crate) fn add_transceiver_for_media(
        &self,
        media_type: MediaType,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        let kind = match media_type {
            MediaType::Audio => MediaKind::Audio,
            MediaType::Video => MediaKind::Video,
            MediaType::Data | MediaType::Unsupported => {
                return Err(RtcError::invalid_state(
                    "transceivers are for audio and video",
                ));
            }
        };
        self.change(|state| self.add(state, kind, None, init))
    }

    pub(crate) fn add_track(
        &self,
        track: MediaStreamTrack,
        stream_ids: Vec<String>,
    ) -> Result<RtpSender, RtcError> {
        check_sendable(&track)?;
        let kind = kind_of(&track);
        self.change(|state| {
            let id = track.id();
            let is_sent = |other: &Arc<TransceiverCore>| {
                other.sender_track().is_some_and(|track| track.id() == id)
            };
            if state.transceivers.iter().any(is_sent) {
                return Err(RtcError::invalid_state("the track is being sent already"));
            }
            if let Some(free) = state.transceivers.iter().find(|free| free.can_take(kind)) {
                free.take(track, stream_ids);
                let core = Arc::clone(free);
                state.negotiation_needed();
                return Ok(RtpSender { core });
            }
            let init = RtpTransceiverInit {
                direction: RtpTransceiverDirection::SendRecv,
                stream_ids,
                send_encodings: Vec::new(),
            };
            let transceiver = self.add(state, kind, Some(track), init)?;
            transceiver.core.open_to_offers();
            Ok(transceiver.sender())
        })
    }

    pub(crate) fn remove_track(&self, sender: &RtpSender) -> Result<(), RtcError> {
        self.change(|state| {
            if !sender.core.belongs_to(&self.0) {
                return Err(RtcError::invalid_state(
                    "the sender is of another connection",
                ));
            }
            if sender.core.sender_track().is_some() {
                sender.core.release();
                state.negotiation_needed();
            }
            Ok(())
        })
    }

    /// Adds a transceiver that the next offer will contain.
    ///
    /// # Errors
    /// Where there are too many.
    fn add(
        &self,
        state: &mut State,
        kind: MediaKind,
        track: Option<MediaStreamTrack>,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        if state.transceivers.len() >= MAX_TRANSCEIVERS {
            return Err(RtcError::invalid_state(format!(
                "the connection has {MAX_TRANSCEIVERS} transceivers and takes no more"
            )));
        }
        let core = self.make(state, kind, track, init, None);
        state.negotiation_needed();
        Ok(RtpTransceiver { core })
    }

    fn make(
        &self,
        state: &mut State,
        kind: MediaKind,
        track: Option<MediaStreamTrack>,
        init: RtpTransceiverInit,
        remote_track_id: Option<&str>,
    ) -> Arc<TransceiverCore> {
        let peer = Arc::downgrade(&self.0);
        let wake = Arc::clone(&self.0.wake);
        let core = TransceiverCore::new(kind, peer, track, init, remote_track_id, wake);
        state.transceivers.push(Arc::clone(&core));
        core
    }

    pub(crate) fn restart_ice(&self) {
        // On a closed connection there is nothing to restart.
        let _ = self.change(|state| {
            state.is_restart_wanted = true;
            state.negotiation_needed();
            Ok(())
        });
    }

    /// Closes: everything ends at once, the driver says goodbye. Takes [`LEAVE_TAKING`].
    #[expect(
        clippy::disallowed_methods,
        reason = "closing is not async, and 1 ms once per connection is little beside a frame's 20"
    )]
    pub(crate) fn close(&self) {
        let mut state = self.0.state.lock();
        if state.is_closed() {
            return;
        }
        let has_transport = state.engine.is_some();
        let transceivers = state.close(Instant::now());
        drop(state);
        for transceiver in transceivers {
            transceiver.end();
        }
        self.0.handlers.clear();
        self.0.media_changed();
        if has_transport {
            std::thread::sleep(LEAVE_TAKING);
        }
    }

    pub(crate) fn transceivers(&self) -> Vec<RtpTransceiver> {
        let state = self.0.state.lock();
        state
            .transceivers
            .iter()
            .map(|core| RtpTransceiver {
                core: Arc::clone(core),
            })
            .collect()
    }

    pub(crate) fn connection_state(&self) -> PeerConnectionState {
        self.0.state.lock().liveness.state()
    }

    pub(crate) fn ice_connection_state(&self) -> IceConnectionState {
        state::ice_state(self.connection_state())
    }

    pub(crate) fn ice_gathering_state(&self) -> IceGatheringState {
        self.0.state.lock().gathering
    }

    pub(crate) fn signaling_state(&self) -> SignalingState {
        self.0.state.lock().signaling
    }

    pub(crate) fn current_local_description(&self) -> Option<SessionDescription> {
        self.0.state.lock().current_local.clone()
    }

    pub(crate) fn current_remote_description(&self) -> Option<SessionDescription> {
        self.0.state.lock().current_remote.clone()
    }

    pub(crate) fn stats(&self) -> Vec<RtcStats> {
        stats::connection(&self.0.state.lock())
    }
}

fn kind_of(track: &MediaStreamTrack) -> MediaKind {
    match track {
        MediaStreamTrack::Audio(_) => MediaKind::Audio,
        MediaStreamTrack::Video(_) => MediaKind::Video,
    }
}

fn receive_only() -> RtpTransceiverInit {
    RtpTransceiverInit {
        direction: RtpTransceiverDirection::RecvOnly,
        stream_ids: Vec::new(),
        send_encodings: Vec::new(),
    }
}

fn no_provisional_answers() -> RtcError {
    RtcError::invalid_state("provisional answers are not supported")
}
