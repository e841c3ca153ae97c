//! Metadata behind encoded video frames. There is no video here, so nothing is ever attached or
//! found; the types exist because the SDK names them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    peer_connection_factory::PeerConnectionFactory, rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// Where a published frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishTimingStage {
    /// At the encoder.
    EncoderUpload,
    /// Encoded.
    EncoderOutput,
    /// Being cut into packets.
    WebrtcPacketize,
}

/// Where a received frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeTimingStage {
    /// Put together from packets.
    WebrtcReceive,
    /// At the decoder.
    DecoderUpload,
    /// Decoded.
    DecoderOutput,
}

/// A published frame reached a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishTimingEvent {
    /// The stage.
    pub stage: PublishTimingStage,
    /// When, in microseconds of the wall clock.
    pub timestamp_us: u64,
    /// Capture time, in microseconds of the wall clock.
    pub capture_timestamp_us: u64,
    /// The application's number of the frame.
    pub frame_id: Option<u32>,
}

/// A received frame reached a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeTimingEvent {
    /// The stage.
    pub stage: SubscribeTimingStage,
    /// When, in microseconds of the wall clock.
    pub timestamp_us: u64,
    /// Capture time, in microseconds of the wall clock.
    pub capture_timestamp_us: u64,
    /// The application's number of the frame.
    pub frame_id: Option<u32>,
}

/// Called for frames being published.
pub type PublishTimingObserver = Arc<dyn Fn(PublishTimingEvent) + Send + Sync + 'static>;
/// Called for frames being received.
pub type SubscribeTimingObserver = Arc<dyn Fn(SubscribeTimingEvent) + Send + Sync + 'static>;

/// Attaches and finds metadata: here, neither.
#[derive(Clone, Default)]
pub struct PacketTrailerHandler {
    enabled: Arc<AtomicBool>,
}

impl PacketTrailerHandler {
    /// Remembers whether metadata is wanted.
    pub fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether metadata is wanted.
    pub fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// The metadata of a received frame: never there.
    pub fn lookup_frame_metadata(&self, _rtp_timestamp: u32) -> Option<(u64, u32, Vec<u8>)> {
        None
    }

    /// Would keep metadata for a frame to be sent; no frame will be.
    pub fn store_frame_metadata(
        &self,
        _capture_timestamp_us: i64,
        _user_timestamp: u64,
        _frame_id: u32,
        _user_data: &[u8],
    ) {
    }

    /// Would observe frames being published; there are none.
    pub fn set_publish_timing_observer(&self, _observer: Option<PublishTimingObserver>) {}

    /// Would observe frames being received; there are none.
    pub fn set_subscribe_timing_observer(&self, _observer: Option<SubscribeTimingObserver>) {}
}

impl fmt::Debug for PacketTrailerHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketTrailerHandler")
            .field("enabled", &self.enabled())
            .finish()
    }
}

/// A handler for a sender.
pub fn create_sender_handler(_: &PeerConnectionFactory, _: &RtpSender) -> PacketTrailerHandler {
    PacketTrailerHandler::default()
}

/// A handler for a receiver.
pub fn create_receiver_handler(_: &PeerConnectionFactory, _: &RtpReceiver) -> PacketTrailerHandler {
    PacketTrailerHandler::default()
}
