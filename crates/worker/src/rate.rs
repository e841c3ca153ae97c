//! How many new calls a tenant may have in a second, with room for a burst.
//!
//! A token bucket in its shortest form (GCRA): it holds one time, that at which
//! the bucket is full again. Time is an argument.

use std::time::{Duration, Instant};

use trunkline_domain::CallsPerSecond;

/// How many seconds' worth of calls may come at once: people do not ring evenly.
/// At least one call, or a low rate would let none through.
const BURST: Duration = Duration::from_secs(2);

/// One tenant's bucket. The rate is given with each question, so that a changed
/// one holds at once.
#[derive(Debug, Default)]
pub(crate) struct TokenBucket {
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant, rate: CallsPerSecond) -> bool {
        let interval = rate.interval();
        let room = BURST.max(interval);
        let owed = self
            .full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        // A rate that was raised does not wait for what the lower one was owed.
        let owed = owed.min(room);
        let has_token = owed + interval <= room;
        let spent = if has_token { interval } else { Duration::ZERO };
        self.full_at = Some(now + owed + spent);
        has_token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn per_second(rate: f64) -> CallsPerSecond {
        CallsPerSecond::new(rate).unwrap()
    }

    #[test]
    fn two_seconds_worth_comes_at_once_and_then_one_by_one() {
        let (start, rate) = (Instant::now(), per_second(4.0));
        let mut bucket = TokenBucket::default();
        let at_once = (0..20).filter(|_| bucket.take(start, rate)).count();
        assert_eq!(at_once, 8);
        assert!(!bucket.take(start + Duration::from_millis(249), rate));
        assert!(bucket.take(start + Duration::from_millis(250), rate));
        assert!(!bucket.take(start + Duration::from_millis(250), rate));
    }

    #[test]
    fn a_low_rate_lets_one_through_and_a_raised_one_holds_at_once() {
        let (start, slow) = (Instant::now(), per_second(0.01));
        let mut bucket = TokenBucket::default();
        assert!(bucket.take(start, slow));
        assert!(!bucket.take(start + Duration::from_secs(99), slow));
        assert!(bucket.take(start + Duration::from_secs(100), slow));
        // What the slow rate was owed is cut to an empty bucket of the fast one.
        let (later, fast) = (start + Duration::from_secs(102), per_second(100.0));
        assert!(!bucket.take(later, fast));
        assert!(bucket.take(later + Duration::from_millis(10), fast));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_sees_more_than_its_calls_and_a_burst(
            milli_rate in 1_u32..200_000,
            gaps in proptest::collection::vec(0_u64..3_000, 1..200),
        ) {
            let rate = per_second(f64::from(milli_rate) / 1_000.0);
            let mut bucket = TokenBucket::default();
            let mut now = Instant::now();
            let mut taken = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if bucket.take(now, rate) {
                    taken.push(now);
                }
            }
            prop_assert!(!taken.is_empty(), "the first call finds a full bucket");
            let burst = (rate.get() * BURST.as_secs_f64()).max(1.0);
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken[index..].iter().enumerate() {
                    let allowed = burst + rate.get() * (*to - *from).as_secs_f64();
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let seen = (count + 1) as f64;
                    prop_assert!(seen <= allowed + 0.01, "{seen} calls, {allowed} allowed");
                }
            }
        }
    }
}
