//! The application's callbacks, and the events that wait to reach them.
//!
//! Only a connection's driver calls them, without any lock held, in the order in which things
//! happened: a callback may call back into the connection or replace itself.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{channel::ChannelCore, encryption::Cryptor};
use crate::{
    data_channel::{self, DataBuffer, DataChannel, DataChannelState},
    ice_candidate::IceCandidate,
    native::frame_cryptor::EncryptionState,
    peer_connection::{
        IceCandidateError, IceConnectionState, IceGatheringState, OnConnectionChange,
        OnDataChannel, OnIceCandidate, OnIceCandidateError, OnIceConnectionChange,
        OnIceGatheringChange, OnNegotiationNeeded, OnSignalingChange, OnTrack, PeerConnectionState,
        SignalingState, TrackEvent,
    },
};

/// Holds one callback.
pub(crate) struct Slot<F>(Mutex<SlotState<F>>);

struct SlotState<F> {
    callback: Option<F>,
    /// Grows with every [`Slot::set`], so that a callback replaced while it ran stays replaced.
    version: u64,
}

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Self(Mutex::new(SlotState {
            callback: None,
            version: 0,
        }))
    }
}

impl<F> Slot<F> {
    pub(crate) fn set(&self, callback: Option<F>) {
        let mut state = self.0.lock();
        state.version += 1;
        let old = std::mem::replace(&mut state.callback, callback);
        // What a callback holds may call back in when dropped.
        drop(state);
        drop(old);
    }

    /// Runs `call` with the callback outside the lock.
    pub(super) fn with(&self, call: impl FnOnce(&mut F)) {
        let (mut callback, version) = {
            let mut state = self.0.lock();
            let Some(callback) = state.callback.take() else {
                return;
            };
            (callback, state.version)
        };
        call(&mut callback);
        let mut state = self.0.lock();
        if state.version == version {
            state.callback = Some(callback);
        } else {
            drop(state);
        }
    }
}

/// The callbacks of a connection.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) connection_change: Slot<OnConnectionChange>,
    pub(crate) data_channel: Slot<OnDataChannel>,
    pub(crate) ice_candidate: Slot<OnIceCandidate>,
    pub(crate) ice_candidate_error: Slot<OnIceCandidateError>,
    pub(crate) ice_connection_change: Slot<OnIceConnectionChange>,
    pub(crate) ice_gathering_change: Slot<OnIceGatheringChange>,
    pub(crate) negotiation_needed: Slot<OnNegotiationNeeded>,
    pub(crate) signaling_change: Slot<OnSignalingChange>,
    pub(crate) track: Slot<OnTrack>,
}

impl Handlers {
    /// Forgets all callbacks, and with them what they hold.
    pub(super) fn clear(&self) {
        self.connection_change.set(None);
        self.data_channel.set(None);
        self.ice_candidate.set(None);
        self.ice_candidate_error.set(None);
        self.ice_connection_change.set(None);
        self.ice_gathering_change.set(None);
        self.negotiation_needed.set(None);
        self.signaling_change.set(None);
        self.track.set(None);
    }
}

/// The callbacks of a data channel.
#[derive(Default)]
pub(crate) struct ChannelHandlers {
    pub(crate) state_change: Slot<data_channel::OnStateChange>,
    pub(crate) message: Slot<data_channel::OnMessage>,
    pub(crate) buffered_amount: Slot<data_channel::OnBufferedAmountChange>,
}

impl ChannelHandlers {
    pub(super) fn clear(&self) {
        self.state_change.set(None);
        self.message.set(None);
        self.buffered_amount.set(None);
    }
}

/// Something that a callback is to be told.
pub(super) enum Event {
    Connection(PeerConnectionState),
    Ice(IceConnectionState),
    Gathering(IceGatheringState),
    Signaling(SignalingState),
    NegotiationNeeded(u32),
    Candidate(IceCandidate),
    CandidateError(IceCandidateError),
    Track(Box<TrackEvent>),
    Channel(DataChannel),
    ChannelState(Arc<ChannelCore>, DataChannelState),
    ChannelMessage {
        channel: Arc<ChannelCore>,
        data: Vec<u8>,
        binary: bool,
    },
    /// So many bytes have left the channel's send buffer.
    ChannelDrained(Arc<ChannelCore>, u64),
    Encryption(Arc<Cryptor>, EncryptionState),
}

impl Event {
    /// Tells whoever wants to know.
    pub(super) fn deliver(self, handlers: &Handlers) {
        match self {
            Self::Connection(state) => handlers.connection_change.with(|f| f(state)),
            Self::Ice(state) => handlers.ice_connection_change.with(|f| f(state)),
            Self::Gathering(state) => handlers.ice_gathering_change.with(|f| f(state)),
            Self::Signaling(state) => handlers.signaling_change.with(|f| f(state)),
            Self::NegotiationNeeded(number) => handlers.negotiation_needed.with(|f| f(number)),
            Self::Candidate(candidate) => handlers.ice_candidate.with(|f| f(candidate)),
            Self::CandidateError(error) => handlers.ice_candidate_error.with(|f| f(error)),
            Self::Track(event) => handlers.track.with(|f| f(*event)),
            Self::Channel(channel) => handlers.data_channel.with(|f| f(channel)),
            Self::ChannelState(channel, state) => {
                channel.handlers.state_change.with(|f| f(state));
                if state == DataChannelState::Closed {
                    // Nothing will be told after this, and the callbacks may hold much.
                    channel.handlers.clear();
                }
            }
            Self::ChannelMessage {
                channel,
                data,
                binary,
            } => {
                channel.handlers.message.with(|f| {
                    f(DataBuffer {
                        data: &data,
                        binary,
                    })
                });
            }
            Self::ChannelDrained(channel, bytes) => {
                channel.handlers.buffered_amount.with(|f| f(bytes));
            }
            Self::Encryption(cryptor, state) => cryptor.tell(state),
        }
    }
}
