//! How much somebody may ask for: a bucket of tokens for each, refilled at a rate.
//! Pure: time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How many are remembered. One takes about 100 bytes; who has been quiet until the
/// bucket was full again is forgotten without a loss.
const MAX_KEYS: usize = 10_000;

/// A rate and how much may come at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// A bucket for each key.
pub(crate) struct Buckets<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn tokens(self, now: Instant, rate: Rate) -> f64 {
        let refill = now.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        (self.tokens + refill).min(rate.burst)
    }
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: HashMap::new(),
        }
    }

    /// Takes one, or says how long until there is one.
    pub(crate) fn take(&mut self, now: Instant, key: K) -> Result<(), Duration> {
        self.wait(now, &key).map_or(Ok(()), Err)?;
        let rate = self.rate;
        if !self.buckets.contains_key(&key) && self.buckets.len() >= MAX_KEYS {
            self.buckets
                .retain(|_, bucket| bucket.tokens(now, rate) < rate.burst);
            if self.buckets.len() >= MAX_KEYS {
                // So many at once are no coincidence.
                return Err(Duration::from_secs_f64(1.0 / rate.per_second));
            }
        }
        let full = Bucket {
            tokens: rate.burst,
            at: now,
        };
        let bucket = self.buckets.entry(key).or_insert(full);
        *bucket = Bucket {
            tokens: bucket.tokens(now, rate) - 1.0,
            at: now,
        };
        Ok(())
    }

    /// How long until there is one; `None`: there is one.
    pub(crate) fn wait(&self, now: Instant, key: &K) -> Option<Duration> {
        let tokens = self.buckets.get(key)?.tokens(now, self.rate);
        (tokens < 1.0).then(|| Duration::from_secs_f64((1.0 - tokens) / self.rate.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2.0,
        burst: 3.0,
    };

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut buckets = Buckets::new(RATE);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take(start, "a"), Ok(()));
        }
        assert_eq!(buckets.take(start, "a"), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(start, "b"), Ok(()), "each has its own");
        let later = start + Duration::from_millis(500);
        assert_eq!(buckets.take(later, "a"), Ok(()));
        assert!(buckets.take(later, "a").is_err());
    }

    #[test]
    fn to_look_takes_nothing() {
        let mut buckets = Buckets::new(RATE);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(buckets.wait(start, &1), None);
        }
        for _ in 0..3 {
            buckets.take(start, 1).unwrap();
        }
        assert_eq!(buckets.wait(start, &1), Some(Duration::from_millis(500)));
    }

    #[test]
    fn memory_is_bounded_and_who_was_quiet_is_forgotten() {
        let mut buckets = Buckets::new(RATE);
        let start = Instant::now();
        for key in 0..MAX_KEYS {
            buckets.take(start, key).unwrap();
        }
        assert!(buckets.take(start, MAX_KEYS).is_err());
        let later = start + Duration::from_secs(2);
        assert_eq!(buckets.take(later, MAX_KEYS), Ok(()));
        assert_eq!(buckets.buckets.len(), 1);
    }
}
