//! A pure-Rust drop-in for the `libwebrtc` crate under the official LiveKit SDK.
//!
//! The public items are those of `libwebrtc` 0.3.55, so that `livekit` compiles and runs over
//! this crate unchanged. ICE, DTLS, SRTP and SCTP are str0m's, Opus is libopus; the rest (JSEP,
//! pacing, jitter buffer, driver) is here. What is not implemented answers with an error; the
//! README lists it.

mod audio;
mod crypto;
mod e2ee;
mod enum_dispatch;
mod error;
mod peer;
mod sdp;

pub mod audio_frame;
pub mod audio_source;
pub mod audio_stream;
pub mod audio_track;
pub mod data_channel;
pub mod desktop_capturer;
pub mod engine_options;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ice_candidate;
pub mod media_stream;
pub mod media_stream_track;
pub mod native;
pub mod peer_connection;
pub mod peer_connection_factory;
pub mod prelude;
pub mod rtp_parameters;
pub mod rtp_receiver;
pub mod rtp_sender;
pub mod rtp_transceiver;
pub mod session_description;
pub mod stats;
pub mod video_frame;
pub mod video_source;
pub mod video_stream;
pub mod video_track;

pub use error::{RtcError, RtcErrorType};

/// What a transceiver or a capability is about.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum MediaType {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// A data channel.
    Data,
    /// Anything else.
    Unsupported,
}
