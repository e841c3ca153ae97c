//! The last answers of tenants' backends on their way to the database and back.
//!
//! Calls use what is in memory. This task reads what the database has, of this process's
//! earlier lives and of other replicas, and writes what is new. With the database away
//! everything goes on without it, and what is new is written when it is back.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trunkline_callconfig::{Haste, LastKnown, Options};
use trunkline_domain::{KnownAnswer, TenantId};
use trunkline_store::{KnownAnswerKey, Store, StoreError};

use crate::outage::Outage;

/// How often is read and written. Soon enough for a restart a moment later, and for a
/// backend that goes away while a call of another replica was answered just before.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often what is too old is deleted.
const SWEEP_EVERY: u32 = 360;
/// Answers in one statement, and their bytes: with the largest answers it writes 8 at once.
const CHUNK: usize = 100;
const CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// Answers that one page has: 16 MB with the largest ones.
const PAGE: u32 = 64;
/// What was committed so long after it was written, by the database's clock, is still seen:
/// longer than a query may take, by default.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);
/// How far the database's clock may be behind ours.
const CLOCKS: TimeDelta = TimeDelta::hours(1);
/// How long what waits may take to be written as the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Where answers are kept.
pub trait AnswerStore: Send + Sync + 'static {
    /// Writes them. Repeating it does no harm.
    fn write(&self, answers: &[KnownAnswer])
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A page of what was written behind `after`.
    fn read(
        &self,
        after: &KnownAnswerKey,
        limit: u32,
    ) -> impl Future<Output = Result<(Vec<KnownAnswer>, Option<KnownAnswerKey>), StoreError>> + Send;

    /// Deletes what came before.
    fn delete(&self, oldest: DateTime<Utc>)
    -> impl Future<Output = Result<u64, StoreError>> + Send;
}

impl AnswerStore for Store {
    async fn write(&self, answers: &[KnownAnswer]) -> Result<(), StoreError> {
        self.write_known_answers(answers).await
    }

    async fn read(
        &self,
        after: &KnownAnswerKey,
        limit: u32,
    ) -> Result<(Vec<KnownAnswer>, Option<KnownAnswerKey>), StoreError> {
        self.known_answers(after, limit).await
    }

    async fn delete(&self, oldest: DateTime<Utc>) -> Result<u64, StoreError> {
        self.delete_known_answers(oldest).await
    }
}

/// Reads and writes until told to stop, then writes what is left, within two seconds.
///
/// `tenants` says which there are; none at all says that it is not known yet.
pub async fn run(
    known: LastKnown,
    store: impl AnswerStore,
    tenants: impl Fn() -> HashSet<TenantId>,
    stop: CancellationToken,
) {
    let Some(max_age) = known.max_age() else {
        stop.cancelled().await;
        return;
    };
    let now = Utc::now();
    let oldest = now.checked_sub_signed(max_age + CLOCKS).unwrap_or(now);
    let mut sync = Syncing {
        known,
        store,
        tenants,
        read_to: KnownAnswerKey::at(oldest),
        rounds: 0,
    };
    let mut due = tokio::time::interval(INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outage = Outage::new(
        "the last answers of backends wait for the database",
        "the last answers of backends are read and written again",
    );
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = due.tick() => {}
        }
        let result = tokio::select! {
            () = stop.cancelled() => break,
            result = sync.round() => result,
        };
        outage.note(result);
    }
    let flushed = tokio::time::timeout(FLUSH_LIMIT, sync.write(Haste::All)).await;
    if !matches!(flushed, Ok(Ok(()))) {
        tracing::info!("the latest answers of backends are not written: the database is away");
    }
}

struct Syncing<S, T> {
    known: LastKnown,
    store: S,
    tenants: T,
    read_to: KnownAnswerKey,
    rounds: u32,
}

impl<S: AnswerStore, T: Fn() -> HashSet<TenantId>> Syncing<S, T> {
    async fn round(&mut self) -> Result<(), StoreError> {
        self.known.forget_old(Utc::now());
        self.read().await?;
        self.write(Haste::Paced).await?;
        if self.rounds.is_multiple_of(SWEEP_EVERY) {
            if self.rounds > 0 {
                self.forget_removed_tenants();
            }
            let longest = TimeDelta::seconds(Options::LONGEST_LAST_KNOWN_S.into());
            let now = Utc::now();
            let oldest = now.checked_sub_signed(longest).unwrap_or(now);
            let deleted = self.store.delete(oldest).await?;
            tracing::debug!(deleted, "old answers of backends are deleted");
        }
        self.rounds = self.rounds.wrapping_add(1);
        Ok(())
    }

    /// Not in the first round: the tenants may be on their way.
    fn forget_removed_tenants(&self) {
        let tenants = (self.tenants)();
        if !tenants.is_empty() {
            self.known
                .forget_tenants(|tenant| !tenants.contains(&tenant));
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        let mut after = self.read_to.clone();
        loop {
            let (answers, last) = self.store.read(&after, PAGE).await?;
            let is_last = last.is_none() || answers.len() < PAGE as usize;
            self.known.learn(answers);
            if let Some(last) = last {
                after = last;
            }
            if is_last {
                break;
            }
        }
        let overlapping = after.written_at.checked_sub_signed(OVERLAP);
        let overlapping = overlapping.unwrap_or(after.written_at);
        if overlapping > self.read_to.written_at {
            self.read_to = KnownAnswerKey::at(overlapping);
        }
        Ok(())
    }

    async fn write(&self, haste: Haste) -> Result<(), StoreError> {
        loop {
            let chunk = self.known.unwritten(Utc::now(), haste, CHUNK, CHUNK_BYTES);
            if chunk.is_empty() {
                return Ok(());
            }
            self.store.write(&chunk).await?;
            self.known.wrote(&chunk, Utc::now());
            // What came meanwhile has time, or would keep us for ever.
            if haste == Haste::Paced && chunk.len() < CHUNK && bytes(&chunk) < CHUNK_BYTES / 2 {
                return Ok(());
            }
        }
    }
}

fn bytes(answers: &[KnownAnswer]) -> usize {
    answers.iter().map(|answer| answer.answer.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use trunkline_domain::BackendMark;
    use uuid::Uuid;

    use super::*;

    const ACME: TenantId = TenantId(Uuid::from_u128(1));

    fn answer(text: &str, fetched_at: DateTime<Utc>) -> KnownAnswer {
        KnownAnswer {
            tenant_id: ACME,
            called: None,
            backend: BackendMark([0; 32]),
            answer: text.to_owned(),
            fetched_at,
        }
    }

    /// A database that is away for the first reads.
    #[derive(Clone)]
    struct Fake {
        away: Arc<Mutex<u32>>,
        has: Arc<Mutex<Vec<KnownAnswer>>>,
        done: UnboundedSender<&'static str>,
    }

    impl AnswerStore for Fake {
        async fn write(&self, answers: &[KnownAnswer]) -> Result<(), StoreError> {
            self.has.lock().extend_from_slice(answers);
            self.done.send("written").unwrap();
            Ok(())
        }

        async fn read(
            &self,
            _: &KnownAnswerKey,
            _: u32,
        ) -> Result<(Vec<KnownAnswer>, Option<KnownAnswerKey>), StoreError> {
            let mut away = self.away.lock();
            if *away > 0 {
                *away -= 1;
                self.done.send("away").unwrap();
                let limit = Duration::from_secs(1);
                return Err(StoreError::TimedOut { limit });
            }
            self.done.send("read").unwrap();
            Ok((self.has.lock().clone(), None))
        }

        async fn delete(&self, _: DateTime<Utc>) -> Result<u64, StoreError> {
            self.done.send("swept").unwrap();
            Ok(0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_read_when_the_database_is_there_and_written_as_the_process_ends() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let lookup = trunkline_callconfig::Lookup::new(&Options::default()).unwrap();
        let known = lookup.last_known().clone();
        let (done, mut seen) = unbounded_channel();
        let store = Fake {
            away: Arc::new(Mutex::new(2)),
            has: Arc::new(Mutex::new(vec![answer("{}", Utc::now())])),
            done,
        };
        let stop = CancellationToken::new();
        let observe = async {
            for step in ["away", "away", "read", "swept"] {
                assert_eq!(seen.recv().await, Some(step));
            }
            assert_eq!(known.count(), 1);
            stop.cancel();
        };
        let running = run(known.clone(), store, HashSet::new, stop.clone());
        tokio::join!(observe, running);
    }
}
