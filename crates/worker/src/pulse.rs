//! How a worker shows that its loop turns, for a watchdog that looks at thousands
//! of them with one timer.
//!
//! A worker says before each wait by when it will be back at the latest. Late is
//! who is not: a wait of minutes between two attempts is none, and neither is a
//! wait in the queue, which has no end that the worker knows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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
    /// Whoever is late among them makes the whole late, until it is dropped.
    parts: Mutex<Vec<Weak<Inner>>>,
}

impl Inner {
    fn new(began: Instant) -> Self {
        Self {
            began,
            back_by: AtomicU64::new(0),
            parts: Mutex::default(),
        }
    }

    fn late_by(&self, now: Instant) -> Duration {
        let back_by = self.back_by.load(Ordering::Relaxed);
        let own = if back_by == RESTING {
            Duration::ZERO
        } else {
            let age = now.saturating_duration_since(self.began);
            age.saturating_sub(Duration::from_millis(back_by))
        };
        let mut parts = self.parts.lock();
        parts.retain(|part| part.strong_count() > 0);
        let parts = parts.iter().filter_map(Weak::upgrade);
        parts.map(|part| part.late_by(now)).fold(own, Duration::max)
    }
}

impl Pulse {
    /// The pulse of a worker that is to turn for the first time now.
    pub fn new(now: Instant) -> Self {
        Self {
            inner: Arc::new(Inner::new(now)),
        }
    }

    /// The pulse of a loop within this one's, for as long as it is kept.
    pub(crate) fn part(&self, now: Instant) -> Self {
        let part = Self::new(now);
        let mut parts = self.inner.parts.lock();
        parts.push(Arc::downgrade(&part.inner));
        drop(parts);
        part
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
        self.inner.late_by(now)
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
    #[test]
    fn a_part_that_is_late_makes_the_whole_late_until_it_is_gone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let whole = Pulse::new(start);
        whole.rest();
        let (lively, stuck) = (whole.part(start), whole.part(start));
        lively.back_by(at(60));
        stuck.back_by(at(10));
        assert_eq!(whole.late_by(at(30)), Duration::from_secs(20));
        drop(stuck);
        assert_eq!(whole.late_by(at(30)), Duration::ZERO);
    }
}
