//! The loop: rows, exits and states of workers come in at one place, and nothing
//! in it waits for a database, a server or a call.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt as _, StreamExt as _};
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use trunkline_domain::{Tenant, TenantId};
use trunkline_store::Snapshot;
use trunkline_worker::{StateCell, WorkerExit, WorkerOrders, WorkerState, panic_text};

use crate::launch::{Launch, Launcher, TenantSource};
use crate::options::Options;
use crate::plan::{Action, Desired, Running, Step, plan};
use crate::project::{Life, Mode, Project, Role, Slot, WorkerKey};
use crate::status::{Board, Handle, Phase};

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
}

impl<S: TenantSource, L: Launcher> Supervisor<S, L> {
    /// A supervisor, and where to read how it is doing.
    pub fn new(options: Options, source: S, launcher: L) -> (Self, Handle) {
        let (board, handle) = Board::new();
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
            let input = tokio::select! {
                () = shutdown.cut.cancelled() => Input::Cut,
                () = shutdown.drain.cancelled(), if !draining => Input::Drain,
                Some(snapshot) = rows.next(), if !draining => Input::Rows(snapshot),
                Some(exit) = house.workers.join_next_with_id() => Input::Exit(exit),
                Some(news) = house.states.next() => Input::State(news),
                Some(id) = house.idle.next() => Input::Idle(id),
                () = due(restart), if !draining => Input::RestartDue,
            };
            match input {
                Input::Cut => return house.cut().await,
                Input::Drain => house.drain(),
                Input::Rows(snapshot) => house.rows(&snapshot),
                Input::Exit(exit) => house.exit(exit),
                Input::State(news) => house.state(news),
                Input::Idle(id) => house.settle(id),
                Input::RestartDue => house.restart_due(Instant::now()),
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
        self.count();
        if self.phase == Phase::Waiting {
            self.enter(Phase::Running);
        }
    }

    fn carry_out(&mut self, step: Step) {
        let id = step.id;
        let desk = match self.projects.get(&id) {
            Some(project) => project.desk.clone(),
            None => self.launcher.desk(),
        };
        let project = self.projects.entry(id).or_insert_with(|| Project {
            slug: step.slug.clone(),
            version: step.version,
            desk,
            mode: Mode::Disabled,
            leaving: VecDeque::new(),
            restarts: 0,
        });
        project.slug = step.slug;
        project.version = step.version;
        match step.action {
            Action::Start(tenant) | Action::Exchange(tenant) => {
                let current = self.hire(id, tenant);
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
                let next = self.hire(id, tenant);
                self.with(id, |project| {
                    if let Mode::Serving { successor, .. } = &mut project.mode
                        && let Some(old) = successor.replace(next)
                    {
                        project.leave(old);
                    }
                });
            }
            Action::Revert(tenant) => {
                if let Mode::Serving { successor, .. } = &mut project.mode
                    && let Some(next) = successor.take()
                {
                    project.leave(next);
                }
                project.apply(&tenant);
            }
            Action::Park { reason } => {
                tracing::warn!(
                    tenant = project.slug,
                    version = %project.version,
                    reason,
                    "the row is wrong: the tenant takes no calls until it is mended"
                );
                project.retire(Mode::Parked { reason });
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

    fn with(&mut self, id: TenantId, change: impl FnOnce(&mut Project)) {
        if let Some(project) = self.projects.get_mut(&id) {
            change(project);
        }
    }

    /// A new worker for a project, running.
    fn hire(&mut self, id: TenantId, tenant: Arc<Tenant>) -> Slot {
        self.last_key += 1;
        let key = WorkerKey(self.last_key);
        self.owners.insert(key, id);
        let (_, state) = StateCell::new();
        let mut slot = Slot {
            key,
            tenant: watch::Sender::new(tenant),
            orders: WorkerOrders::default(),
            state,
            life: Life::Ended,
            failures: 0,
        };
        if let Some(desk) = self.projects.get(&id).map(|p| p.desk.clone()) {
            self.launch(&mut slot, desk);
        }
        slot
    }

    fn launch(&mut self, slot: &mut Slot, desk: trunkline_worker::CallDesk) {
        let (cell, state) = StateCell::new();
        let span = tracing::info_span!("worker", tenant = %slot.tenant.borrow().slug);
        let run = self.launcher.launch(Launch {
            tenant: slot.tenant.subscribe(),
            desk,
            state: cell,
            orders: slot.orders.clone(),
        });
        let task = self.workers.spawn(run.instrument(span));
        self.tasks.insert(task.id(), slot.key);
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
        });
        self.publish(id);
    }

    /// Reads every exit of a worker, and decides.
    fn exit(&mut self, exit: TaskExit) {
        let (task, panic) = match exit {
            Ok((task, _)) => (task, None),
            Err(error) => {
                let task = error.id();
                let panic = match error.try_into_panic() {
                    Ok(panic) => panic_text(panic.as_ref()),
                    Err(cancelled) => cancelled.to_string(),
                };
                (task, Some(panic))
            }
        };
        let Some(key) = self.tasks.remove(&task) else {
            return;
        };
        let Some(&id) = self.owners.get(&key) else {
            return;
        };
        let Some(project) = self.projects.get_mut(&id) else {
            return;
        };
        if let Some(panic) = &panic {
            tracing::error!(
                tenant = project.slug,
                panic,
                calls = project.desk.active(),
                "a worker crashed, and its calls go on; please report this fault"
            );
        }
        if project.role(key) == Some(Role::Leaving) {
            project.leaving.retain(|slot| slot.key != key);
            self.owners.remove(&key);
            return self.settle(id);
        }
        let slug = project.slug.clone();
        let draining = self.phase == Phase::Draining;
        let mut restarted = false;
        if let Some(slot) = project.slot_mut(key) {
            if draining {
                slot.life = Life::Ended;
            } else {
                let healthy_after = Duration::from_millis(self.options.healthy_after_ms);
                if matches!(slot.life, Life::Running { since } if since.elapsed() >= healthy_after)
                {
                    slot.failures = 0;
                }
                let delay = self
                    .options
                    .restart()
                    .delay(slot.failures, &mut rand::rng());
                slot.failures = slot.failures.saturating_add(1);
                slot.life = Life::Waiting {
                    retry_at: Utc::now() + delay,
                    reason: format!(
                        "the worker crashed: {}",
                        panic.as_deref().unwrap_or("it ended without an order")
                    ),
                };
                self.restarts.insert((Instant::now() + delay, key));
                restarted = true;
            }
        }
        if restarted {
            project.restarts = project.restarts.saturating_add(1);
            counter!("trunkline_worker_restarts_total", "tenant" => slug).increment(1);
        }
        self.publish(id);
    }

    fn restart_due(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.restarts.first() {
            if at > now {
                break;
            }
            self.restarts.pop_first();
            let Some(&id) = self.owners.get(&key) else {
                continue;
            };
            // Taken out while it is launched: the house is borrowed for that.
            let Some(mut project) = self.projects.remove(&id) else {
                continue;
            };
            let desk = project.desk.clone();
            match project.slot_mut(key) {
                Some(slot) => self.launch(slot, desk),
                // It was let go while it waited.
                None => drop(self.owners.remove(&key)),
            }
            self.projects.insert(id, project);
            self.publish(id);
        }
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
            let tenant = project.serving();
            status.shortfall = tenant.and_then(|tenant| self.launcher.shortfall(&tenant));
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
        self.workers.is_empty() && self.projects.values().all(Project::is_idle)
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
            while self.workers.join_next().await.is_some() {}
        };
        if timeout(limit, ended).await.is_err() {
            let left: u32 = self.projects.values().map(|p| p.desk.active()).sum();
            tracing::error!(calls = left, "calls did not end in time and are abandoned");
        }
        for slot in self.projects.values().flat_map(Project::slots) {
            slot.orders.stop.cancel();
        }
        let closed = async { while self.workers.join_next().await.is_some() {} };
        // Who is not done is aborted with the set.
        let _ = timeout(STOP_TIMEOUT, closed).await;
        self.workers.shutdown().await;
        Ending::Cut { calls }
    }
}
