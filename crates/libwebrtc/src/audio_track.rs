//! Audio tracks, local and remote.

use std::{
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    audio::{ReceiveTrack, SourceHandle},
    audio_source::native::NativeAudioSource,
    media_stream_track::RtcTrackState,
};

/// An audio track. Clones are the same track.
#[derive(Clone)]
pub struct RtcAudioTrack {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    enabled: AtomicBool,
    ended: AtomicBool,
    side: Side,
}

/// Which way the audio goes.
enum Side {
    Local(SourceHandle),
    /// Local, of a device that does not exist.
    Silent,
    Remote(ReceiveTrack),
}

impl RtcAudioTrack {
    /// A track that sends what `source` captures.
    pub(crate) fn local(id: &str, source: NativeAudioSource) -> Self {
        Self::with_side(id, Side::Local(source.handle))
    }

    /// A track that can be sent and carries silence.
    pub(crate) fn silent(id: &str) -> Self {
        Self::with_side(id, Side::Silent)
    }

    /// A track that plays what is pushed into `receive`.
    pub(crate) fn remote(id: &str, receive: ReceiveTrack) -> Self {
        Self::with_side(id, Side::Remote(receive))
    }

    fn with_side(id: &str, side: Side) -> Self {
        let shared = Shared {
            id: id.to_owned(),
            enabled: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            side,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The track's id.
    pub fn id(&self) -> String {
        self.shared.id.clone()
    }

    /// Whether the track carries sound; a track that is not enabled is silent.
    pub fn enabled(&self) -> bool {
        self.shared.enabled.load(Ordering::Relaxed)
    }

    /// Sets whether the track carries sound; answers whether that changed.
    pub fn set_enabled(&self, enabled: bool) -> bool {
        let has_changed = self.shared.enabled.swap(enabled, Ordering::Relaxed) != enabled;
        match &self.shared.side {
            Side::Local(source) => source.wake(),
            Side::Silent => {}
            Side::Remote(receive) => receive.set_enabled(enabled),
        }
        has_changed
    }

    /// Whether the track has ended.
    pub fn state(&self) -> RtcTrackState {
        if self.shared.ended.load(Ordering::Acquire) {
            RtcTrackState::Ended
        } else {
            RtcTrackState::Live
        }
    }

    /// Ends the track for good: streams yield what they hold, then end.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Side::Remote(receive) = &self.shared.side {
            receive.end();
        }
    }

    /// What to send; `None` for remote and silent tracks.
    pub(crate) fn source(&self) -> Option<&SourceHandle> {
        match &self.shared.side {
            Side::Local(source) => Some(source),
            Side::Silent | Side::Remote(_) => None,
        }
    }

    /// Whether both are the same track.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Where received packets go; `None` for local tracks.
    pub(crate) fn receive(&self) -> Option<&ReceiveTrack> {
        match &self.shared.side {
            Side::Remote(receive) => Some(receive),
            Side::Local(_) | Side::Silent => None,
        }
    }
}

impl Debug for RtcAudioTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcAudioTrack")
            .field("id", &self.shared.id)
            .field("enabled", &self.enabled())
            .field("state", &self.state())
            .finish()
    }
}
