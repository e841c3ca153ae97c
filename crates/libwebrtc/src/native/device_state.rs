//! Whether microphone and speaker are allowed: remembered, because callers read it back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Two switches, shared by the clones of a factory.
#[derive(Clone)]
pub(crate) struct DeviceState {
    recording: Arc<AtomicBool>,
    playout: Arc<AtomicBool>,
}

impl Default for DeviceState {
    /// Recording allowed, playout not, as in the C++ engine.
    fn default() -> Self {
        Self {
            recording: Arc::new(AtomicBool::new(true)),
            playout: Arc::new(AtomicBool::new(false)),
        }
    }
}

impl DeviceState {
    pub(crate) fn set_recording(&self, enabled: bool) {
        self.recording.store(enabled, Ordering::Relaxed);
    }

    pub(crate) fn recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }

    pub(crate) fn set_playout(&self, enabled: bool) {
        self.playout.store(enabled, Ordering::Relaxed);
    }

    pub(crate) fn playout(&self) -> bool {
        self.playout.load(Ordering::Relaxed)
    }
}
