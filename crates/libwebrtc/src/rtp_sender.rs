//! The sending half of a transceiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError, media_stream_track::MediaStreamTrack, peer::TransceiverCore,
    rtp_parameters::RtpParameters, stats::RtcStats,
};

/// Which video encoder a sender would like. There is none in this engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoEncoderBackend {
    /// Whatever is there.
    #[default]
    Auto,
    /// On the CPU.
    Software,
    /// Any hardware.
    Hardware,
    /// NVIDIA's.
    Nvenc,
    /// Linux' VA-API.
    Vaapi,
    /// Apple's.
    VideoToolbox,
    /// None: frames come encoded.
    PreEncoded,
}

impl VideoEncoderBackend {
    /// The encoders of this process: none, for this engine does not encode video.
    pub fn list_available() -> impl IntoIterator<Item = VideoEncoderBackend> {
        std::iter::empty()
    }
}

/// The sending half of a transceiver.
#[derive(Clone)]
pub struct RtpSender {
    pub(crate) core: Arc<TransceiverCore>,
}

impl RtpSender {
    /// The track being sent.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.core.sender_track()
    }

    /// Statistics of what is sent.
    ///
    /// # Errors
    /// None at present.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(self.core.sender_stats())
    }

    /// Replaces the track without negotiation.
    ///
    /// # Errors
    /// Where the track is of the other kind or cannot be sent, or the connection is closed.
    pub fn set_track(&self, track: Option<MediaStreamTrack>) -> Result<(), RtcError> {
        self.core.set_sender_track(track)
    }

    /// The parameters in force.
    pub fn parameters(&self) -> RtpParameters {
        self.core.sender_parameters()
    }

    /// Changes the encodings (active or not, bitrate bound).
    ///
    /// # Errors
    /// Where the number of encodings differs from that of [`Self::parameters`].
    pub fn set_parameters(&self, parameters: RtpParameters) -> Result<(), RtcError> {
        self.core.set_sender_parameters(parameters)
    }

    /// Accepted and without effect: this engine has no video encoders.
    pub fn set_video_encoder_backend(&self, backend: VideoEncoderBackend) {
        if backend != VideoEncoderBackend::Auto {
            log::warn!("video encoder {backend:?} was asked for; this engine has none");
        }
    }
}

impl fmt::Debug for RtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpSender")
            .field("track", &self.track())
            .finish()
    }
}
