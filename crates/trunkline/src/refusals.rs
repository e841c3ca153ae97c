//! Refused offers on their way to the database.
//!
//! A worker that refuses an offer counts it here and is done with it: counts by tenant,
//! reason and minute are in memory, and one writer brings them to the database now and then.
//! A storm of offers is a number that grows, not a storm of writes. With the database away
//! the counts stay, up to a bound; what is beyond it is counted as lost, and in the metrics
//! and the log only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use metrics::counter;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trunkline_domain::TenantId;
use trunkline_store::{RefusedOffers, Reporter, Store, StoreError};

use crate::outage::Outage;

/// How often what was counted is written. Soon enough for who looks for a call that was
/// refused a moment ago.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// How many counts are kept while the database is away. Of some 100 bytes each: 1 MB. One
/// tenant that is called too often all the time makes one a minute.
const MAX_WAITING: usize = 10_000;

/// How many counts one statement writes.
const CHUNK: usize = 1_000;

/// How long what waits may take to be written as the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// What a count is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    minute: DateTime<Utc>,
    tenant: TenantId,
    reason: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    count: u64,
    /// How many of them the database has.
    written: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

/// What was counted and is not all written.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<Key, Count>,
}

/// Whether an offer found a count.
#[derive(Debug, PartialEq, Eq)]
enum Noted {
    Counted,
    Lost,
}

impl Tally {
    fn note(&mut self, now: DateTime<Utc>, tenant: TenantId, reason: &'static str) -> Noted {
        let key = Key {
            minute: minute_of(now),
            tenant,
            reason,
        };
        let is_full = self.counts.len() >= MAX_WAITING;
        match self.counts.entry(key) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.count += 1;
                // The clock may have been set back.
                known.first_at = known.first_at.min(now);
                known.last_at = known.last_at.max(now);
            }
            Entry::Vacant(_) if is_full => return Noted::Lost,
            Entry::Vacant(free) => {
                free.insert(Count {
                    count: 1,
                    written: 0,
                    first_at: now,
                    last_at: now,
                });
            }
        }
        Noted::Counted
    }

    /// What is not written, the oldest first, as much of it as one statement takes.
    fn unwritten(&self) -> Vec<RefusedOffers> {
        let unwritten = self.counts.iter().filter(|(_, c)| c.count > c.written);
        unwritten
            .take(CHUNK)
            .map(|(key, count)| RefusedOffers {
                tenant_id: key.tenant,
                minute: key.minute,
                reason: key.reason,
                count: count.count,
                first_at: count.first_at,
                last_at: count.last_at,
            })
            .collect()
    }

    /// These are in the database.
    fn wrote(&mut self, written: &[RefusedOffers]) {
        for offers in written {
            let key = Key {
                minute: offers.minute,
                tenant: offers.tenant_id,
                reason: offers.reason,
            };
            if let Some(count) = self.counts.get_mut(&key) {
                count.written = count.written.max(offers.count);
            }
        }
    }

    /// How many offers are not written.
    fn left(&self) -> u64 {
        self.counts.values().map(|c| c.count - c.written).sum()
    }

    /// Forgets what is written of minutes that are over: nothing is added to it.
    fn forget(&mut self, now: DateTime<Utc>) {
        let minute = minute_of(now);
        self.counts
            .retain(|key, count| key.minute >= minute || count.count > count.written);
    }
}

fn minute_of(time: DateTime<Utc>) -> DateTime<Utc> {
    // The calendar ends before this fails.
    time.duration_trunc(TimeDelta::minutes(1)).unwrap_or(time)
}

/// Counts refused offers. Cheap to clone; never blocks.
#[derive(Debug, Clone, Default)]
pub struct RefusalRecorder {
    tally: Arc<Mutex<Tally>>,
}

impl RefusalRecorder {
    /// Counts one.
    pub fn refused(&self, tenant: TenantId, reason: &'static str) {
        let noted = self.tally.lock().note(Utc::now(), tenant, reason);
        if noted == Noted::Lost {
            counter!("trunkline_refusals_lost_total").increment(1);
        }
    }

    /// Writes what is counted until told to stop, then what is left, within two seconds.
    pub async fn write(self, sink: impl RefusalSink, stop: CancellationToken) {
        let mut due = tokio::time::interval(WRITE_INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut outage = Outage::new(
            "records of refused offers wait for the database",
            "records of refused offers are written again",
        );
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = due.tick() => {}
            }
            let result = tokio::select! {
                () = stop.cancelled() => break,
                result = self.write_all(&sink) => result,
            };
            outage.note(result);
        }
        let flushed = tokio::time::timeout(FLUSH_LIMIT, self.write_all(&sink)).await;
        let left = self.tally.lock().left();
        if left > 0 {
            counter!("trunkline_refusals_lost_total").increment(left);
            tracing::error!(
                left,
                in_time = flushed.is_ok(),
                "records of refused offers are lost: the process ends and the database is away"
            );
        }
    }

    async fn write_all(&self, sink: &impl RefusalSink) -> Result<(), StoreError> {
        loop {
            let chunk = self.tally.lock().unwritten();
            if chunk.is_empty() {
                break;
            }
            sink.write(&chunk).await?;
            self.tally.lock().wrote(&chunk);
            // What came meanwhile has time.
            if chunk.len() < CHUNK {
                break;
            }
        }
        self.tally.lock().forget(Utc::now());
        Ok(())
    }
}

/// Where counts are written.
pub trait RefusalSink: Send + Sync + 'static {
    /// Writes them. Repeating it does no harm.
    fn write(
        &self,
        refused: &[RefusedOffers],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The database, under this process's name.
pub struct StoreRefusals {
    /// The database.
    pub store: Store,
    /// Who writes.
    pub replica: Reporter,
}

impl RefusalSink for StoreRefusals {
    async fn write(&self, refused: &[RefusedOffers]) -> Result<(), StoreError> {
        self.store.record_refusals(&self.replica, refused).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 - 1_790_000_000 % 60 + second, 0).unwrap()
    }

    const ACME: TenantId = TenantId(Uuid::nil());

    #[test]
    fn a_storm_is_one_count_for_each_reason_and_minute() {
        let mut tally = Tally::default();
        for n in 0..9_000 {
            tally.note(at(n / 100), ACME, "tenant_full");
        }
        tally.note(at(3), ACME, "tenant_rate");
        let counts: Vec<_> = tally
            .unwritten()
            .into_iter()
            .map(|o| {
                (
                    o.minute,
                    o.reason.to_owned(),
                    o.count,
                    o.first_at,
                    o.last_at,
                )
            })
            .collect();
        let full = "tenant_full".to_owned();
        assert_eq!(
            counts,
            [
                (at(0), full.clone(), 6_000, at(0), at(59)),
                (at(0), "tenant_rate".to_owned(), 1, at(3), at(3)),
                (at(60), full, 3_000, at(60), at(89)),
            ]
        );
    }

    #[test]
    fn what_is_written_is_written_again_when_it_grows_and_forgotten_when_its_minute_is_over() {
        let mut tally = Tally::default();
        tally.note(at(0), ACME, "tenant_full");
        let first = tally.unwritten();
        // While it is being written, another comes.
        tally.note(at(1), ACME, "tenant_full");
        tally.wrote(&first);
        tally.forget(at(2));
        assert_eq!(tally.unwritten()[0].count, 2);
        tally.forget(at(70));
        let second = tally.unwritten();
        assert_eq!(second[0].count, 2, "not before it is written");
        tally.wrote(&second);
        tally.forget(at(59));
        assert_eq!(tally.counts.len(), 1);
        tally.forget(at(60));
        assert!(tally.counts.is_empty());
    }

    #[test]
    fn with_no_room_for_another_count_those_that_there_are_go_on() {
        let mut tally = Tally::default();
        for n in 0..MAX_WAITING {
            let tenant = TenantId(Uuid::from_u128(n as u128));
            assert_eq!(tally.note(at(0), tenant, "draining"), Noted::Counted);
        }
        assert_eq!(tally.note(at(60), ACME, "draining"), Noted::Lost);
        assert_eq!(tally.note(at(1), ACME, "draining"), Noted::Counted);
        let mut written = 0;
        loop {
            let chunk = tally.unwritten();
            if chunk.is_empty() {
                break;
            }
            assert!(chunk.len() <= CHUNK);
            written += chunk.len();
            tally.wrote(&chunk);
        }
        assert_eq!(written, MAX_WAITING);
        tally.forget(at(60));
        assert_eq!(tally.note(at(60), ACME, "draining"), Noted::Counted);
    }

    /// A database that is away for the first attempts.
    struct Fake {
        away: Mutex<u32>,
        written: UnboundedSender<Option<u64>>,
    }

    impl RefusalSink for Fake {
        async fn write(&self, refused: &[RefusedOffers]) -> Result<(), StoreError> {
            let mut away = self.away.lock();
            if *away > 0 {
                *away -= 1;
                self.written.send(None).unwrap();
                return Err(StoreError::TimedOut {
                    limit: Duration::from_secs(1),
                });
            }
            let count = refused.iter().map(|offers| offers.count).sum();
            self.written.send(Some(count)).unwrap();
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_stay_while_the_database_is_away_and_are_written_as_the_process_ends() {
        let (written, mut seen) = unbounded_channel();
        let away = Mutex::new(2);
        let recorder = RefusalRecorder::default();
        let stop = CancellationToken::new();
        recorder.refused(ACME, "tenant_full");
        let observe = async {
            assert_eq!(seen.recv().await, Some(None));
            recorder.refused(ACME, "tenant_share");
            assert_eq!(seen.recv().await, Some(None));
            assert_eq!(seen.recv().await, Some(Some(2)));
            recorder.refused(ACME, "draining");
            stop.cancel();
            seen.recv().await
        };
        let writing = recorder.clone().write(Fake { away, written }, stop.clone());
        let (last, ()) = tokio::join!(observe, writing);
        assert_eq!(last, Some(Some(1)));
    }
}
