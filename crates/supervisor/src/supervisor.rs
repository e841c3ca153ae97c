//! The loop: rows, exits and states of workers come in at one place, and nothing
//! in it waits for a database, a server or a call.

mod exits;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt as _, StreamExt as _};
use metrics::gauge;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use trunkline_domain::{Tenant, TenantId};
use trunkline_store::Snapshot;
use trunkline_worker::{
    CallDesk, Pulse, StateCell, Urgency, WorkerExit, WorkerOrders, WorkerState,
};

use crate::launch::{Launch, Launcher, TenantSource};
use crate::notes::{twins, unknown_fields};
use crate::options::Options;
use crate::plan::{Action, Desired, Fault, Running, Step, plan};
use crate::project::{Life, Mode, Project, Role, Slot, WorkerKey};
use crate::status::{Board, Handle, HeldRow, Phase};
use crate::watchdog::Watchdog;

/// How long workers that are stopped have to close their sockets.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The orders that end the process.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No more calls; those under way end by themselves.
    pub drain: CancellationToken,
    /// Calls are ended now.
    pub cut: CancellationToken,
}

/// How a supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The last call ended by itself.
    Drained,
    /// Calls were ended.
    Cut {
        /// How many were under way.
        calls: u32,
    },
}

/// Keeps one worker for each tenant that is to have one.
pub struct Supervisor<S, L> {
    source: S,
    house: House<L>,
}

/// What runs, and the places where it is heard of.
struct House<L> {
    options: Options,
    launcher: L,
    board: Arc<Board>,
    projects: BTreeMap<TenantId, Project>,
    owners: HashMap<WorkerKey, TenantId>,
    last_key: u64,
    workers: JoinSet<WorkerExit>,
    tasks: HashMap<Id, WorkerKey>,
    states: FuturesUnordered<BoxFuture<'static, StateNews>>,
    idle: FuturesUnordered<BoxFuture<'static, TenantId>>,
    restarts: BTreeSet<(Instant, WorkerKey)>,
    watchdog: Watchdog,
    /// Tasks of stalled workers that were told to end and have not: one that
    /// blocks its thread never will, and nobody waits for it.
    abandoned: HashSet<Id>,
    phase: Phase,
}

/// A worker's state changed; without a reader, for the last time.
type StateNews = (WorkerKey, Option<watch::Receiver<WorkerState>>);

type TaskExit = Result<(Id, WorkerExit), JoinError>;

enum Input {
    Cut,
    Drain,
    Rows(Snapshot),
    Exit(TaskExit),
    State(StateNews),
    Idle(TenantId),
    RestartDue,
    LookDue,
}

impl<S: TenantSource, L: Launcher> Supervisor<S, L> {
    /// A supervisor, and where to read how it is doing.
    pub fn new(options: Options, source: S, launcher: L) -> (Self, Handle) {
        let (board, handle) = Board::new();
        let watchdog = Watchdog::new(Instant::now(), options.stall_limit());
        let house = House {
            options,
            launcher,
            board,
            projects: BTreeMap::new(),
            owners: HashMap::new(),
            last_key: 0,
            workers: JoinSet::new(),
            tasks: HashMap::new(),
            states: FuturesUnordered::new(),
            idle: FuturesUnordered::new(),
            restarts: BTreeSet::new(),
            watchdog,
            abandoned: HashSet::new(),
            phase: Phase::Waiting,
        };
        (Self { source, house }, handle)
    }

    /// Runs until it is told to end and the last call is over.
    pub async fn run(self, shutdown: Shutdown) -> Ending {
        let Self { source, mut house } = self;
        // As a stream the source keeps its place between two turns of the loop.
        let rows = stream::unfold(source, async |mut source: S| {
            let snapshot = source.next().await;
            Some((snapshot, source))
        });
        let mut rows = pin!(rows);
        loop {
            let draining = house.phase == Phase::Draining;
            if draining && house.is_over() {
                return Ending::Drained;
            }
            let restart = house.restarts.first().map(|(at, _)| (*at).into());
            let look = house.watchdog.due().into();
            let input = tokio::select! {
                () = shutdown.cut.cancelled() => Input::Cut,
                () = shutdown.drain.cancelled(), if !draining => Input::Drain,
                Some(snapshot) = rows.next(), if !draining => Input::Rows(snapshot),
                Some(exit) = house.workers.join_next_with_id() => Input::Exit(exit),
                Some(news) = house.states.next() => Input::State(news),
                Some(id) = house.idle.next() => Input::Idle(id),
                () = due(restart), if !draining => Input::RestartDue,
                () = sleep_until(look) => Input::LookDue,
            };
            match input {
                Input::Cut => return house.cut().await,
                Input::Drain => house.drain(),
                Input::Rows(snapshot) => house.rows(&snapshot),
                Input::Exit(exit) => house.exit(exit),
                Input::State(news) => house.state(news),
                Input::Idle(id) => house.settle(id),
                Input::RestartDue => house.restart_due(Instant::now()),
                Input::LookDue => house.look(Instant::now()),
            }
        }
    }
}

async fn due(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of all workers but the abandoned ones.
async fn all_but(workers: &mut JoinSet<WorkerExit>, abandoned: &mut HashSet<Id>) {
    while workers.len() > abandoned.len() {
        match workers.join_next_with_id().await {
            Some(Ok((task, _))) => abandoned.remove(&task),
            Some(Err(error)) => abandoned.remove(&error.id()),
            None => return,
        };
    }
}

impl<L: Launcher> House<L> {
    fn rows(&mut self, snapshot: &Snapshot) {
        let desired: Vec<Desired> = snapshot.tenants.iter().map(Desired::from).collect();
        let running: Running = self
            .projects
            .iter()
            .map(|(id, project)| (*id, project.observed()))
            .collect();
        let plan = plan(&desired, &running);
        if !plan.steps.is_empty() {
            tracing::info!(tenants = desired.len(), %plan, "tenants changed");
        }
        for step in plan.steps {
            self.carry_out(step);
        }
        self.note_twins();
        self.count();
        if self.phase == Phase::Waiting {
            self.enter(Phase::Running);
        }
    }

    fn carry_out(&mut self, step: Step) {
        let id = step.id;
        // A row that is new is one of many at a start; a row that was changed is one
        // that somebody looks at.
        let (desk, urgency) = match self.projects.get(&id) {
            Some(project) => (project.desk.clone(), Urgency::Changed),
            None => (self.launcher.desk(), Urgency::InTurn),
        };
        let project = self.projects.entry(id).or_insert_with(|| Project {
            slug: step.slug.clone(),
            version: step.version,
            desk,
            mode: Mode::Disabled,
            leaving: VecDeque::new(),
            restarts: 0,
            held: None,
            notes: Vec::new(),
        });
        project.slug = step.slug;
        project.version = step.version;
        project.held = None;
        match step.action {
            Action::Start(tenant) | Action::Exchange(tenant) => {
                let current = self.hire(id, tenant, urgency);
                self.with(id, |project| {
                    project.retire(Mode::Serving {
                        current,
                        successor: None,
                    });
                });
            }
            Action::Apply(tenant) => project.apply(&tenant),
            Action::Succeed(tenant) => {
                project.apply(&tenant);
                let next = self.hire(id, tenant, urgency);
                self.with(id, |project| {
                    if let Mode::Serving { successor, .. } = &mut project.mode
                        && let Some(old) = successor.replace(Box::new(next))
                    {
                        project.leave(*old);
                    }
                });
            }
            Action::Revert(tenant) => {
                if let Mode::Serving { successor, .. } = &mut project.mode
                    && let Some(next) = successor.take()
                {
                    project.leave(*next);
                }
                project.apply(&tenant);
            }
            Action::Hold { reason } => {
                let (version, still_on) = (step.version, project.serving_version());
                let held = HeldRow {
                    version,
                    still_on,
                    reason,
                };
                tracing::warn!(tenant = project.slug, "{}", held.reason());
                project.held = Some(held);
            }
            Action::Park { reason, fault } => {
                let advice = match fault {
                    Fault::Row => "the row is wrong: the tenant takes no calls until it is mended",
                    Fault::Keys => {
                        "the sealing keys of this process do not open the tenant's secrets: it \
                         takes no calls here"
                    }
                };
                tracing::warn!(
                    tenant = project.slug,
                    version = %project.version,
                    reason,
                    "{advice}"
                );
                project.retire(Mode::Parked { reason, fault });
            }
            Action::Disable => project.retire(Mode::Disabled),
            Action::Remove => {
                project.retire(Mode::Removed);
                self.watch_idle(id);
            }
        }
        self.publish(id);
        self.settle(id);
    }

    /// Rows that are written by SQL can be twins, whom LiveKit cannot tell apart.
    fn note_twins(&mut self) {
        let serving = self.projects.iter();
        let serving = serving.filter_map(|(id, project)| Some((*id, project.serving()?)));
        let twins = twins(serving);
        let mut changed = Vec::new();
        for (id, project) in &mut self.projects {
            let notes: Vec<String> = twins.get(id).cloned().into_iter().collect();
            if project.notes != notes {
                if let Some(note) = notes.first() {
                    tracing::warn!(tenant = project.slug, "{note}");
                }
                project.notes = notes;
                changed.push(*id);
            }
        }
        for id in changed {
            self.publish(id);
        }
    }

    fn with(&mut self, id: TenantId, change: impl FnOnce(&mut Project)) {
        if let Some(project) = self.projects.get_mut(&id) {
            change(project);
        }
    }

    /// A new worker for a project, running.
    fn hire(&mut self, id: TenantId, tenant: Arc<Tenant>, urgency: Urgency) -> Slot {
        self.last_key += 1;
        let key = WorkerKey(self.last_key);
        self.owners.insert(key, id);
        let (_, state) = StateCell::new();
        let mut slot = Slot {
            key,
            in_effect: tenant.version,
            tenant: watch::Sender::new(tenant),
            orders: WorkerOrders::default(),
            state,
            life: Life::Ended,
            pulse: Pulse::new(Instant::now()),
            task: None,
            failures: 0,
        };
        if let Some(desk) = self.projects.get(&id).map(|p| p.desk.clone()) {
            self.launch(&mut slot, desk, urgency);
        }
        slot
    }

    fn launch(&mut self, slot: &mut Slot, desk: CallDesk, urgency: Urgency) {
        let (cell, state) = StateCell::new();
        let span = tracing::info_span!("worker", tenant = %slot.tenant.borrow().slug);
        let pulse = Pulse::new(Instant::now());
        let run = self.launcher.launch(Launch {
            tenant: slot.tenant.subscribe(),
            desk,
            state: cell,
            orders: slot.orders.clone(),
            pulse: pulse.clone(),
            urgency,
        });
        let task = self.workers.spawn(run.instrument(span));
        self.tasks.insert(task.id(), slot.key);
        slot.task = Some(task);
        slot.pulse = pulse;
        slot.state = state.clone();
        slot.life = Life::Running {
            since: Instant::now(),
        };
        self.watch_state(slot.key, state);
    }

    fn watch_state(&self, key: WorkerKey, mut state: watch::Receiver<WorkerState>) {
        let news = async move {
            match state.changed().await {
                Ok(()) => (key, Some(state)),
                Err(_) => (key, None),
            }
        };
        self.states.push(news.boxed());
    }

    fn watch_idle(&self, id: TenantId) {
        if let Some(desk) = self.projects.get(&id).map(|p| p.desk.clone()) {
            let idle = async move {
                desk.idle().await;
                id
            };
            self.idle.push(idle.boxed());
        }
    }

    fn state(&mut self, (key, reader): StateNews) {
        if let Some(mut reader) = reader {
            reader.borrow_and_update();
            self.watch_state(key, reader);
        }
        let Some(&id) = self.owners.get(&key) else {
            return;
        };
        self.with(id, |project| {
            let registered = project.slot_mut(key).is_some_and(|s| s.is_registered());
            if registered && project.role(key) == Some(Role::Successor) {
                tracing::info!(
                    tenant = project.slug,
                    version = %project.version,
                    "the changed credentials are in effect"
                );
                project.promote();
            }
            if let Some(refusal) = project.first_refusal(key) {
                tracing::warn!(tenant = project.slug, refusal);
            }
        });
        self.publish(id);
    }

    /// Forgets a removed project after its last call.
    fn settle(&mut self, id: TenantId) {
        if self.projects.get(&id).is_some_and(Project::is_over) {
            self.projects.remove(&id);
            self.board.forget(id);
            tracing::info!(tenant_id = %id, "a removed tenant's last call is over");
        }
    }

    fn publish(&self, id: TenantId) {
        if let Some(project) = self.projects.get(&id) {
            let mut status = project.status(id);
            if let Some(tenant) = project.serving() {
                status.notes.extend(unknown_fields(&tenant));
                status.notes.extend(self.launcher.shortfall(&tenant));
            }
            self.board.post(status, &project.desk);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.board.enter(phase);
    }

    fn count(&self) {
        let count = |wanted: fn(&Mode) -> bool| {
            let projects = self.projects.values();
            u32::try_from(projects.filter(|p| wanted(&p.mode)).count()).unwrap_or(u32::MAX)
        };
        let serving = count(|m| matches!(m, Mode::Serving { .. }));
        let parked = count(|m| matches!(m, Mode::Parked { .. }));
        let disabled = count(|m| matches!(m, Mode::Disabled));
        gauge!("trunkline_tenants", "state" => "serving").set(serving);
        gauge!("trunkline_tenants", "state" => "parked").set(parked);
        gauge!("trunkline_tenants", "state" => "disabled").set(disabled);
    }

    fn drain(&mut self) {
        let calls: u32 = self.projects.values().map(|p| p.desk.active()).sum();
        tracing::info!(calls, "draining: no more calls are taken");
        self.enter(Phase::Draining);
        for slot in self.projects.values().flat_map(Project::slots) {
            slot.orders.drain.cancel();
        }
        let ids: Vec<TenantId> = self.projects.keys().copied().collect();
        for id in ids {
            self.watch_idle(id);
        }
    }

    fn is_over(&self) -> bool {
        let all_ended = self.workers.len() == self.abandoned.len();
        all_ended && self.projects.values().all(Project::is_idle)
    }

    async fn cut(mut self) -> Ending {
        let calls: u32 = self.projects.values().map(|p| p.desk.active()).sum();
        if self.phase != Phase::Draining {
            self.drain();
        }
        for project in self.projects.values() {
            project.desk.cut();
        }
        let limit = Duration::from_millis(self.options.cut_timeout_ms);
        let ended = async {
            for project in self.projects.values() {
                project.desk.idle().await;
            }
            // The workers still have to tell LiveKit of the jobs' ends.
            all_but(&mut self.workers, &mut self.abandoned).await;
        };
        if timeout(limit, ended).await.is_err() {
            let left: u32 = self.projects.values().map(|p| p.desk.active()).sum();
            tracing::error!(calls = left, "calls did not end in time and are abandoned");
        }
        for slot in self.projects.values().flat_map(Project::slots) {
            slot.orders.stop.cancel();
        }
        let closed = all_but(&mut self.workers, &mut self.abandoned);
        // Who is not done is aborted, and waited for as long: one that blocks its
        // thread ends with the process.
        let _ = timeout(STOP_TIMEOUT, closed).await;
        let _ = timeout(STOP_TIMEOUT, self.workers.shutdown()).await;
        Ending::Cut { calls }
    }
}
