//! Video tracks. They exist and carry no pictures.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    media_stream_track::RtcTrackState, native::packet_trailer::PacketTrailerHandler,
    video_source::native::NativeVideoSource,
};

/// A video track. It can be negotiated in either direction, so that rooms with video work; nothing
/// is encoded or decoded.
#[derive(Clone)]
pub struct RtcVideoTrack {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    enabled: AtomicBool,
    ended: CancellationToken,
    trailer: Mutex<Option<PacketTrailerHandler>>,
}

impl RtcVideoTrack {
    pub(crate) fn local(id: &str, _source: NativeVideoSource) -> Self {
        Self::remote(id)
    }

    pub(crate) fn remote(id: &str) -> Self {
        Self {
            shared: Arc::new(Shared {
                id: id.to_owned(),
                enabled: AtomicBool::new(true),
                ended: CancellationToken::new(),
                trailer: Mutex::new(None),
            }),
        }
    }

    /// The track's id.
    pub fn id(&self) -> String {
        self.shared.id.clone()
    }

    /// Whether the application wants the track's pictures.
    pub fn enabled(&self) -> bool {
        self.shared.enabled.load(Ordering::Relaxed)
    }

    /// Sets whether the application wants the track's pictures; answers whether that changed.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        self.shared.enabled.swap(enabled, Ordering::Relaxed) != enabled
    }

    /// Whether the track has ended.
    pub fn state(&self) -> RtcTrackState {
        if self.shared.ended.is_cancelled() {
            RtcTrackState::Ended
        } else {
            RtcTrackState::Live
        }
    }

    /// Keeps the handler; no frame will ever reach it.
    pub fn set_packet_trailer_handler(&self, handler: PacketTrailerHandler) {
        *self.shared.trailer.lock() = Some(handler);
    }

    /// The handler that was set.
    pub fn packet_trailer_handler(&self) -> Option<PacketTrailerHandler> {
        self.shared.trailer.lock().clone()
    }

    pub(crate) fn end(&self) {
        self.shared.ended.cancel();
    }

    pub(crate) fn ended(&self) -> CancellationToken {
        self.shared.ended.clone()
    }
}

impl fmt::Debug for RtcVideoTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcVideoTrack")
            .field("id", &self.shared.id)
            .field("enabled", &self.enabled())
            .field("state", &self.state())
            .finish()
    }
}
