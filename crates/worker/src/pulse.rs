//! How a worker shows that its loop turns, for a watchdog that looks at thousands
//! of them with one timer.
//!
//! A worker says before each wait by when it will be back at the latest. Late is
//! who is not: a wait of minutes between two attempts is none, and neither is a
//! wait in the queue, which has no end that the worker knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// There is no time by which the worker must be back.
const RESTING: u64 = u64::MAX;

/// One worker's pulse. Cheap to clone; clones are one pulse.
#[derive(Debug, Clone)]
pub struct Pulse {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// Milliseconds after `began`.
    back_by: AtomicU64,
}

impl Pulse {
    /// The pulse of a worker that is to turn for the first time now.
    pub fn new(now: Instant) -> Self {
        Self {
            inner: Arc::new(Inner {
                began: now,
                back_by: AtomicU64::new(0),
            }),
        }
    }

    /// The loop turns, and will again by then.
    pub fn back_by(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.inner.began).as_millis();
        let millis = u64::try_from(millis).unwrap_or(RESTING);
        self.inner.back_by.store(millis, Ordering::Relaxed);
    }

    /// The loop turns, and waits for what has no time.
    pub fn rest(&self) {
        self.inner.back_by.store(RESTING, Ordering::Relaxed);
    }

    /// For how long the worker has been late.
    pub fn late_by(&self, now: Instant) -> Duration {
        let back_by = self.inner.back_by.load(Ordering::Relaxed);
        if back_by == RESTING {
            return Duration::ZERO;
        }
        let age = now.saturating_duration_since(self.inner.began);
        age.saturating_sub(Duration::from_millis(back_by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_who_is_not_back_by_the_time_that_was_named() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(start);
        assert_eq!(pulse.late_by(at(3)), Duration::from_secs(3), "never turned");
        pulse.clone().back_by(at(300));
        assert_eq!(pulse.late_by(at(300)), Duration::ZERO);
        assert_eq!(pulse.late_by(at(310)), Duration::from_secs(10));
        pulse.rest();
        assert_eq!(pulse.late_by(at(1_000_000)), Duration::ZERO);
    }
}
