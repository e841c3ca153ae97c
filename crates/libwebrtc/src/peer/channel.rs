//! A data channel: its state and its queue towards SCTP.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use super::{
    PeerShared,
    engine::{ChannelId, Engine},
    handlers::{ChannelHandlers, Event},
    stream_limit::MAX_STREAMS,
};
use crate::{
    RtcError,
    data_channel::{DataChannelError, DataChannelInit, DataChannelState},
};

/// Bytes that may wait in a channel. The C++ engine has the same bound, and the SDK keeps its own
/// queue behind a much lower one.
const MAX_QUEUED: usize = 16 * 1024 * 1024;

/// Largest message that is taken: what a peer that says nothing else accepts. Source: RFC 8841,
/// section 6. The SDK cuts its streams into 15 kB.
const MAX_SENT: usize = 64 * 1024;

/// Largest message that can be received, in bytes: what the transport puts together.
pub(super) const MAX_RECEIVED: u32 = 256 * 1024;

/// Channels at a time, ours and the peer's. The SDK uses three.
pub(super) const MAX_CHANNELS: usize = MAX_STREAMS as usize;

/// Longest label that is taken of the peer, in bytes. Those in use are words.
pub(super) const MAX_LABEL: usize = 1_024;

/// A data channel. Its queue has its own lock so that sending never waits for the network.
pub(crate) struct ChannelCore {
    label: String,
    init: DataChannelInit,
    peer: Weak<PeerShared>,
    pub(crate) handlers: ChannelHandlers,
    state: Mutex<ChannelState>,
}

struct ChannelState {
    state: DataChannelState,
    /// The transport's name for the channel, once it knows of it.
    engine: Option<ChannelId>,
    stream_id: Option<u16>,
    queue: VecDeque<Message>,
    queued_bytes: usize,
    /// Bytes handed to SCTP and not yet acknowledged.
    held_bytes: usize,
    /// Whether SCTP was told to close the channel.
    closing_sent: bool,
    counters: Counters,
}

struct Message {
    data: Vec<u8>,
    binary: bool,
}

/// What a channel has carried.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counters {
    pub(super) messages_sent: u32,
    pub(super) bytes_sent: u64,
    pub(super) messages_received: u32,
    pub(super) bytes_received: u64,
}

impl ChannelCore {
    pub(super) fn new(label: &str, init: DataChannelInit, peer: Weak<PeerShared>) -> Arc<Self> {
        Self::with_engine(label, init, peer, None, DataChannelState::Connecting)
    }

    /// A channel that the peer has opened.
    pub(super) fn opened_by_peer(label: &str, id: ChannelId, peer: Weak<PeerShared>) -> Arc<Self> {
        let init = DataChannelInit::default();
        Self::with_engine(label, init, peer, Some(id), DataChannelState::Open)
    }

    fn with_engine(
        label: &str,
        init: DataChannelInit,
        peer: Weak<PeerShared>,
        engine: Option<ChannelId>,
        state: DataChannelState,
    ) -> Arc<Self> {
        Arc::new(Self {
            label: label.to_owned(),
            init,
            peer,
            handlers: ChannelHandlers::default(),
            state: Mutex::new(ChannelState {
                state,
                engine,
                stream_id: None,
                queue: VecDeque::new(),
                queued_bytes: 0,
                held_bytes: 0,
                closing_sent: false,
                counters: Counters::default(),
            }),
        })
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn state(&self) -> DataChannelState {
        self.state.lock().state
    }

    pub(crate) fn id(&self) -> i32 {
        match self.state.lock().stream_id {
            Some(id) => i32::from(id),
            None if self.init.negotiated => self.init.id,
            None => -1,
        }
    }

    pub(crate) fn buffered_amount(&self) -> u64 {
        let state = self.state.lock();
        (state.queued_bytes + state.held_bytes) as u64
    }

    pub(crate) fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        if !binary {
            std::str::from_utf8(data)?;
        }
        let mut state = self.state.lock();
        let fits = state.queued_bytes + data.len() <= MAX_QUEUED && data.len() <= MAX_SENT;
        if state.state != DataChannelState::Open || !fits {
            return Err(DataChannelError::Send);
        }
        state.queue.push_back(Message {
            data: data.to_vec(),
            binary,
        });
        state.queued_bytes += data.len();
        drop(state);
        self.wake();
        Ok(())
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if matches!(
            state.state,
            DataChannelState::Connecting | DataChannelState::Open
        ) {
            state.state = DataChannelState::Closing;
            drop(state);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(peer) = self.peer.upgrade() {
            peer.wake.notify_one();
        }
    }

    pub(super) fn is(&self, id: ChannelId) -> bool {
        self.state.lock().engine == Some(id)
    }

    pub(super) fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// Whether the transport does not know of it yet.
    fn is_waiting(&self) -> bool {
        self.state.lock().engine.is_none()
    }

    /// The stream id that the channel keeps others from using.
    fn held_stream(&self) -> Option<i32> {
        let state = self.state.lock();
        state.engine.is_some().then(|| match state.stream_id {
            Some(id) => i32::from(id),
            None => self.init.id,
        })
    }

    pub(super) fn is_negotiated_as(&self, id: i32) -> bool {
        self.init.negotiated && self.init.id == id
    }

    /// The channel is open at both ends.
    pub(super) fn opened(self: &Arc<Self>, stream_id: Option<u16>, events: &mut VecDeque<Event>) {
        let mut state = self.state.lock();
        state.stream_id = stream_id;
        if state.state == DataChannelState::Connecting {
            state.state = DataChannelState::Open;
            events.push_back(Event::ChannelState(
                Arc::clone(self),
                DataChannelState::Open,
            ));
        }
    }

    pub(super) fn set_stream_id(&self, stream_id: Option<u16>) {
        self.state.lock().stream_id = stream_id;
    }

    pub(super) fn received(&self, bytes: usize) {
        let counters = &mut self.state.lock().counters;
        counters.messages_received = counters.messages_received.wrapping_add(1);
        counters.bytes_received += bytes as u64;
    }

    /// The channel is gone.
    pub(super) fn closed(self: &Arc<Self>, events: &mut VecDeque<Event>) {
        let mut state = self.state.lock();
        if state.state == DataChannelState::Closed {
            return;
        }
        state.state = DataChannelState::Closed;
        state.engine = None;
        state.queue = VecDeque::new();
        state.queued_bytes = 0;
        state.held_bytes = 0;
        events.push_back(Event::ChannelState(
            Arc::clone(self),
            DataChannelState::Closed,
        ));
    }

    /// Moves the channel on: opens it, hands messages to SCTP, closes it.
    fn advance(
        self: &Arc<Self>,
        engine: &mut Engine,
        may_open: bool,
        events: &mut VecDeque<Event>,
    ) {
        let mut state = self.state.lock();
        let Some(id) = state.engine else {
            match state.state {
                DataChannelState::Connecting if may_open => {
                    state.engine = Some(engine.open_channel(&self.label, &self.init));
                }
                _ => {}
            }
            return;
        };
        let refused = state.hand_over(|message| {
            let written = engine.write(id, message.binary, &message.data);
            written.inspect_err(|error| {
                log::warn!("data channel {}: {}", self.label, error.message);
            })
        });
        let held = engine.buffered(id).min(state.held_bytes);
        // Who counts what waits has to hear of all that no longer does.
        let drained = state.held_bytes - held + refused;
        state.held_bytes = held;
        if drained > 0 {
            events.push_back(Event::ChannelDrained(Arc::clone(self), drained as u64));
        }
        let may_close = state.stream_id.is_some() && state.queue.is_empty();
        if state.state == DataChannelState::Closing && may_close && !state.closing_sent {
            state.closing_sent = true;
            engine.close_channel(id);
        }
    }
}

impl ChannelState {
    /// Writes what waits, until there is no room. A message that is refused is dropped, for it would
    /// be refused again, and the others behind it could never leave. Answers the bytes that were.
    fn hand_over(&mut self, mut write: impl FnMut(&Message) -> Result<bool, RtcError>) -> usize {
        let mut refused = 0;
        while let Some(message) = self.queue.front() {
            let length = message.data.len();
            match write(message) {
                Ok(true) => {
                    self.held_bytes += length;
                    self.counters.messages_sent = self.counters.messages_sent.wrapping_add(1);
                    self.counters.bytes_sent += length as u64;
                }
                Ok(false) => break,
                Err(_) => refused += length,
            }
            self.queue.pop_front();
            self.queued_bytes -= length;
        }
        refused
    }
}

/// Moves all channels on and forgets those that are closed.
pub(super) fn advance_all(
    channels: &mut Vec<Arc<ChannelCore>>,
    engine: Option<&mut Engine>,
    events: &mut VecDeque<Event>,
) {
    // Those that never reached the transport need no farewell.
    for channel in channels.iter() {
        let is_unknown = channel.state.lock().engine.is_none();
        if is_unknown && channel.state() == DataChannelState::Closing {
            channel.closed(events);
        }
    }
    if let Some(engine) = engine {
        for index in 0..channels.len() {
            let channel = &channels[index];
            let id = channel.init.id;
            // A stream id is free once its last holder has seen it closed.
            let is_waiting = channel.init.negotiated && channel.is_waiting();
            let is_taken = is_waiting
                && (engine.is_stream_taken(id)
                    || channels.iter().any(|other| {
                        !Arc::ptr_eq(other, channel) && other.held_stream() == Some(id)
                    }));
            channel.advance(engine, !is_taken, events);
        }
    }
    channels.retain(|channel| channel.state() != DataChannelState::Closed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_refused_holds_up_none_of_those_behind_it() {
        let channel = ChannelCore::new("data", DataChannelInit::default(), Weak::new());
        channel.state.lock().state = DataChannelState::Open;
        for data in ["first", "refused", "second", "no room", "third"] {
            channel.send(data.as_bytes(), true).unwrap();
        }
        let mut state = channel.state.lock();
        let mut written = Vec::new();
        let refused = state.hand_over(|message| match &message.data[..] {
            b"refused" => Err(RtcError::internal("no")),
            b"no room" => Ok(false),
            data => {
                written.push(String::from_utf8_lossy(data).into_owned());
                Ok(true)
            }
        });
        assert_eq!(
            (&written[..], refused),
            (&["first".into(), "second".into()][..], 7)
        );
        assert_eq!((state.queue.len(), state.queued_bytes), (2, 12));
        assert_eq!((state.held_bytes, state.counters.messages_sent), (11, 2));
    }
}
