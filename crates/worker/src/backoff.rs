//! How long to wait before the next attempt.

use std::time::Duration;

use rand::Rng;

/// Exponential backoff as a value. The wait is drawn evenly between the floor
/// and the nominal delay ("full jitter"), so that a thousand projects that lost
/// their server in one moment do not come back in one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// No wait is shorter.
    pub floor: Duration,
    /// The nominal delay of attempt 0. It doubles with each attempt.
    pub first: Duration,
    /// No nominal delay is longer.
    pub cap: Duration,
}

impl Backoff {
    /// The longest wait before the retry number `attempt`, counted from 0.
    pub fn nominal(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.first
            .saturating_mul(factor)
            .clamp(self.floor, self.cap.max(self.floor))
    }

    /// The wait before the retry number `attempt`.
    pub fn delay(&self, attempt: u32, rng: &mut impl Rng) -> Duration {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let (low, high) = (nanos(self.floor), nanos(self.nominal(attempt)));
        Duration::from_nanos(rng.random_range(low..=high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    const FAST: Backoff = Backoff {
        floor: Duration::ZERO,
        first: Duration::from_millis(250),
        cap: Duration::from_secs(30),
    };

    #[test]
    fn the_nominal_delay_doubles_up_to_the_cap() {
        let millis: Vec<u128> = (0..9).map(|n| FAST.nominal(n).as_millis()).collect();
        assert_eq!(
            millis,
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        assert_eq!(FAST.nominal(u32::MAX), FAST.cap);
    }

    proptest! {
        #[test]
        fn a_delay_is_between_floor_and_nominal(
            floor in 0_u64..60_000, first in 1_u64..60_000, cap in 1_u64..600_000,
            attempt in 0_u32..80, seed: u64,
        ) {
            let backoff = Backoff {
                floor: Duration::from_millis(floor),
                first: Duration::from_millis(first),
                cap: Duration::from_millis(cap),
            };
            let delay = backoff.delay(attempt, &mut StdRng::seed_from_u64(seed));
            prop_assert!(delay >= backoff.floor);
            prop_assert!(delay <= backoff.nominal(attempt));
            prop_assert!(backoff.nominal(attempt) <= backoff.nominal(attempt + 1));
        }
    }
}
