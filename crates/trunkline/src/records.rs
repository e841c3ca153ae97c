//! Records of calls on their way to the database.
//!
//! A call hands its record over and is done with it: the queue is in memory, and
//! one writer empties it, in order. With the database away records wait, up to a
//! bound; what is beyond it is lost, counted, and an error in the log.

use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trunkline_domain::CallRecord;
use trunkline_store::{Store, StoreError};
use trunkline_worker::Backoff;

/// Between attempts while the database is away.
const RETRY: Backoff = Backoff {
    floor: Duration::from_millis(100),
    first: Duration::from_millis(250),
    cap: Duration::from_secs(10),
};

/// How often a record that the database refuses is tried. The cause can be a
/// missing right that is being granted; it must not hold up the others for ever.
const MAX_REFUSALS: u32 = 5;

/// How long what waits may take to be written as the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Where records are written.
pub trait RecordSink: Send + Sync + 'static {
    /// Writes one record. Repeating it does no harm.
    fn write(&self, record: &CallRecord) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The database, under this replica's name.
pub struct StoreSink {
    /// The database.
    pub store: Store,
    /// Who writes.
    pub replica: String,
}

impl RecordSink for StoreSink {
    async fn write(&self, record: &CallRecord) -> Result<(), StoreError> {
        self.store.record_call(record, &self.replica).await
    }
}

/// Takes records. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub struct RecordQueue {
    sender: mpsc::Sender<CallRecord>,
}

/// Writes what the queue takes.
pub struct RecordWriter<S> {
    receiver: mpsc::Receiver<CallRecord>,
    sink: S,
}

/// A queue of at most `max_waiting` records, and its writer.
pub fn channel<S: RecordSink>(max_waiting: usize, sink: S) -> (RecordQueue, RecordWriter<S>) {
    // Memory is taken for what waits, not for the bound.
    let (sender, receiver) = mpsc::channel(max_waiting);
    (RecordQueue { sender }, RecordWriter { receiver, sink })
}

impl RecordQueue {
    /// Hands a record over.
    pub fn push(&self, record: CallRecord) {
        if let Err(error) = self.sender.try_send(record) {
            let record = match error {
                mpsc::error::TrySendError::Full(record)
                | mpsc::error::TrySendError::Closed(record) => record,
            };
            lost(1);
            tracing::error!(
                call = %record.id,
                "a call's record is lost: too many wait for the database (records.max_waiting)"
            );
        }
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        gauge!("trunkline_records_waiting").set(waiting as f64);
    }
}

fn lost(count: u64) {
    counter!("trunkline_records_lost_total").increment(count);
}

/// What became of one record.
enum Written {
    Yes,
    Stopped,
}

impl<S: RecordSink> RecordWriter<S> {
    /// Writes until told to stop, then what still waits, within five seconds.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let record = tokio::select! {
                () = stop.cancelled() => break,
                record = self.receiver.recv() => record,
            };
            let Some(record) = record else { return };
            gauge!("trunkline_records_waiting").set(self.receiver.len() as f64);
            if let Written::Stopped = self.write(&record, &stop).await {
                self.flush(Some(record)).await;
                return;
            }
        }
        self.flush(None).await;
    }

    async fn write(&self, record: &CallRecord, stop: &CancellationToken) -> Written {
        let mut attempt = 0;
        let mut refusals = 0;
        loop {
            match self.sink.write(record).await {
                Ok(()) => {
                    if attempt > 0 {
                        tracing::info!(attempt, "records of calls are written again");
                    }
                    return Written::Yes;
                }
                Err(error @ StoreError::Refused { .. }) => {
                    refusals += 1;
                    if refusals >= MAX_REFUSALS {
                        lost(1);
                        tracing::error!(
                            call = %record.id,
                            error = error.one_line(),
                            "a call's record is lost: the database refuses it"
                        );
                        return Written::Yes;
                    }
                }
                Err(error) => {
                    if attempt == 0 {
                        tracing::warn!(
                            error = error.one_line(),
                            "records of calls wait for the database"
                        );
                    }
                }
            }
            let delay = RETRY.delay(attempt, &mut rand::rng());
            attempt += 1;
            tokio::select! {
                () = stop.cancelled() => return Written::Stopped,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// One attempt for each record, as long as they succeed.
    async fn flush(&mut self, mut held: Option<CallRecord>) {
        self.receiver.close();
        let until = Instant::now() + FLUSH_LIMIT;
        while let Some(record) = held.take().or_else(|| self.receiver.try_recv().ok()) {
            let result = tokio::time::timeout_at(until, self.sink.write(&record)).await;
            if !matches!(result, Ok(Ok(()))) {
                let count = 1 + self.receiver.len();
                lost(count as u64);
                tracing::error!(
                    count,
                    "records of calls are lost: the process ends and the database is away"
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use chrono::Utc;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use trunkline_domain::{CallId, CallOutcome, TenantId};

    use super::*;

    fn record() -> CallRecord {
        CallRecord::new(
            CallId::generate(),
            TenantId(uuid::Uuid::nil()),
            "AJ_1",
            "room",
            Utc::now(),
            CallOutcome::CallerHungUp,
        )
    }

    /// A database that can be away.
    struct Fake {
        away: Arc<AtomicBool>,
        attempts: UnboundedSender<CallId>,
        written: UnboundedSender<CallId>,
    }

    struct Observed {
        away: Arc<AtomicBool>,
        attempts: UnboundedReceiver<CallId>,
        written: UnboundedReceiver<CallId>,
    }

    fn fake() -> (Fake, Observed) {
        let away = Arc::new(AtomicBool::new(false));
        let (attempts, attempts_read) = unbounded_channel();
        let (written, written_read) = unbounded_channel();
        let fake = Fake {
            away: Arc::clone(&away),
            attempts,
            written,
        };
        let observed = Observed {
            away,
            attempts: attempts_read,
            written: written_read,
        };
        (fake, observed)
    }

    impl RecordSink for Fake {
        async fn write(&self, record: &CallRecord) -> Result<(), StoreError> {
            self.attempts.send(record.id).unwrap();
            if self.away.load(Ordering::SeqCst) {
                return Err(StoreError::TimedOut {
                    limit: Duration::from_secs(1),
                });
            }
            self.written.send(record.id).unwrap();
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn records_wait_while_the_database_is_away_and_are_written_in_order() {
        let (sink, mut seen) = fake();
        let (queue, writer) = channel(10, sink);
        let stop = CancellationToken::new();
        seen.away.store(true, Ordering::SeqCst);
        let ids: Vec<CallId> = (0..3)
            .map(|_| {
                let record = record();
                let id = record.id;
                queue.push(record);
                id
            })
            .collect();
        let observe = async {
            for _ in 0..4 {
                assert_eq!(seen.attempts.recv().await, Some(ids[0]));
            }
            seen.away.store(false, Ordering::SeqCst);
            for id in ids {
                assert_eq!(seen.written.recv().await, Some(id));
            }
            stop.cancel();
        };
        tokio::join!(writer.run(stop.clone()), observe);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_as_the_process_ends_is_written_first() {
        let (sink, mut seen) = fake();
        let (queue, writer) = channel(10, sink);
        let stop = CancellationToken::new();
        stop.cancel();
        queue.push(record());
        queue.push(record());
        writer.run(stop).await;
        assert!(seen.written.recv().await.is_some());
        assert!(seen.written.recv().await.is_some());
        assert_eq!(seen.written.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_does_not_wait_for_a_database_that_is_away() {
        let (sink, mut seen) = fake();
        let (queue, writer) = channel(10, sink);
        let stop = CancellationToken::new();
        seen.away.store(true, Ordering::SeqCst);
        queue.push(record());
        queue.push(record());
        let observe = async {
            seen.attempts.recv().await.unwrap();
            stop.cancel();
        };
        tokio::join!(writer.run(stop.clone()), observe);
        assert_eq!(seen.written.recv().await, None);
    }

    #[tokio::test]
    async fn a_full_queue_does_not_hold_up_the_call() {
        let (sink, mut seen) = fake();
        let (queue, writer) = channel(1, sink);
        let first = record();
        let id = first.id;
        queue.push(first);
        queue.push(record());
        let stop = CancellationToken::new();
        stop.cancel();
        writer.run(stop).await;
        assert_eq!(seen.written.recv().await, Some(id));
        assert_eq!(seen.written.recv().await, None);
    }
}
