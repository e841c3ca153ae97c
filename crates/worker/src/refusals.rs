//! Refused offers of one tenant: counted each, and said in the log now and then, as
//! everything is that the other side can make happen as often as it likes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::session::Refusal;

/// Between two log lines of one tenant for one reason. A storm has hundreds of
/// refusals in a second, and they say one thing.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The tally.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    by_reason: BTreeMap<&'static str, Tally>,
}

/// How often one thing happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: u64,
    unsaid: u64,
    said_at: Option<Instant>,
}

impl Tally {
    /// Counts one. `Some(n)`: it is to be logged, for `n` that were not.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        self.unsaid += 1;
        let due = self
            .said_at
            .is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
        due.then(|| {
            self.said_at = Some(now);
            std::mem::take(&mut self.unsaid)
        })
    }
}

impl Refusals {
    /// Counts one. `Some(n)`: it is to be logged, for `n` that were not.
    pub(crate) fn note(&mut self, now: Instant, refusal: Refusal) -> Option<u64> {
        let tally = self.by_reason.entry(refusal.as_str()).or_default();
        tally.note(now)
    }

    /// How many, by the reason.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let tallies = self.by_reason.iter();
        tallies
            .map(|(reason, tally)| (*reason, tally.count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_counted_and_a_storm_is_a_line_every_ten_seconds() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        let said: Vec<u64> = (0..2_000)
            .filter_map(|n| {
                let now = start + Duration::from_millis(n * 10);
                refusals.note(now, Refusal::TenantFull)
            })
            .collect();
        assert_eq!(said, [1, 1_000]);
        assert_eq!(refusals.note(start, Refusal::TenantShare), Some(1));
        let counts = BTreeMap::from([("tenant_full", 2_000), ("tenant_share", 1)]);
        assert_eq!(refusals.counts(), counts);
    }
}
