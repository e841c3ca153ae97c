//! Rows from a channel, and workers that do what a test says.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use trunkline_call::{Assignment, JobReporter};
use trunkline_domain::{CallRecord, Limits, Tenant, TenantFields, TenantId, TenantVersion};
use trunkline_store::{RowProblem, Snapshot, TenantRow};
use trunkline_supervisor::{
    Ending, Handle, Launch, Launcher, Options, ProjectStatus, Shutdown, StateChanges, Supervisor,
    TenantSource,
};
use trunkline_worker::{
    CallDesk, CallRunner, Entry, LoadMeter, Permit, Refusal, Urgency, WorkerExit, WorkerOrders,
    WorkerState,
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

/// A row of a tenant, named and identified by a letter.
pub(crate) fn row(name: char, version: i64, change: impl FnOnce(&mut TenantFields)) -> TenantRow {
    let mut fields = TenantFields {
        version: TenantVersion(version),
        ..TenantFields::new(
            TenantId(uuid::Uuid::from_u128(name.into())),
            &name.to_string(),
            "ws://127.0.0.1:1",
            "good",
            "secret".into(),
        )
    };
    // A name of its own: twins would be told of each other.
    fields.agent_names = vec![name.to_string()];
    change(&mut fields);
    TenantRow {
        id: fields.id,
        slug: fields.slug.clone(),
        version: fields.version,
        enabled: fields.enabled,
        updated_at: Utc::now(),
        tenant: Tenant::try_from(fields)
            .map(Arc::new)
            .map_err(RowProblem::from),
    }
}

struct Rows(mpsc::Receiver<Snapshot>);

impl TenantSource for Rows {
    async fn next(&mut self) -> Snapshot {
        match self.0.recv().await {
            Some(snapshot) => snapshot,
            None => std::future::pending().await,
        }
    }
}

/// A worker that a test holds by its strings.
pub(crate) struct Puppet {
    pub(crate) tenant: watch::Receiver<Arc<Tenant>>,
    pub(crate) desk: CallDesk,
    pub(crate) orders: WorkerOrders,
    pub(crate) urgency: Urgency,
    commands: mpsc::Sender<Command>,
}

enum Command {
    Say(WorkerState),
    Crash,
    Hang,
    Leave,
}

impl Puppet {
    pub(crate) async fn say(&self, state: WorkerState) {
        self.commands.send(Command::Say(state)).await.unwrap();
    }

    /// Its loop stands still from here on.
    pub(crate) async fn hang(&self) {
        self.commands.send(Command::Hang).await.unwrap();
    }

    /// It ends, and nobody told it to.
    pub(crate) async fn leave(&self) {
        self.commands.send(Command::Leave).await.unwrap();
    }

    /// Waits until its task is over.
    pub(crate) async fn gone(&self) {
        self.commands.closed().await;
    }

    /// A place for a call of its tenant.
    pub(crate) fn admit(&self, max_calls: u32) -> Result<Permit, Refusal> {
        let limits = Limits {
            max_calls: NonZeroU32::new(max_calls),
            ..Limits::default()
        };
        self.desk.admit(limits, Instant::now(), Entry::Offer)
    }

    pub(crate) async fn crash(&self) {
        self.commands.send(Command::Crash).await.unwrap();
    }

    pub(crate) fn key(&self) -> String {
        self.tenant.borrow().project.api_key.clone()
    }
}

pub(crate) fn registered() -> WorkerState {
    WorkerState::Registered {
        full_since: None,
        worker_id: "AW_1".into(),
        server_version: "1.13.5".into(),
        since: Utc::now(),
    }
}

pub(crate) fn refused() -> WorkerState {
    WorkerState::CredentialsRefused {
        attempt: 1,
        retry_at: Utc::now(),
        reason: "the project refused the API key".into(),
    }
}

/// Launches puppets. A worker whose key is `good` is registered at once.
struct Theatre {
    launched: mpsc::Sender<Puppet>,
    load: LoadMeter,
}

/// The desks of these tests hold places, and no calls.
struct NoCalls;

impl CallRunner for NoCalls {
    fn run(
        &self,
        _tenant: Arc<Tenant>,
        _assignment: Assignment,
        _jobs: Arc<dyn JobReporter>,
        _stop: CancellationToken,
    ) -> BoxFuture<'static, CallRecord> {
        panic!("no call is started here")
    }

    fn finished(&self, _record: CallRecord) {}
}

impl Launcher for Theatre {
    fn shortfall(&self, _tenant: &Tenant) -> Option<String> {
        None
    }

    fn desk(&self) -> CallDesk {
        CallDesk::new(Arc::new(NoCalls), self.load.clone())
    }

    fn launch(&self, launch: Launch) -> BoxFuture<'static, WorkerExit> {
        let (commands, mut received) = mpsc::channel(8);
        let puppet = Puppet {
            tenant: launch.tenant.clone(),
            desk: launch.desk.clone(),
            orders: launch.orders.clone(),
            urgency: launch.urgency,
            commands,
        };
        let launched = self.launched.try_send(puppet);
        assert!(launched.is_ok(), "there is room for one more puppet");
        async move {
            if launch.tenant.borrow().project.api_key == "good" {
                launch.state.set(registered());
            }
            launch.pulse.rest();
            loop {
                tokio::select! {
                    () = launch.orders.stop.cancelled() => return WorkerExit::Stopped,
                    () = drained(&launch) => return WorkerExit::Drained,
                    command = received.recv() => match command {
                        Some(Command::Say(state)) => launch.state.set(state),
                        Some(Command::Crash) => panic!("a string broke"),
                        Some(Command::Hang) => {
                            launch.pulse.back_by(Instant::now());
                            std::future::pending().await
                        }
                        Some(Command::Leave) => return WorkerExit::Stopped,
                        None => std::future::pending().await,
                    },
                }
            }
        }
        .boxed()
    }
}

/// As a worker does it: no more offers, and then the last call.
async fn drained(launch: &Launch) {
    launch.orders.drain.cancelled().await;
    launch.state.set(WorkerState::Draining);
    launch.desk.idle().await;
}

/// A running supervisor.
pub(crate) struct Bench {
    rows: mpsc::Sender<Snapshot>,
    launched: mpsc::Receiver<Puppet>,
    pub(crate) handle: Handle,
    pub(crate) shutdown: Shutdown,
    task: Mutex<Option<AbortOnDropHandle<Ending>>>,
}

impl Bench {
    pub(crate) fn start() -> Self {
        let (rows, receiver) = mpsc::channel(8);
        let (launch, launched) = mpsc::channel(64);
        let theatre = Theatre {
            launched: launch,
            load: LoadMeter::new(100.try_into().unwrap()),
        };
        let options = Options {
            restart_first_ms: 1,
            restart_cap_ms: 5,
            cut_timeout_ms: 50,
            stall_limit_ms: 50,
            ..Options::default()
        };
        let (supervisor, handle) = Supervisor::new(options, Rows(receiver), theatre);
        let shutdown = Shutdown::default();
        let task = TaskTracker::new().spawn(supervisor.run(shutdown.clone()));
        Self {
            rows,
            launched,
            handle,
            shutdown,
            task: Mutex::new(Some(AbortOnDropHandle::new(task))),
        }
    }

    /// The table is read, and holds these.
    pub(crate) async fn rows(&self, tenants: Vec<TenantRow>) {
        let snapshot = Snapshot {
            tenants,
            read_at: Utc::now(),
        };
        self.rows.send(snapshot).await.unwrap();
    }

    /// The next worker that is launched.
    pub(crate) async fn worker(&mut self) -> Puppet {
        within("a worker is launched", self.launched.recv())
            .await
            .unwrap()
    }

    /// Whether a worker was launched that nobody asked after.
    pub(crate) fn launched_more(&mut self) -> bool {
        self.launched.try_recv().is_ok()
    }

    /// Waits until a project is so.
    pub(crate) async fn project(
        &self,
        slug: char,
        story: &str,
        wanted: impl Fn(&ProjectStatus) -> bool,
    ) -> ProjectStatus {
        let slug = slug.to_string();
        let is = |p: &&ProjectStatus| p.slug == slug && wanted(p);
        let waiting = self.handle.wait_until(|all| all.iter().any(|p| is(&p)));
        let all = within(story, waiting).await;
        all.iter().find(is).unwrap().clone()
    }

    /// Waits until a project has this state.
    pub(crate) async fn reaches(&self, slug: char, state: &str) -> ProjectStatus {
        let story = format!("{slug} is {state}");
        self.project(slug, &story, |p| p.state.as_str() == state)
            .await
    }

    /// Waits until a project is forgotten.
    pub(crate) async fn forgets(&self, slug: char) {
        let slug = slug.to_string();
        let gone = self
            .handle
            .wait_until(|all| all.iter().all(|p| p.slug != slug));
        within("the project is forgotten", gone).await;
    }

    pub(crate) fn changes(&self) -> StateChanges {
        self.handle.changes()
    }

    /// How the supervisor ended.
    pub(crate) async fn ending(&self) -> Ending {
        let task = self.task.lock().take().unwrap();
        within("the supervisor ends", task).await.unwrap()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.task.lock().as_ref().is_some_and(|t| !t.is_finished())
    }
}
