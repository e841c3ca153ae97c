//! The calls of one tenant.
//!
//! A desk outlives every incarnation of the tenant's worker: with the socket
//! lost, the worker crashed or the credentials changed, calls go on. What a call
//! says about its job goes to the connection that the job came from ([`JobLine`]),
//! and is dropped when that is gone, because the server forgot the job with it.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trunkline_call::{Assignment, JobReporter, JobStatus};
use trunkline_domain::{CallOutcome, CallRecord, CallTimes, Limits, Tenant, TenantId};

use crate::load::{LoadMeter, Membership, ProcessSlot};
use crate::rate::TokenBucket;
use crate::refusals::Refusals;
use crate::session::{Entry, Refusal};

/// Events of jobs that may wait for one connection, for each call that the
/// process takes: running, a final status, the end, and one to spare. A call
/// never says more, so the line is never full unless the connection hangs.
const EVENTS_PER_CALL: usize = 4;

/// The longest text of a panic that is kept, in characters.
const MAX_PANIC_CHARS: usize = 300;

/// What runs a call.
pub trait CallRunner: Send + Sync + 'static {
    /// Runs one call to its end. With `stop` cancelled it ends soon.
    fn run(
        &self,
        tenant: Arc<Tenant>,
        assignment: Assignment,
        jobs: Arc<dyn JobReporter>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, CallRecord>;

    /// Takes the record of a call that is over, a crashed one included. Called
    /// once for each call. Must not block.
    fn finished(&self, record: CallRecord);

    /// Hears of an offer of a tenant's that was refused, and why: as the metrics have it.
    /// Called once for each. Must not block.
    fn refused(&self, _tenant: TenantId, _reason: &'static str) {}

    /// What a tenant lacks for its calls to go well, for people. They are run all
    /// the same.
    fn shortfall(&self, _tenant: &Tenant) -> Option<String> {
        None
    }
}

/// The calls of one tenant. Cheap to clone.
#[derive(Clone)]
pub struct CallDesk {
    inner: Arc<Inner>,
}

struct Inner {
    runner: Arc<dyn CallRunner>,
    load: LoadMeter,
    _membership: Membership,
    rate: Mutex<TokenBucket>,
    refusals: Mutex<Refusals>,
    /// Since when the tenant's own limit is reached.
    full_since: Mutex<Option<DateTime<Utc>>>,
    /// The channel's lock makes admission exact.
    places: watch::Sender<Places>,
    cut: CancellationToken,
    tasks: TaskTracker,
}

/// How many places are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    /// Promised to the server, not assigned yet.
    pub reserved: u32,
    /// Calls under way.
    pub running: u32,
}

impl Places {
    fn taken(self) -> u32 {
        self.reserved + self.running
    }
}

impl CallDesk {
    /// A desk without calls.
    pub fn new(runner: Arc<dyn CallRunner>, load: LoadMeter) -> Self {
        Self {
            inner: Arc::new(Inner {
                runner,
                _membership: load.enrol(),
                load,
                rate: Mutex::default(),
                refusals: Mutex::default(),
                full_since: Mutex::default(),
                places: watch::Sender::new(Places::default()),
                cut: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Takes a place for a call. Exact: two that ask at the same time for the
    /// last place do not both get it.
    ///
    /// # Errors
    /// When the process or the tenant has no place.
    pub fn admit(&self, limits: Limits, now: Instant, entry: Entry) -> Result<Permit, Refusal> {
        let mut result = Err(Refusal::TenantFull);
        self.inner.places.send_if_modified(|places| {
            result = self.enter(*places, limits, now, entry);
            places.reserved += u32::from(result.is_ok());
            result.is_ok()
        });
        Ok(Permit {
            desk: self.clone(),
            kind: PlaceKind::Reserved,
            slot: Some(result?),
        })
    }

    /// Asked under the lock of `places`. The rate comes last: an offer that finds
    /// no place does not count against it.
    fn enter(
        &self,
        places: Places,
        limits: Limits,
        now: Instant,
        entry: Entry,
    ) -> Result<ProcessSlot, Refusal> {
        let own = places.taken();
        if limits.max_calls.is_some_and(|max| own >= max.get()) {
            return Err(Refusal::TenantFull);
        }
        let slot = self.inner.load.try_enter(own)?;
        if let Some(rate) = limits.calls_per_second
            && entry == Entry::Offer
            && !self.inner.rate.lock().take(now, rate)
        {
            slot.leave(own);
            return Err(Refusal::TenantRate);
        }
        Ok(slot)
    }

    /// Why [`CallDesk::admit`] would fail for as long as no call ends.
    pub fn full(&self, max_calls: Option<NonZeroU32>) -> Option<Refusal> {
        if max_calls.is_some_and(|max| self.places().taken() >= max.get()) {
            Some(Refusal::TenantFull)
        } else {
            self.inner.load.obstacle()
        }
    }

    /// Since when the tenant's own limit is reached, by the desk's clock. To be asked
    /// whenever that may have changed.
    pub(crate) fn own_limit_reached_since(
        &self,
        max_calls: Option<NonZeroU32>,
    ) -> Option<DateTime<Utc>> {
        let is_full = max_calls.is_some_and(|max| self.places().taken() >= max.get());
        let mut since = self.inner.full_since.lock();
        *since = is_full.then(|| since.unwrap_or_else(Utc::now));
        *since
    }

    /// Counts an offer that was refused, and tells the runner. Gives what is to be said
    /// of it in the log: not each one of a storm.
    pub(crate) fn refused(&self, now: Instant, tenant: TenantId, refusal: Refusal) -> Option<u64> {
        self.inner.runner.refused(tenant, refusal.as_str());
        self.inner.refusals.lock().note(now, refusal)
    }

    /// Offers that were refused since the process started, by the reason.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.inner.refusals.lock().counts()
    }

    /// How many places are taken.
    pub fn places(&self) -> Places {
        *self.inner.places.borrow()
    }

    /// Calls under way.
    pub fn active(&self) -> u32 {
        self.places().running
    }

    /// Places, to be waited on.
    pub fn watch_places(&self) -> watch::Receiver<Places> {
        self.inner.places.subscribe()
    }

    /// The load of the process.
    pub fn load(&self) -> &LoadMeter {
        &self.inner.load
    }

    /// Waits until there is neither a call nor a reservation.
    pub async fn idle(&self) {
        let mut places = self.inner.places.subscribe();
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = places.wait_for(|places| places.taken() == 0).await;
    }

    /// Tells every call to end now, and those that may still begin.
    pub fn cut(&self) {
        self.inner.cut.cancel();
    }

    /// A line for the jobs of one connection.
    pub(crate) fn line(&self) -> (JobLine, mpsc::Receiver<JobEvent>) {
        let calls = usize::try_from(self.inner.load.max_calls().get()).unwrap_or(usize::MAX);
        // Tokio takes memory for what waits, not for what could.
        let bound = calls
            .saturating_mul(EVENTS_PER_CALL)
            .min(tokio::sync::Semaphore::MAX_PERMITS);
        let (events, receiver) = mpsc::channel(bound);
        (JobLine { events }, receiver)
    }

    /// Starts a call. The token stops this call alone.
    pub(crate) fn start(
        &self,
        tenant: Arc<Tenant>,
        assignment: Assignment,
        permit: Permit,
        line: JobLine,
    ) -> CancellationToken {
        let stop = self.inner.cut.child_token();
        let runner = Arc::clone(&self.inner.runner);
        let task = attend(runner, tenant, assignment, permit, line, stop.clone());
        self.inner.tasks.spawn(task);
        stop
    }
}

/// A place for one call. Dropping it gives the place back.
pub struct Permit {
    desk: CallDesk,
    kind: PlaceKind,
    /// There until the drop.
    slot: Option<ProcessSlot>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlaceKind {
    Reserved,
    Running,
}

impl Permit {
    fn run(&mut self) {
        if self.kind == PlaceKind::Reserved {
            self.kind = PlaceKind::Running;
            self.desk.inner.places.send_modify(|places| {
                places.reserved -= 1;
                places.running += 1;
            });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (kind, slot) = (self.kind, self.slot.take());
        self.desk.inner.places.send_modify(|places| {
            match kind {
                PlaceKind::Reserved => places.reserved -= 1,
                PlaceKind::Running => places.running -= 1,
            }
            if let Some(slot) = slot {
                slot.leave(places.taken());
            }
        });
    }
}

/// Where the events of one connection's jobs go.
#[derive(Debug, Clone)]
pub(crate) struct JobLine {
    events: mpsc::Sender<JobEvent>,
}

/// What a connection hears of its jobs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JobEvent {
    Status { job_id: String, status: JobStatus },
    Ended { job_id: String },
}

impl JobLine {
    fn send(&self, event: JobEvent) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            counter!("trunkline_job_events_dropped_total").increment(1);
            tracing::warn!(?event, "the worker's socket hangs: LiveKit is not told");
        }
    }
}

/// How far LiveKit was told of a job. It is told each step once, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Running,
    Final,
}

/// One job's way to its connection.
struct JobVoice {
    job_id: String,
    line: JobLine,
    told: Mutex<Told>,
}

impl JobVoice {
    fn say(&self, status: JobStatus) {
        let step = match status {
            JobStatus::Running => Told::Running,
            JobStatus::Success | JobStatus::Failed(_) => Told::Final,
        };
        let mut told = self.told.lock();
        if step > *told {
            *told = step;
            self.line.send(JobEvent::Status {
                job_id: self.job_id.clone(),
                status,
            });
        }
    }
}

impl JobReporter for JobVoice {
    fn report(&self, job_id: &str, status: JobStatus) {
        if job_id == self.job_id {
            self.say(status);
        } else {
            tracing::warn!(job_id, "a call reported a job that is not its own");
        }
    }
}

/// Counts a call in the gauge while it lives.
struct ActiveCall {
    tenant: String,
}

impl ActiveCall {
    fn begin(tenant: &Tenant) -> Self {
        let tenant = tenant.slug.to_string();
        gauge!("trunkline_calls_active", "tenant" => tenant.clone()).increment(1.0);
        Self { tenant }
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        gauge!("trunkline_calls_active", "tenant" => self.tenant.clone()).decrement(1.0);
    }
}

/// Runs a call and reads how it exits, a panic included.
async fn attend(
    runner: Arc<dyn CallRunner>,
    tenant: Arc<Tenant>,
    assignment: Assignment,
    mut permit: Permit,
    line: JobLine,
    stop: CancellationToken,
) {
    permit.run();
    let active = ActiveCall::begin(&tenant);
    let started_at = Utc::now();
    let voice = Arc::new(JobVoice {
        job_id: assignment.job_id.clone(),
        line,
        told: Mutex::new(Told::Nothing),
    });
    let end = EndOfJob(Arc::clone(&voice));
    voice.say(JobStatus::Running);
    let (call_id, room) = (assignment.call_id, assignment.room.clone());
    let jobs: Arc<dyn JobReporter> = Arc::clone(&voice) as _;
    // Inside the block, so that a runner that panics before its first await is caught too.
    let call = async {
        runner
            .run(Arc::clone(&tenant), assignment, jobs, stop)
            .await
    };
    // The state that a panic may leave half-changed is the call's own, and it is dropped.
    let record = match AssertUnwindSafe(call).catch_unwind().await {
        Ok(record) => {
            voice.say(if record.outcome.is_success() {
                JobStatus::Success
            } else {
                JobStatus::Failed(record.outcome.as_str().to_owned())
            });
            record
        }
        Err(panic) => {
            let detail = panic_text(panic.as_ref());
            tracing::error!(
                tenant = %tenant.slug,
                call = %call_id,
                job = voice.job_id,
                panic = detail,
                "a call crashed; please report this fault"
            );
            counter!("trunkline_calls_crashed_total", "tenant" => tenant.slug.to_string())
                .increment(1);
            voice.say(JobStatus::Failed(CallOutcome::Crashed.as_str().to_owned()));
            let outcome = CallOutcome::Crashed;
            let ended = (Utc::now() - started_at).to_std().ok();
            CallRecord {
                detail: Some(detail),
                times: CallTimes {
                    ended,
                    ..CallTimes::default()
                },
                ..CallRecord::new(
                    call_id,
                    tenant.id,
                    &voice.job_id,
                    &room,
                    started_at,
                    outcome,
                )
            }
        }
    };
    runner.finished(record);
    drop(active);
    // The place is free before the worker hears of the end, so that the status
    // which follows is right.
    drop(permit);
    drop(end);
}

/// Tells the connection that a job is over, however its task ended: a drain waits for it.
struct EndOfJob(Arc<JobVoice>);

impl Drop for EndOfJob {
    fn drop(&mut self) {
        self.0.line.send(JobEvent::Ended {
            job_id: self.0.job_id.clone(),
        });
    }
}

/// What a panic says, bounded.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    text.chars().take(MAX_PANIC_CHARS).collect()
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
