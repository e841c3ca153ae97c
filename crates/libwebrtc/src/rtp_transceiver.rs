//! A sender and a receiver that share one section of the session description.

use std::{fmt, sync::Arc};

use crate::{
    RtcError,
    peer::TransceiverCore,
    rtp_parameters::{RtpCodecCapability, RtpEncodingParameters},
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// How a transceiver starts.
#[derive(Debug, Clone)]
pub struct RtpTransceiverInit {
    /// What the first offer says.
    pub direction: RtpTransceiverDirection,
    /// Stream ids announced for what is sent.
    pub stream_ids: Vec<String>,
    /// Encodings of what is sent.
    pub send_encodings: Vec<RtpEncodingParameters>,
}

/// Which way media flows.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtpTransceiverDirection {
    /// Both ways.
    SendRecv,
    /// To the peer.
    SendOnly,
    /// From the peer.
    RecvOnly,
    /// Neither way, for now.
    Inactive,
    /// Never again.
    Stopped,
}

/// A sender and a receiver that share one section of the session description.
#[derive(Clone)]
pub struct RtpTransceiver {
    pub(crate) core: Arc<TransceiverCore>,
}

impl RtpTransceiver {
    /// The id of its section; none before the first description that contains it is applied.
    pub fn mid(&self) -> Option<String> {
        self.core.mid()
    }

    /// What was last negotiated.
    pub fn current_direction(&self) -> Option<RtpTransceiverDirection> {
        self.core.current_direction()
    }

    /// What the next offer will say.
    pub fn direction(&self) -> RtpTransceiverDirection {
        self.core.direction()
    }

    /// Its sender.
    pub fn sender(&self) -> RtpSender {
        RtpSender {
            core: Arc::clone(&self.core),
        }
    }

    /// Its receiver.
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver {
            core: Arc::clone(&self.core),
        }
    }

    /// Orders and restricts the codecs of the next offer or answer. An empty list restores the
    /// default.
    ///
    /// # Errors
    /// Where none of `codecs` is known to the engine.
    pub fn set_codec_preferences(&self, codecs: Vec<RtpCodecCapability>) -> Result<(), RtcError> {
        self.core.set_codec_preferences(&codecs)
    }

    /// Ends the transceiver for good; the next offer says so.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub fn stop(&self) -> Result<(), RtcError> {
        self.core.stop()
    }
}

impl fmt::Debug for RtpTransceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpTransceiver")
            .field("mid", &self.mid())
            .field("direction", &self.direction())
            .finish_non_exhaustive()
    }
}
