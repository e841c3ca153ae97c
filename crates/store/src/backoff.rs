//! How long to wait before the database is tried again.

use std::time::Duration;

use rand::Rng;

/// A lost connection is mostly back at once: a failover's end, a restart.
const FIRST: Duration = Duration::from_millis(100);
/// One connection attempt every few seconds costs a struggling server nothing,
/// and is what its return has to wait for.
const LONGEST: Duration = Duration::from_secs(5);

/// The wait before attempt `attempt`, from 0, without jitter: doubling.
pub(crate) fn nominal(attempt: u32) -> Duration {
    // 2^6 × 100 ms is beyond the longest.
    FIRST.saturating_mul(1 << attempt.min(6)).min(LONGEST)
}

/// The wait before attempt `attempt`: half of the nominal to all of it, so that
/// replicas that lost the same database do not come back together.
pub(crate) fn delay(attempt: u32, rng: &mut impl Rng) -> Duration {
    nominal(attempt).mul_f64(rng.random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let millis: Vec<u128> = (0..8).map(|n| nominal(n).as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    proptest! {
        #[test]
        fn a_delay_is_within_half_and_all_of_the_nominal(attempt in any::<u32>()) {
            let delay = delay(attempt, &mut rand::rng());
            prop_assert!(delay >= nominal(attempt) / 2 && delay <= nominal(attempt));
        }
    }
}
