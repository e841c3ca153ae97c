//! How often something may happen.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// The lowest rate: one call in 1,000 s. What is meant to be less often is a
/// tenant that is disabled.
const MIN_PER_SECOND: f64 = 0.001;

/// The highest rate. One process takes some hundred calls at a time: a limit
/// above it is none.
const MAX_PER_SECOND: f64 = 1_000.0;

/// New calls per second, from 0.001 to 1,000, kept in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallsPerSecond {
    thousandths: NonZeroU32,
}

/// A rate that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("must be from {MIN_PER_SECOND} to {MAX_PER_SECOND}, not {value}")]
pub struct InvalidRate {
    /// What was given.
    pub value: f64,
}

impl CallsPerSecond {
    /// A rate, rounded to thousandths.
    ///
    /// # Errors
    /// When it is out of bounds.
    pub fn new(value: f64) -> Result<Self, InvalidRate> {
        if !(MIN_PER_SECOND..=MAX_PER_SECOND).contains(&value) {
            return Err(InvalidRate { value });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to 1,000,000 after the check"
        )]
        let thousandths = (value * 1_000.0).round() as u32;
        NonZeroU32::new(thousandths)
            .map(|thousandths| Self { thousandths })
            .ok_or(InvalidRate { value })
    }

    /// As it is written in the database and in configuration.
    pub fn get(self) -> f64 {
        f64::from(self.thousandths.get()) / 1_000.0
    }

    /// The time from one call to the next at this rate.
    pub fn interval(self) -> Duration {
        Duration::from_secs(1_000) / self.thousandths.get()
    }
}

impl fmt::Display for CallsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_in_thousandths_and_bounded() {
        let rate = CallsPerSecond::new(2.5).unwrap();
        assert_eq!(
            (rate.get(), rate.interval(), rate.to_string().as_str()),
            (2.5, Duration::from_millis(400), "2.5")
        );
        assert_eq!(
            CallsPerSecond::new(0.001).unwrap().interval(),
            Duration::from_secs(1_000)
        );
        for wrong in [0.0, -1.0, 0.000_9, 1_000.1, f64::NAN, f64::INFINITY] {
            assert!(CallsPerSecond::new(wrong).is_err(), "{wrong}");
        }
    }
}
