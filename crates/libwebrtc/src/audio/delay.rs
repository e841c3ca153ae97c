//! How long packets must be held so that late ones are still in time. Pure.
//!
//! The policy: of the last packets, look at how much later than the fastest each came, and hold
//! packets for as long as pays: longer costs delay for ever, shorter costs the packets that come
//! later. A lost packet counts as having come with what it can be recovered from. The fastest of
//! a window of some seconds is the reference, so that a drift between the clocks of sender and
//! receiver does not matter.

use super::format::{PACKET_MS, TICKS_PER_MS};

/// Packets that are looked at: 2.5 s at 20 ms each. Shorter forgets a spike before the next one
/// comes; longer keeps a call late long after the network has calmed.
const WINDOW: usize = 128;

/// How much delay one percent of packets in time is worth. NetEq has 20 for it; but a packet that is
/// made up in the middle of a word is heard more than some tens of milliseconds: with 20, speech
/// over a jitter of 20 ms scored 4.1 (PESQ) where nothing late is 4.5.
const MS_PER_PERCENT: i64 = 60;

/// Packets of the window that may be given up: 6 %. More are never worth it.
const MAX_OUTLIERS: usize = 8;

/// Until there is a history: enough for the copy of a lost packet, which comes with the next one, and
/// so near the least that a calm network is no reason to change anything.
const INITIAL_MS: i64 = MIN_MS + MARGIN_MS;

/// A packet's length, which is when a lost one's copy comes. With 10 ms, packets that timers and a
/// busy machine make late were concealed now and then, and each concealment is heard more than the
/// delay.
const MIN_MS: i64 = PACKET_MS as i64;

/// Held for longer than the latest packet of the window needed: one in as many packets as the window
/// has comes later than all of them, and by little. Timers add a millisecond or two.
const MARGIN_MS: i64 = 9;

/// What another delay must be better by to be worth a change, which is heard if anything is.
const WORTH_A_CHANGE_MS: i64 = 10;

/// Beyond this people talk over each other; late packets are rather concealed.
const MAX_MS: i64 = 240;

/// Packets for which a shorter delay must have been better before it is taken: 10 s. Losses that
/// come now and then are waited for as long as they come, for each change is heard as well.
const CALM: usize = 500;

/// Estimates the delay for one stream. All times are ticks of the media clock.
#[derive(Debug)]
pub(crate) struct DelayEstimator {
    /// Arrival minus timestamp, a ring.
    transits: [i64; WINDOW],
    scratch: [i64; WINDOW],
    count: usize,
    fastest: i64,
    target: i64,
    /// For so many packets a shorter delay has been better.
    calm: usize,
}

impl DelayEstimator {
    pub(crate) fn new() -> Self {
        Self {
            transits: [0; WINDOW],
            scratch: [0; WINDOW],
            count: 0,
            fastest: 0,
            target: INITIAL_MS * TICKS_PER_MS,
            calm: 0,
        }
    }

    /// A packet of `timestamp` came at `arrival`.
    pub(crate) fn observe(&mut self, arrival: i64, timestamp: i64) {
        self.transits[self.count % WINDOW] = arrival - timestamp;
        self.count += 1;
        let length = self.count.min(WINDOW);
        let sorted = &mut self.scratch[..length];
        sorted.copy_from_slice(&self.transits[..length]);
        let latest = (MAX_OUTLIERS + 1).min(length);
        let (_, _, _) = sorted.select_nth_unstable(length - latest);
        let latest = &mut sorted[length - latest..];
        latest.sort_unstable_by(|a, b| b.cmp(a));
        self.fastest = self.transits[..length]
            .iter()
            .copied()
            .min()
            .unwrap_or_default();
        let price = MS_PER_PERCENT * TICKS_PER_MS * 100 / length as i64;
        let held = |transit: &i64| {
            let spread = transit - self.fastest + MARGIN_MS * TICKS_PER_MS;
            spread.clamp(MIN_MS * TICKS_PER_MS, MAX_MS * TICKS_PER_MS)
        };
        let cost = |(given_up, transit)| held(transit) + given_up as i64 * price;
        let Some(best) = latest
            .iter()
            .enumerate()
            .min_by_key(|(i, t)| cost((*i, *t)))
        else {
            return;
        };
        let missed = latest
            .iter()
            .filter(|transit| held(transit) > self.target)
            .count();
        let present = self.target + missed as i64 * price;
        let is_better = cost(best) + WORTH_A_CHANGE_MS * TICKS_PER_MS < present;
        let best = held(best.1);
        self.calm = if is_better && best < self.target {
            self.calm + 1
        } else {
            0
        };
        if is_better && (best > self.target || self.calm >= CALM) {
            self.target = best;
            self.calm = 0;
        }
    }

    /// When the sound of `timestamp` is to be played.
    pub(crate) fn due(&self, timestamp: i64) -> i64 {
        timestamp + self.fastest + self.target
    }

    /// For how long a packet that comes as fast as any is held.
    pub(crate) fn target(&self) -> i64 {
        self.target
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKET: i64 = 20 * TICKS_PER_MS;

    fn after(delays_ms: impl IntoIterator<Item = i64>) -> DelayEstimator {
        let mut estimator = DelayEstimator::new();
        for (i, delay) in delays_ms.into_iter().enumerate() {
            let timestamp = i as i64 * PACKET;
            estimator.observe(1_000_000 + timestamp + delay * TICKS_PER_MS, timestamp);
        }
        estimator
    }

    #[test]
    fn a_calm_network_comes_down_to_the_least() {
        assert_eq!(after([5; 10]).target(), INITIAL_MS * TICKS_PER_MS);
        let calming = (0..1_500).map(|i| if i < 200 && i % 4 == 0 { 60 } else { 0 });
        assert_eq!(after(calming).target(), MIN_MS * TICKS_PER_MS);
    }

    #[test]
    fn a_calm_network_is_no_reason_to_change_anything() {
        assert_eq!(after([5; 1_100]).target(), INITIAL_MS * TICKS_PER_MS);
    }

    #[test]
    fn regular_jitter_is_covered_and_single_outliers_are_not() {
        let jitter = (0..200).map(|i| if i % 4 == 0 { 60 } else { 0 });
        assert_eq!(after(jitter).target(), (60 + MARGIN_MS) * TICKS_PER_MS);
        let outlier = (0..1_500).map(|i| if i == 150 { 200 } else { 0 });
        assert_eq!(after(outlier).target(), INITIAL_MS * TICKS_PER_MS);
    }

    #[test]
    fn rare_lateness_is_not_waited_for_and_frequent_is() {
        let every = |n: i64, late: i64| (0..2_000).map(move |i| if i % n == 0 { late } else { 0 });
        assert_eq!(after(every(200, 100)).target(), MIN_MS * TICKS_PER_MS);
        let covered = (100 + MARGIN_MS) * TICKS_PER_MS;
        assert_eq!(after(every(25, 100)).target(), covered);
    }

    #[test]
    fn a_sender_with_a_fast_clock_does_not_drift_away() {
        // 200 ppm over ten minutes.
        let drift = (0..30_000).map(|i| -(i * 20 / 5_000));
        let estimator = after(drift);
        let timestamp = 30_000 * PACKET;
        let arrival = 1_000_000 + timestamp - 120 * TICKS_PER_MS;
        let held = estimator.due(timestamp) - arrival;
        assert!(held < 40 * TICKS_PER_MS, "{held}");
    }

    proptest! {
        #[test]
        fn the_target_stays_within_its_bounds(delays in prop::collection::vec(0i64..5_000, 1..300)) {
            let estimator = after(delays);
            prop_assert!(estimator.target() >= MIN_MS * TICKS_PER_MS);
            prop_assert!(estimator.target() <= MAX_MS * TICKS_PER_MS);
        }
    }
}
