//! A tenant, a runner whose calls last until they are told to end, and a worker.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use trunkline_call::{Assignment, JobReporter};
use trunkline_domain::{CallOutcome, CallRecord, Tenant, TenantFields, TenantId};
use trunkline_worker::{
    CallDesk, CallRunner, Connector, Crew, Options, Pulse, StateCell, Urgency, WorkerContext,
    WorkerExit, WorkerOrders, WorkerState,
};

/// Long enough for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, and tells the story when it takes too long.
pub(crate) async fn within<T>(story: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {story}"),
    }
}

pub(crate) fn tenant(change: impl FnOnce(&mut TenantFields)) -> Arc<Tenant> {
    let mut fields = TenantFields::new(
        TenantId(uuid::Uuid::from_u128(7)),
        "acme",
        "ws://127.0.0.1:1",
        "APIacme",
        "the-secret-of-acme-is-long-enough".into(),
    );
    change(&mut fields);
    Arc::new(Tenant::try_from(fields).unwrap())
}

/// What the workers of a process share.
pub(crate) fn process(options: Options) -> WorkerContext {
    WorkerContext::new(options, Connector::new().unwrap())
}

/// Quick to reconnect, slow to lose patience.
pub(crate) fn options() -> Options {
    Options {
        retry_first_ms: 5,
        retry_cap_ms: 20,
        ..Options::default()
    }
}

/// Calls that last until they are stopped or told to hang up.
pub(crate) struct Runner {
    started: mpsc::UnboundedSender<(Arc<Tenant>, Assignment)>,
    ended: mpsc::UnboundedSender<CallRecord>,
    ends: Mutex<HashMap<String, oneshot::Sender<CallOutcome>>>,
    refused: Mutex<Vec<(TenantId, &'static str)>>,
}

impl CallRunner for Runner {
    fn run(
        &self,
        tenant: Arc<Tenant>,
        assignment: Assignment,
        _jobs: Arc<dyn JobReporter>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, CallRecord> {
        let (end, ended) = oneshot::channel();
        self.ends.lock().insert(assignment.job_id.clone(), end);
        self.started
            .send((Arc::clone(&tenant), assignment.clone()))
            .unwrap();
        async move {
            let outcome = tokio::select! {
                () = stop.cancelled() => CallOutcome::Cut,
                outcome = ended => outcome.unwrap(),
            };
            CallRecord::new(
                assignment.call_id,
                tenant.id,
                &assignment.job_id,
                &assignment.room,
                chrono::Utc::now(),
                outcome,
            )
        }
        .boxed()
    }

    fn finished(&self, record: CallRecord) {
        let _ = self.ended.send(record);
    }

    fn refused(&self, tenant: TenantId, reason: &'static str) {
        self.refused.lock().push((tenant, reason));
    }
}

/// A running worker.
pub(crate) struct Bench {
    pub(crate) tenant: watch::Sender<Arc<Tenant>>,
    pub(crate) desk: CallDesk,
    pub(crate) state: watch::Receiver<WorkerState>,
    pub(crate) orders: WorkerOrders,
    pub(crate) pulse: Pulse,
    runner: Arc<Runner>,
    started: mpsc::UnboundedReceiver<(Arc<Tenant>, Assignment)>,
    ended: mpsc::UnboundedReceiver<CallRecord>,
    task: AbortOnDropHandle<WorkerExit>,
}

impl Bench {
    pub(crate) fn start(options: Options, tenant: Arc<Tenant>) -> Self {
        Self::start_in(&process(options), tenant, Urgency::InTurn)
    }

    /// One of several workers of a process.
    pub(crate) fn start_in(context: &WorkerContext, tenant: Arc<Tenant>, urgency: Urgency) -> Self {
        let (started, calls) = mpsc::unbounded_channel();
        let (ended, records) = mpsc::unbounded_channel();
        let runner = Arc::new(Runner {
            started,
            ended,
            ends: Mutex::default(),
            refused: Mutex::default(),
        });
        let desk = CallDesk::new(Arc::clone(&runner) as _, context.load().clone());
        let (tenant, versions) = watch::channel(tenant);
        let (cell, state) = StateCell::new();
        let orders = WorkerOrders::default();
        let pulse = Pulse::new(Instant::now());
        let worker = Crew::new(
            context.clone(),
            versions,
            desk.clone(),
            cell,
            pulse.clone(),
            urgency,
        );
        let task = TaskTracker::new().spawn(worker.run(orders.clone()));
        Self {
            tenant,
            desk,
            state,
            orders,
            pulse,
            runner,
            started: calls,
            ended: records,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// A worker for a server of this port.
    pub(crate) fn at(port: u16) -> Self {
        Self::start(
            options(),
            tenant(|t| t.livekit_url = format!("ws://127.0.0.1:{port}")),
        )
    }

    /// Waits for a state.
    pub(crate) async fn reaches(&mut self, story: &str, wanted: impl Fn(&WorkerState) -> bool) {
        within(story, self.state.wait_for(|s| wanted(s)))
            .await
            .unwrap();
    }

    /// The next call that began.
    pub(crate) async fn call(&mut self) -> (Arc<Tenant>, Assignment) {
        within("a call begins", self.started.recv()).await.unwrap()
    }

    /// The next record.
    pub(crate) async fn record(&mut self) -> CallRecord {
        within("a call ends", self.ended.recv()).await.unwrap()
    }

    /// The offers that were refused, as the runner heard of them.
    pub(crate) fn refused(&self) -> Vec<(TenantId, &'static str)> {
        self.runner.refused.lock().clone()
    }

    /// The caller of this job hangs up.
    pub(crate) fn hang_up(&self, job: &str) {
        self.end(job, CallOutcome::CallerHungUp);
    }

    /// The call of this job ends so.
    pub(crate) fn end(&self, job: &str, outcome: CallOutcome) {
        let end = self.runner.ends.lock().remove(job).unwrap();
        end.send(outcome).unwrap();
    }

    /// Changes the tenant's row.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Tenant)) {
        self.tenant
            .send_modify(|tenant| change(Arc::make_mut(tenant)));
    }

    pub(crate) fn limit(&self, max_calls: u32) {
        self.change(|t| t.limits.max_calls = NonZeroU32::new(max_calls));
    }

    pub(crate) async fn exit(self) -> WorkerExit {
        within("the worker ends", self.task).await.unwrap()
    }
}
