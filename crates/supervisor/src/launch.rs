//! What the supervisor needs from outside: rows, and workers.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use trunkline_domain::Tenant;
use trunkline_store::{Snapshot, TenantFeed};
use trunkline_worker::{
    CallDesk, CallRunner, Crew, Pulse, StateCell, Urgency, WorkerContext, WorkerExit, WorkerOrders,
};

/// Where the rows come from.
pub trait TenantSource: Send + 'static {
    /// The next whole picture of all tenants. Never fails; waits for as long as
    /// there is nothing new.
    fn next(&mut self) -> impl Future<Output = Snapshot> + Send;
}

impl TenantSource for TenantFeed {
    fn next(&mut self) -> impl Future<Output = Snapshot> + Send {
        TenantFeed::next(self)
    }
}

/// What a worker is started with.
pub struct Launch {
    /// Its tenant, and every later version with the same registration.
    pub tenant: watch::Receiver<Arc<Tenant>>,
    /// Where its calls are. Outlives it.
    pub desk: CallDesk,
    /// Where it says how it is doing.
    pub state: StateCell,
    /// What ends it.
    pub orders: WorkerOrders,
    /// Where it shows that its loop turns.
    pub pulse: Pulse,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

/// Makes desks and workers.
pub trait Launcher: Send + 'static {
    /// A desk for a tenant's calls.
    fn desk(&self) -> CallDesk;

    /// A worker's whole run. A panic in it is contained.
    fn launch(&self, launch: Launch) -> BoxFuture<'static, WorkerExit>;

    /// What a tenant lacks for its calls to go well, for people. They are taken
    /// all the same.
    fn shortfall(&self, tenant: &Tenant) -> Option<String>;
}

/// Makes the workers of `trunkline-worker`.
pub struct WorkerLauncher {
    context: WorkerContext,
    runner: Arc<dyn CallRunner>,
}

impl WorkerLauncher {
    /// Workers that share a context, and hand their calls to a runner.
    pub fn new(context: WorkerContext, runner: Arc<dyn CallRunner>) -> Self {
        Self { context, runner }
    }
}

impl Launcher for WorkerLauncher {
    fn desk(&self) -> CallDesk {
        CallDesk::new(Arc::clone(&self.runner), self.context.load().clone())
    }

    fn launch(&self, launch: Launch) -> BoxFuture<'static, WorkerExit> {
        Crew::new(
            self.context.clone(),
            launch.tenant,
            launch.desk,
            launch.state,
            launch.pulse,
            launch.urgency,
        )
        .run(launch.orders)
        .boxed()
    }

    fn shortfall(&self, tenant: &Tenant) -> Option<String> {
        self.runner.shortfall(tenant)
    }
}
