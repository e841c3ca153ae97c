//! Data channels.

use std::{fmt, str::Utf8Error, sync::Arc};

use serde::Deserialize;
use thiserror::Error;

use crate::{peer::ChannelCore, rtp_parameters::Priority};

/// How a data channel is opened.
#[derive(Clone, Debug)]
pub struct DataChannelInit {
    /// Whether messages arrive in the order sent.
    pub ordered: bool,
    /// Give up on a message after so many milliseconds.
    pub max_retransmit_time: Option<i32>,
    /// Give up on a message after so many retransmissions.
    pub max_retransmits: Option<i32>,
    /// Subprotocol.
    pub protocol: String,
    /// Whether both sides open the channel with the same `id`, without in-band negotiation.
    pub negotiated: bool,
    /// Stream id of a negotiated channel; otherwise −1.
    pub id: i32,
    /// Accepted and not used.
    pub priority: Option<Priority>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_retransmit_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: -1,
            priority: None,
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum DataChannelError {
    /// The channel is not open, or the message too large, or the send buffer full.
    #[error("failed to send data, dc not open? send buffer is full ?")]
    Send,
    /// A text message that is not text.
    #[error("only utf8 strings can be sent")]
    Utf8(#[from] Utf8Error),
}

/// Where a data channel is in its life.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataChannelState {
    /// Not usable yet.
    Connecting,
    /// Usable.
    Open,
    /// Being closed.
    Closing,
    /// Closed.
    Closed,
}

/// A message received.
#[derive(Debug)]
pub struct DataBuffer<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// Whether it was sent as binary rather than text.
    pub binary: bool,
}

/// Called on every change of state.
pub type OnStateChange = Box<dyn FnMut(DataChannelState) + Send + Sync>;
/// Called for every message received.
pub type OnMessage = Box<dyn FnMut(DataBuffer) + Send + Sync>;
/// Called with the number of bytes that have left the send buffer since the last call.
pub type OnBufferedAmountChange = Box<dyn FnMut(u64) + Send + Sync>;

/// A data channel. Clones name the same channel.
#[derive(Clone)]
pub struct DataChannel {
    pub(crate) core: Arc<ChannelCore>,
}

impl DataChannel {
    /// Queues a message.
    ///
    /// # Errors
    /// Where the channel is not open, the message is too large or the send buffer full, or a
    /// text message is not UTF-8.
    pub fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        self.core.send(data, binary)
    }

    /// The stream id; −1 before one is assigned.
    pub fn id(&self) -> i32 {
        self.core.id()
    }

    /// The label given at creation.
    pub fn label(&self) -> String {
        self.core.label().to_owned()
    }

    /// The state.
    pub fn state(&self) -> DataChannelState {
        self.core.state()
    }

    /// Closes the channel after what is queued has been handed to the network.
    pub fn close(&self) {
        self.core.close();
    }

    /// Bytes queued and not yet handed to the network.
    pub fn buffered_amount(&self) -> u64 {
        self.core.buffered_amount()
    }

    /// Replaces the handler of state changes.
    pub fn on_state_change(&self, callback: Option<OnStateChange>) {
        self.core.handlers.state_change.set(callback);
    }

    /// Replaces the handler of messages.
    pub fn on_message(&self, callback: Option<OnMessage>) {
        self.core.handlers.message.set(callback);
    }

    /// Replaces the handler of bytes leaving the send buffer.
    pub fn on_buffered_amount_change(&self, callback: Option<OnBufferedAmountChange>) {
        self.core.handlers.buffered_amount.set(callback);
    }
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("id", &self.id())
            .field("label", &self.core.label())
            .field("state", &self.state())
            .finish()
    }
}
