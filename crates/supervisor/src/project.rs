//! One tenant's part of the process: its desk, and the workers that feed it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use trunkline_domain::{Tenant, TenantId, TenantVersion};
use trunkline_worker::{CallDesk, Pulse, WorkerOrders, WorkerState};

use crate::plan::{Activity, Fault, Observed, Registration};
use crate::status::{HeldRow, ProjectState, ProjectStatus, SuccessorStatus};

/// Workers that were let go and still have calls. With every change of
/// credentials during one long call there is one more; the oldest is then
/// stopped, which costs LiveKit's knowledge of its jobs and no call.
const MAX_LEAVING: usize = 4;

/// A worker's name within the process, kept over its restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerKey(pub(crate) u64);

/// One tenant's part of the process.
pub(crate) struct Project {
    pub(crate) slug: String,
    pub(crate) version: TenantVersion,
    pub(crate) desk: CallDesk,
    pub(crate) mode: Mode,
    pub(crate) leaving: VecDeque<Slot>,
    pub(crate) restarts: u32,
    /// The row cannot be run, and what ran before it goes on.
    pub(crate) held: Option<HeldRow>,
    /// What else a person should know.
    pub(crate) notes: Vec<String>,
}

/// What a project does.
pub(crate) enum Mode {
    Serving {
        current: Slot,
        successor: Option<Box<Slot>>,
    },
    Parked {
        reason: String,
        fault: Fault,
    },
    Disabled,
    Removed,
}

/// A worker, over its restarts.
pub(crate) struct Slot {
    pub(crate) key: WorkerKey,
    pub(crate) tenant: watch::Sender<Arc<Tenant>>,
    pub(crate) orders: WorkerOrders,
    pub(crate) state: watch::Receiver<WorkerState>,
    pub(crate) life: Life,
    pub(crate) pulse: Pulse,
    /// Ends its task. There while it runs.
    pub(crate) task: Option<AbortHandle>,
    /// The row's version whose registration it has.
    pub(crate) in_effect: TenantVersion,
    /// Crashes since it last ran well for a while.
    pub(crate) failures: u32,
}

/// Whether a worker runs.
pub(crate) enum Life {
    Running {
        since: Instant,
    },
    Waiting {
        retry_at: DateTime<Utc>,
        reason: String,
    },
    /// As it was told to.
    Ended,
}

/// Which of a project's workers one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Current,
    Successor,
    Leaving,
}

impl Slot {
    fn tenant(&self) -> Arc<Tenant> {
        Arc::clone(&self.tenant.borrow())
    }

    /// One that was given up as stalled may say so still.
    pub(crate) fn is_registered(&self) -> bool {
        self.is_running() && self.state.borrow().is_registered()
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running { .. })
    }
}

impl Project {
    pub(crate) fn role(&self, key: WorkerKey) -> Option<Role> {
        match &self.mode {
            Mode::Serving { current, .. } if current.key == key => return Some(Role::Current),
            Mode::Serving {
                successor: Some(next),
                ..
            } if next.key == key => return Some(Role::Successor),
            Mode::Serving { .. } | Mode::Parked { .. } | Mode::Disabled | Mode::Removed => {}
        }
        let leaves = self.leaving.iter().any(|slot| slot.key == key);
        leaves.then_some(Role::Leaving)
    }

    /// The worker of this key, unless it is leaving.
    pub(crate) fn slot_mut(&mut self, key: WorkerKey) -> Option<&mut Slot> {
        match &mut self.mode {
            Mode::Serving { current, successor } => [Some(current), successor.as_deref_mut()]
                .into_iter()
                .flatten()
                .find(|slot| slot.key == key),
            Mode::Parked { .. } | Mode::Disabled | Mode::Removed => None,
        }
    }

    /// Gives the workers a new version. The one that is registered otherwise
    /// keeps its registration and takes the rest.
    pub(crate) fn apply(&mut self, tenant: &Arc<Tenant>) {
        let Mode::Serving { current, successor } = &mut self.mode else {
            return;
        };
        for slot in [Some(current), successor.as_deref_mut()]
            .into_iter()
            .flatten()
        {
            let old = slot.tenant();
            let new = if old.same_registration(tenant) {
                slot.in_effect = tenant.version;
                Arc::clone(tenant)
            } else {
                Arc::new(with_registration_of(&old, tenant))
            };
            slot.tenant.send_replace(new);
        }
    }

    /// Lets all workers go, and does this instead.
    pub(crate) fn retire(&mut self, mode: Mode) {
        match std::mem::replace(&mut self.mode, mode) {
            Mode::Serving { current, successor } => {
                self.leave(current);
                if let Some(successor) = successor {
                    self.leave(*successor);
                }
            }
            Mode::Parked { .. } | Mode::Disabled | Mode::Removed => {}
        }
    }

    /// Lets a worker go: no more offers, and its calls end by themselves.
    pub(crate) fn leave(&mut self, slot: Slot) {
        slot.orders.drain.cancel();
        if slot.is_running() {
            self.leaving.push_back(slot);
        }
        let too_many = self.leaving.len().saturating_sub(MAX_LEAVING);
        for slot in self.leaving.iter().take(too_many) {
            slot.orders.stop.cancel();
        }
    }

    /// The worker beside takes over, and the one before is let go.
    pub(crate) fn promote(&mut self) {
        if let Mode::Serving { current, successor } = &mut self.mode
            && let Some(next) = successor.take()
        {
            let old = std::mem::replace(current, *next);
            self.leave(old);
        }
    }

    /// A worker, whatever it does.
    pub(crate) fn any_slot_mut(&mut self, key: WorkerKey) -> Option<&mut Slot> {
        let serving = match &mut self.mode {
            Mode::Serving { current, successor } => [Some(current), successor.as_deref_mut()],
            Mode::Parked { .. } | Mode::Disabled | Mode::Removed => [None, None],
        };
        let mut slots = serving.into_iter().flatten().chain(&mut self.leaving);
        slots.find(|slot| slot.key == key)
    }

    /// What the log is to say when changed credentials are refused: once, and not
    /// with each attempt.
    pub(crate) fn first_refusal(&self, key: WorkerKey) -> Option<String> {
        let status = self.successor_status()?;
        let is_first = matches!(
            status.state,
            WorkerState::CredentialsRefused { attempt: 1, .. }
        );
        let is_it = is_first && self.role(key) == Some(Role::Successor);
        is_it.then(|| status.refusal()).flatten()
    }

    fn successor_status(&self) -> Option<SuccessorStatus> {
        let Mode::Serving { current, successor } = &self.mode else {
            return None;
        };
        successor.as_ref().map(|next| SuccessorStatus {
            version: next.tenant.borrow().version,
            still_on: current.in_effect,
            state: next.state.borrow().clone(),
        })
    }

    /// The version that was last carried out. Of one that cannot be, nothing was.
    fn version_in_effect(&self) -> TenantVersion {
        match (&self.mode, &self.held) {
            (Mode::Serving { current, successor }, Some(_)) => {
                let newest = successor.as_deref().unwrap_or(current);
                newest.in_effect
            }
            _ => self.version,
        }
    }

    /// Whether a removed project can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.mode, Mode::Removed) && self.leaving.is_empty() && self.is_idle()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.desk.places() == trunkline_worker::Places::default()
    }

    /// Every worker that may run.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        let serving = match &self.mode {
            Mode::Serving { current, successor } => [Some(current), successor.as_deref()],
            Mode::Parked { .. } | Mode::Disabled | Mode::Removed => [None, None],
        };
        serving.into_iter().flatten().chain(&self.leaving)
    }

    /// The tenant whose calls are taken.
    pub(crate) fn serving(&self) -> Option<Arc<Tenant>> {
        match &self.mode {
            Mode::Serving { current, .. } => Some(current.tenant()),
            Mode::Parked { .. } | Mode::Disabled | Mode::Removed => None,
        }
    }

    /// The version whose registration holds.
    pub(crate) fn serving_version(&self) -> TenantVersion {
        match &self.mode {
            Mode::Serving { current, .. } => current.in_effect,
            Mode::Parked { .. } | Mode::Disabled | Mode::Removed => self.version,
        }
    }

    pub(crate) fn observed(&self) -> Observed {
        Observed {
            slug: self.slug.clone(),
            version: self.version,
            activity: match &self.mode {
                Mode::Serving { current, successor } => Activity::Serving {
                    current: current.tenant(),
                    registration: if current.is_registered() {
                        Registration::Held
                    } else {
                        Registration::Missing
                    },
                    successor: successor.as_deref().map(Slot::tenant),
                },
                Mode::Parked { .. } => Activity::Parked,
                Mode::Disabled => Activity::Disabled,
                Mode::Removed => Activity::Removed,
            },
        }
    }

    pub(crate) fn status(&self, id: TenantId) -> ProjectStatus {
        let state = match &self.mode {
            Mode::Serving { current, .. } => match &current.life {
                Life::Waiting { retry_at, reason } => ProjectState::Restarting {
                    retry_at: *retry_at,
                    reason: reason.clone(),
                },
                Life::Running { .. } | Life::Ended => {
                    ProjectState::Worker(current.state.borrow().clone())
                }
            },
            Mode::Parked { reason, fault } => ProjectState::Parked {
                reason: reason.clone(),
                fault: *fault,
            },
            Mode::Disabled => ProjectState::Disabled,
            Mode::Removed => ProjectState::Removed,
        };
        ProjectStatus {
            id,
            slug: self.slug.clone(),
            version: self.version_in_effect(),
            state,
            since: Utc::now(),
            restarts: self.restarts,
            active_calls: self.desk.active(),
            refused_offers: self.desk.refusals(),
            successor: self.successor_status(),
            held: self.held.clone(),
            full: None,
            notes: self.notes.clone(),
        }
    }
}

/// The new version under the registration that holds.
fn with_registration_of(old: &Tenant, new: &Tenant) -> Tenant {
    Tenant {
        project: old.project.clone(),
        agent_names: old.agent_names.clone(),
        deployment: old.deployment.clone(),
        ..new.clone()
    }
}
