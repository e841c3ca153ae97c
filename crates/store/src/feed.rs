//! All tenants, again whenever one has changed.
//!
//! The feed listens first and reads then, so a change is either in what is read
//! or announced after it. A notice names the row that changed, which alone is read;
//! what is handed on is always the whole picture. A notice that is lost, with its
//! connection or otherwise, is made up for by the next reconcile, which compares the
//! versions of all rows.
//!
//! Reading goes over the connection that listens. So a connection that is dead
//! without a sign (a firewall forgot it) is found out by the next reconcile, and
//! not only when somebody misses a change.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::Rng;
use sqlx::Acquire as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::Instant;
use trunkline_domain::TenantId;

use crate::backoff;
use crate::error::{DatabaseError, StoreError};
use crate::keyring::Keyring;
use crate::lease::{CONNECT_LIMIT, probe, within};
use crate::picture::Picture;
use crate::tenants::{TenantRow, read_marks, read_rows};

/// What `tenants_notify` in `migrations/` sends on.
const CHANNEL: &str = "trunkline_tenants";

/// Further notices of the same moment are taken together. A person does not feel
/// it, and an import of a thousand rows, one by one, is read a few times only.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// Rows read at a time.
const CHUNK: usize = 500;

/// Notices of more rows than this, at one moment, are answered with a reconcile.
const MAX_NAMED: usize = 200;

/// How far a reconcile may be early or late, as a part of its interval.
const JITTER: f64 = 0.2;

/// All tenants at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// By slug.
    pub tenants: Vec<TenantRow>,
    /// When they were read.
    pub read_at: DateTime<Utc>,
}

/// How the feed stands with the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedStatus {
    /// Nothing was read yet, and nothing failed yet.
    Starting,
    /// Changes are seen as they happen.
    Connected {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Changes are not seen. What was read before stays valid.
    Away {
        /// Since when.
        since: DateTime<Utc>,
        /// What the last attempt met.
        reason: String,
    },
}

/// The tenants, pushed. It never ends and never fails.
pub struct TenantFeed {
    /// The reader is inside, and comes out with a picture. The future stays here
    /// when a caller of `next` goes away, so that no work is lost half way.
    work: BoxFuture<'static, (Reader, Snapshot)>,
    status: watch::Receiver<FeedStatus>,
}

impl TenantFeed {
    pub(crate) fn new(
        options: &PgConnectOptions,
        keyring: Keyring,
        query_timeout: Duration,
        interval: Duration,
    ) -> Self {
        let (sender, status) = watch::channel(FeedStatus::Starting);
        let reader = Reader {
            options: options.clone(),
            keyring,
            query_timeout,
            interval,
            listening: None,
            outage: None,
            status: sender,
            picture: Picture::default(),
        };
        Self {
            work: reader.next().boxed(),
            status,
        }
    }

    /// The next picture of all tenants: the first at once, then one after every
    /// notice and at every reconcile. With the database away it waits.
    ///
    /// Cancel-safe: it may be dropped and called again, and nothing is lost.
    pub async fn next(&mut self) -> Snapshot {
        let (reader, snapshot) = (&mut self.work).await;
        self.work = reader.next().boxed();
        snapshot
    }

    /// How the feed stands with the database. It moves while [`TenantFeed::next`]
    /// is awaited.
    pub fn status(&self) -> watch::Receiver<FeedStatus> {
        self.status.clone()
    }
}

impl fmt::Debug for TenantFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantFeed")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

struct Reader {
    options: PgConnectOptions,
    keyring: Keyring,
    query_timeout: Duration,
    interval: Duration,
    /// `None`: to be connected.
    listening: Option<Listening>,
    /// `None`: the last attempt succeeded, or there was none yet.
    outage: Option<Outage>,
    status: watch::Sender<FeedStatus>,
    picture: Picture,
}

/// Why and what is read.
#[derive(Debug, PartialEq, Eq)]
enum Reason {
    /// The connection is new.
    Connect,
    /// It is time.
    Reconcile,
    /// These rows have changed; empty: who knows which.
    Notice(BTreeSet<TenantId>),
}

impl Reason {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reconcile => "reconcile",
            Self::Notice(_) => "notice",
        }
    }
}

struct Listening {
    listener: PgListener,
    /// When everything is read without a notice.
    due: Instant,
}

struct Outage {
    since: DateTime<Utc>,
    began: Instant,
    attempts: u32,
}

impl Reader {
    async fn next(mut self) -> (Self, Snapshot) {
        loop {
            match self.attempt().await {
                Ok(tenants) => {
                    let read_at = Utc::now();
                    self.succeeded(read_at);
                    return (self, Snapshot { tenants, read_at });
                }
                Err(error) => {
                    let delay = self.failed(&error);
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Connects if need be, else waits for a reason to read; then reads.
    async fn attempt(&mut self) -> Result<Vec<TenantRow>, StoreError> {
        let reason = match &mut self.listening {
            Some(listening) => listening.reason_to_read().await?,
            None => {
                self.listening = Some(Listening::connect(&self.options).await?);
                Reason::Connect
            }
        };
        let Some(listening) = &mut self.listening else {
            unreachable!("it was there, or was connected just now");
        };
        let read = listening.read(&reason, &mut self.picture, &self.keyring);
        within(self.query_timeout, read).await?;
        if !matches!(reason, Reason::Notice(_)) {
            listening.due = Instant::now() + jittered(self.interval, &mut rand::rng());
        }
        metrics::counter!("trunkline_feed_reads_total", "reason" => reason.as_str()).increment(1);
        Ok(self.picture.tenants())
    }

    fn succeeded(&mut self, now: DateTime<Utc>) {
        if let Some(outage) = self.outage.take() {
            tracing::info!(
                away_seconds = outage.began.elapsed().as_secs_f64(),
                attempts = outage.attempts,
                "the database is back"
            );
        }
        self.status.send_if_modified(|status| {
            let changed = !matches!(status, FeedStatus::Connected { .. });
            if changed {
                *status = FeedStatus::Connected { since: now };
                metrics::gauge!("trunkline_feed_connected").set(1.0);
            }
            changed
        });
    }

    /// Returns how long to wait. One log line for each outage, not for each attempt.
    fn failed(&mut self, error: &StoreError) -> Duration {
        // A new connection tells more than one that has just failed.
        self.listening = None;
        let reason = error.one_line();
        if self.outage.is_none() {
            metrics::counter!("trunkline_feed_outages_total").increment(1);
            metrics::gauge!("trunkline_feed_connected").set(0.0);
            tracing::warn!(
                error = reason,
                "tenants cannot be read; what was read before stays, and this is tried again"
            );
        }
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: Utc::now(),
            began: Instant::now(),
            attempts: 0,
        });
        let delay = backoff::delay(outage.attempts, &mut rand::rng());
        outage.attempts = outage.attempts.saturating_add(1);
        let since = outage.since;
        self.status.send_replace(FeedStatus::Away { since, reason });
        delay
    }
}

impl Listening {
    async fn connect(options: &PgConnectOptions) -> Result<Self, StoreError> {
        probe(options, CONNECT_LIMIT).await?;
        // The listener wants a pool. It is made for one connection, which is
        // never replaced behind our back.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_LIMIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.clone());
        let mut listener = within(CONNECT_LIMIT, PgListener::connect_with(&pool)).await?;
        listener.eager_reconnect(false);
        within(CONNECT_LIMIT, listener.listen(CHANNEL)).await?;
        Ok(Self {
            listener,
            due: Instant::now(),
        })
    }

    /// Waits for a notice, or until the reconcile is due.
    async fn reason_to_read(&mut self) -> Result<Reason, StoreError> {
        let mut named = BTreeSet::new();
        let mut is_named = match tokio::time::timeout_at(self.due, self.listener.try_recv()).await {
            Err(_) => return Ok(Reason::Reconcile),
            Ok(notice) => name(&mut named, notice?)?,
        };
        let debounced = Instant::now() + DEBOUNCE;
        while let Ok(notice) = tokio::time::timeout_at(debounced, self.listener.try_recv()).await {
            is_named &= name(&mut named, notice?)?;
        }
        if !is_named || named.len() > MAX_NAMED {
            named.clear();
        }
        Ok(Reason::Notice(named))
    }

    async fn read(
        &mut self,
        reason: &Reason,
        picture: &mut Picture,
        keyring: &Keyring,
    ) -> Result<(), StoreError> {
        let connection = self.listener.acquire().await?;
        let due: Vec<TenantId> = match reason {
            Reason::Notice(named) if !named.is_empty() => named.iter().copied().collect(),
            Reason::Connect | Reason::Reconcile | Reason::Notice(_) => {
                picture.compare(&read_marks(connection).await?)
            }
        };
        for ids in due.chunks(CHUNK) {
            picture.put(ids, read_rows(connection, keyring, ids).await?);
        }
        Ok(())
    }
}

/// Adds the row that a notice names. Answers whether it names one: that of a
/// `TRUNCATE` does not.
///
/// The listener says with `None` that its connection is gone.
fn name(
    named: &mut BTreeSet<TenantId>,
    notice: Option<PgNotification>,
) -> Result<bool, StoreError> {
    let notice = notice.ok_or_else(|| StoreError::Unreachable {
        source: DatabaseError::of_text("the connection was lost"),
    })?;
    let id = notice.payload().parse().ok().map(TenantId);
    named.extend(id);
    Ok(id.is_some())
}

/// The interval, a fifth shorter to a fifth longer.
fn jittered(interval: Duration, rng: &mut impl Rng) -> Duration {
    interval.mul_f64(rng.random_range(1.0 - JITTER..=1.0 + JITTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconcile_is_early_or_late_by_a_fifth_at_most() {
        let mut rng = rand::rng();
        for _ in 0..1_000 {
            let interval = jittered(Duration::from_secs(10), &mut rng);
            assert!(
                (8.0..=12.0).contains(&interval.as_secs_f64()),
                "{interval:?}"
            );
        }
    }
}
