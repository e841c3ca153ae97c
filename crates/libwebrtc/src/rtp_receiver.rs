//! The receiving half of a transceiver.

use std::{fmt, sync::Arc};

use crate::{
    RtcError, media_stream::MediaStream, media_stream_track::MediaStreamTrack,
    peer::TransceiverCore, rtp_parameters::RtpParameters, stats::RtcStats,
};

/// The receiving half of a transceiver.
#[derive(Clone)]
pub struct RtpReceiver {
    pub(crate) core: Arc<TransceiverCore>,
}

impl RtpReceiver {
    /// The track received. It exists from the start, with or without media.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        Some(self.core.receiver_track())
    }

    /// The stream ids that the peer put the track under; empty while it does not send.
    pub fn stream_ids(&self) -> Vec<String> {
        self.core.receiver_stream_ids()
    }

    /// The streams of [`Self::stream_ids`], each with this receiver's track.
    pub fn streams(&self) -> Vec<MediaStream> {
        self.core.receiver_streams()
    }

    /// Statistics of what is received.
    ///
    /// # Errors
    /// None at present.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(self.core.receiver_stats())
    }

    /// The parameters in force.
    pub fn parameters(&self) -> RtpParameters {
        self.core.receiver_parameters()
    }
}

impl fmt::Debug for RtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpReceiver")
            .field("track", &self.core.receiver_track())
            .finish_non_exhaustive()
    }
}
