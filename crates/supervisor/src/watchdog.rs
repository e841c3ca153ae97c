//! Finds workers whose loops stand still. Pure: one look at all pulses, now and
//! then, with the time as an argument; no timer for each.

use std::time::{Duration, Instant};

use trunkline_worker::Pulse;

/// Looks within one limit. A stall is found after the limit and a fifth at the latest.
const LOOKS_PER_LIMIT: u32 = 5;

/// The watchdog.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limit: Duration,
    last_look: Instant,
}

impl Watchdog {
    /// A watchdog that calls a worker stalled when it is late by `limit`.
    pub(crate) fn new(now: Instant, limit: Duration) -> Self {
        Self {
            limit,
            last_look: now,
        }
    }

    /// When the next look is due.
    pub(crate) fn due(&self) -> Instant {
        self.last_look + self.interval()
    }

    /// The keys of those who are late. When the look itself is late, the whole
    /// process stood still (a machine that was suspended, a debugger): nobody is
    /// blamed, and whoever still stands is found by the next one.
    pub(crate) fn look<'a, K: 'a>(
        &mut self,
        now: Instant,
        pulses: impl Iterator<Item = (K, &'a Pulse)>,
    ) -> Vec<K> {
        let since = now.saturating_duration_since(self.last_look);
        self.last_look = now;
        if since >= self.interval() * 2 {
            return Vec::new();
        }
        pulses
            .filter(|(_, pulse)| pulse.late_by(now) >= self.limit)
            .map(|(key, _)| key)
            .collect()
    }

    fn interval(&self) -> Duration {
        self.limit / LOOKS_PER_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Looks whenever it is due, until `end`.
    fn watch(dog: &mut Watchdog, end: Instant, pulses: &[Pulse]) -> Vec<(Instant, usize)> {
        let mut found = Vec::new();
        while dog.due() <= end {
            let now = dog.due();
            let stalled = dog.look(now, pulses.iter().enumerate());
            found.extend(stalled.into_iter().map(|index| (now, index)));
        }
        found
    }

    #[test]
    fn who_is_late_is_found_within_the_limit_and_a_fifth_and_nobody_else() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut dog = Watchdog::new(start, LIMIT);
        let pulses: Vec<Pulse> = (0..10_000).map(|_| Pulse::new(start)).collect();
        for pulse in &pulses {
            pulse.back_by(at(600));
        }
        pulses[7].back_by(at(5));
        assert!(watch(&mut dog, at(34), &pulses).is_empty());
        let found = watch(&mut dog, at(41), &pulses);
        assert_eq!(found.iter().map(|f| f.1).collect::<Vec<_>>(), [7]);
        assert!(found[0].0 <= at(5) + LIMIT + LIMIT / 5);
    }

    #[test]
    fn when_the_whole_process_stood_still_nobody_is_blamed_at_once() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start, LIMIT);
        let pulses = [Pulse::new(start), Pulse::new(start)];
        let woken = start + Duration::from_secs(3_600);
        assert!(dog.look(woken, pulses.iter().enumerate()).is_empty());
        // One of them turns again; the other does not.
        pulses[0].back_by(woken + LIMIT);
        let found = dog.look(dog.due(), pulses.iter().enumerate());
        assert_eq!(found, [1]);
    }
}
