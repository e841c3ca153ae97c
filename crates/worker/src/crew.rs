//! The workers of one tenant: LiveKit registers a worker under one agent name, so
//! there is one for each of the tenant's names.
//!
//! Policy:
//! - A name that comes is registered beside the others; one that goes is let go when
//!   all that are wanted are registered. So a renamed agent misses no call.
//! - To the outside they are one worker: registered when all are, and otherwise as
//!   the one that stands worst.
//! - They share the desk, and with it all limits.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tracing::Instrument as _;
use trunkline_domain::{AgentName, Tenant};

use crate::desk::CallDesk;
use crate::pulse::Pulse;
use crate::queue::Urgency;
use crate::state::{StateCell, WorkerState};
use crate::worker::{Worker, WorkerContext, WorkerExit, WorkerOrders, changed};

/// The workers of one tenant.
pub struct Crew {
    context: WorkerContext,
    tenant: watch::Receiver<Arc<Tenant>>,
    desk: CallDesk,
    state: StateCell,
    pulse: Pulse,
    urgency: Urgency,
}

/// One of them.
struct Member {
    key: u64,
    name: AgentName,
    state: watch::Receiver<WorkerState>,
    orders: WorkerOrders,
}

impl Member {
    fn stays(&self) -> bool {
        !self.orders.drain.is_cancelled()
    }
}

/// All of them, and their runs.
#[derive(Default)]
struct Members {
    last_key: u64,
    list: Vec<Member>,
    runs: FuturesUnordered<BoxFuture<'static, (u64, WorkerExit)>>,
}

impl Crew {
    /// A crew. Every later version of the tenant that comes by `tenant` is to be of
    /// the same registration but for its agent names; it applies to the next call and
    /// the next offer.
    pub fn new(
        context: WorkerContext,
        tenant: watch::Receiver<Arc<Tenant>>,
        desk: CallDesk,
        state: StateCell,
        pulse: Pulse,
        urgency: Urgency,
    ) -> Self {
        Self {
            context,
            tenant,
            desk,
            state,
            pulse,
            urgency,
        }
    }

    /// Serves until it is told to end.
    pub async fn run(mut self, orders: WorkerOrders) -> WorkerExit {
        let mut members = Members::default();
        let urgency = self.urgency;
        self.muster(&mut members, &orders, urgency);
        // The members turn, each with a pulse that is part of this one.
        self.pulse.rest();
        loop {
            tokio::select! {
                Some((key, exit)) = members.runs.next() => {
                    members.list.retain(|member| member.key != key);
                    if members.list.is_empty() {
                        return exit;
                    }
                }
                () = changed(&mut self.tenant) => {
                    self.muster(&mut members, &orders, Urgency::Changed);
                }
                () = news(&mut members.list) => {}
            }
            self.settle(&members.list);
        }
    }

    /// Has a worker for each name.
    fn muster(&mut self, members: &mut Members, orders: &WorkerOrders, urgency: Urgency) {
        let tenant = Arc::clone(&self.tenant.borrow_and_update());
        for name in &tenant.agent_names {
            let mut staying = members.list.iter().filter(|member| member.stays());
            if !orders.drain.is_cancelled() && !staying.any(|member| member.name == *name) {
                self.hire(members, name, orders, urgency);
            }
        }
        // A crew that is told to drain before its first turn still has one to end with.
        if let (true, Some(name)) = (members.list.is_empty(), tenant.agent_names.first()) {
            self.hire(members, name, orders, urgency);
        }
    }

    fn hire(
        &self,
        members: &mut Members,
        name: &AgentName,
        orders: &WorkerOrders,
        urgency: Urgency,
    ) {
        members.last_key += 1;
        let key = members.last_key;
        let (cell, state) = StateCell::new();
        let orders = WorkerOrders {
            drain: orders.drain.child_token(),
            stop: orders.stop.child_token(),
        };
        let worker = Worker::new(
            self.context.clone(),
            name.clone(),
            self.tenant.clone(),
            self.desk.clone(),
            cell,
            self.pulse.part(Instant::now()),
            urgency,
        );
        members.list.push(Member {
            key,
            name: name.clone(),
            state,
            orders: orders.clone(),
        });
        let span = tracing::info_span!("agent", agent = %name);
        let run = async move { (key, worker.run(orders).await) };
        members.runs.push(run.instrument(span).boxed());
    }

    /// Lets names go that are not wanted any more, and says how the crew is doing.
    fn settle(&self, members: &[Member]) {
        let tenant = self.tenant.borrow();
        let (wanted, unwanted): (Vec<&Member>, Vec<&Member>) = members
            .iter()
            .filter(|member| member.stays())
            .partition(|member| tenant.agent_names.contains(&member.name));
        if wanted
            .iter()
            .all(|member| member.state.borrow().is_registered())
        {
            for member in unwanted {
                tracing::info!(agent = %member.name, "the agent name is let go");
                member.orders.drain.cancel();
            }
        }
        // With nobody who stays, all are leaving.
        let counted = if wanted.is_empty() {
            members.iter().collect()
        } else {
            wanted
        };
        if let Some(state) = together(&counted) {
            self.state.update(state);
        }
    }
}

/// Waits until a member's state changes.
async fn news(members: &mut [Member]) {
    let changes = members.iter_mut().map(|member| {
        let change = async {
            // Who is over is heard of by its exit.
            if member.state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        Box::pin(change)
    });
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        std::future::pending::<()>().await;
    }
    futures_util::future::select_all(changes).await;
}

/// The state of the one that stands worst; with its name in the reason where there
/// are several.
fn together(members: &[&Member]) -> Option<WorkerState> {
    let worst = members
        .iter()
        .max_by_key(|member| badness(&member.state.borrow()))?;
    let mut state = worst.state.borrow().clone();
    if members.len() > 1
        && let WorkerState::BackingOff { reason, .. }
        | WorkerState::CredentialsRefused { reason, .. } = &mut state
    {
        *reason = format!("agent name {}: {reason}", worst.name);
    }
    Some(state)
}

fn badness(state: &WorkerState) -> u8 {
    match state {
        WorkerState::Registered { .. } => 0,
        WorkerState::Stopped => 1,
        WorkerState::Draining => 2,
        WorkerState::Connecting { .. } => 3,
        WorkerState::Starting { .. } => 4,
        WorkerState::BackingOff { .. } => 5,
        WorkerState::CredentialsRefused { .. } => 6,
    }
}
