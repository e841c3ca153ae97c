//! What is to be done so that what runs becomes what the rows say. A pure
//! function over values; the log line of a change is the plan's text.
//!
//! Policy:
//! - A change that LiveKit does not see applies to the running worker, from the
//!   next call on.
//! - A change of the registration starts a second worker beside the first, which
//!   is let go when the second is registered. When the first is not registered
//!   itself there is nothing to keep, and it goes at once.
//! - A row that cannot be run changes nothing of what runs: one wrong field must not
//!   take a tenant off the phone. It stays with the last version that could be run,
//!   which is said, and which a new process does not have: there it is parked.
//! - A row that is disabled or gone takes no more calls. Calls under way go on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use trunkline_domain::{Tenant, TenantId, TenantVersion, shorten};
use trunkline_store::TenantRow;

/// The longest slug that a row can run with has 63 characters.
const MAX_SLUG_CHARS: usize = 64;

/// What a row asks for.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Whose row.
    pub id: TenantId,
    /// Name for people, as it stands in the row. One that is longer than a slug can
    /// be is cut: it is logged and shown.
    pub slug: String,
    /// The row's version.
    pub version: TenantVersion,
    /// What is to be.
    pub wish: Wish,
}

/// What is to be of a tenant.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Calls are taken.
    Run(Arc<Tenant>),
    /// No calls are taken.
    Disabled,
    /// Nobody can tell: the row is wrong.
    Invalid {
        /// What is wrong with it.
        reason: String,
        /// Where the fault is.
        fault: Fault,
    },
}

/// Where the fault is when a row cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// In the row.
    Row,
    /// In the sealing keys of this process, as far as it can tell.
    Keys,
}

impl From<&TenantRow> for Desired {
    fn from(row: &TenantRow) -> Self {
        Self {
            id: row.id,
            slug: shorten(&row.slug, MAX_SLUG_CHARS).into_owned(),
            version: row.version,
            wish: match &row.tenant {
                // A row that is switched off may be wrong: it harms nobody.
                _ if !row.enabled => Wish::Disabled,
                Ok(tenant) => Wish::Run(Arc::clone(tenant)),
                Err(problem) => Wish::Invalid {
                    reason: problem.to_string(),
                    fault: if problem.is_about_keys() {
                        Fault::Keys
                    } else {
                        Fault::Row
                    },
                },
            },
        }
    }
}

/// What runs, by tenant.
pub type Running = BTreeMap<TenantId, Observed>;

/// What runs of one tenant.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Name for people.
    pub slug: String,
    /// The version that was last carried out.
    pub version: TenantVersion,
    /// What it does.
    pub activity: Activity,
}

/// What a tenant's part of the process does.
#[derive(Debug, Clone)]
pub enum Activity {
    /// A worker runs.
    Serving {
        /// What it runs with.
        current: Arc<Tenant>,
        /// Whether LiveKit knows it.
        registration: Registration,
        /// What the worker beside it runs with, which is not registered yet.
        successor: Option<Arc<Tenant>>,
    },
    /// The row is wrong.
    Parked,
    /// The row is switched off.
    Disabled,
    /// The row is gone; the last calls go on.
    Removed,
}

/// Whether LiveKit knows a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Jobs come.
    Held,
    /// No jobs come.
    Missing,
}

/// One tenant's step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Whose.
    pub id: TenantId,
    /// Name for people.
    pub slug: String,
    /// The version that asks for it; of a removed row, the last.
    pub version: TenantVersion,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Start a worker.
    Start(Arc<Tenant>),
    /// Give the running worker, and the one beside it, a new version.
    Apply(Arc<Tenant>),
    /// Start a worker beside the running one, in place of another beside it.
    Succeed(Arc<Tenant>),
    /// Start a worker in place of the running one.
    Exchange(Arc<Tenant>),
    /// Give up the worker beside the running one, which fits again.
    Revert(Arc<Tenant>),
    /// Go on with what runs: the row is wrong.
    Hold {
        /// What is wrong.
        reason: String,
    },
    /// Take no calls: the row is wrong, and nothing runs.
    Park {
        /// What is wrong.
        reason: String,
        /// Where the fault is.
        fault: Fault,
    },
    /// Take no more calls: the row says so.
    Disable,
    /// Take no more calls, and forget the tenant after the last one.
    Remove,
}

impl Action {
    fn verb(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Apply(_) => "apply",
            Self::Succeed(_) => "succeed",
            Self::Exchange(_) => "exchange",
            Self::Revert(_) => "revert",
            Self::Hold { .. } => "hold",
            Self::Park { .. } => "park",
            Self::Disable => "disable",
            Self::Remove => "remove",
        }
    }
}

/// What is to be done, at most one step for each tenant.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// By tenant.
    pub steps: Vec<Step>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A thousand tenants at the start are not a line for a person.
        const SHOWN: usize = 10;
        for (index, step) in self.steps.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let (verb, slug, version) = (step.action.verb(), &step.slug, step.version);
            write!(f, "{separator}{verb} {slug}@{version}")?;
        }
        match self.steps.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What is to be done so that `running` becomes `desired`.
pub fn plan(desired: &[Desired], running: &Running) -> Plan {
    let by_id: BTreeMap<TenantId, &Desired> = desired.iter().map(|d| (d.id, d)).collect();
    let wanted = by_id.values().filter_map(|desired| {
        let action = match running.get(&desired.id) {
            None => Some(fresh(&desired.wish)),
            Some(observed) => change(desired, observed),
        };
        action.map(|action| Step {
            id: desired.id,
            slug: desired.slug.clone(),
            version: desired.version,
            action,
        })
    });
    let gone = running.iter().filter_map(|(id, observed)| {
        let leaves = !by_id.contains_key(id) && !matches!(observed.activity, Activity::Removed);
        leaves.then(|| Step {
            id: *id,
            slug: observed.slug.clone(),
            version: observed.version,
            action: Action::Remove,
        })
    });
    // What makes room comes first: a slug can be given to another tenant.
    let mut steps: Vec<Step> = gone.collect();
    steps.extend(wanted);
    Plan { steps }
}

fn fresh(wish: &Wish) -> Action {
    match wish {
        Wish::Run(tenant) => Action::Start(Arc::clone(tenant)),
        Wish::Disabled => Action::Disable,
        Wish::Invalid { reason, fault } => Action::Park {
            reason: reason.clone(),
            fault: *fault,
        },
    }
}

fn change(desired: &Desired, observed: &Observed) -> Option<Action> {
    let is_new = desired.version != observed.version;
    match (&desired.wish, &observed.activity) {
        // The row is back before the last call was over.
        (wish, Activity::Removed) => Some(fresh(wish)),
        (_, Activity::Serving { .. } | Activity::Parked | Activity::Disabled) if !is_new => None,
        (Wish::Run(tenant), Activity::Parked | Activity::Disabled) => {
            Some(Action::Start(Arc::clone(tenant)))
        }
        (
            Wish::Run(tenant),
            Activity::Serving {
                current,
                registration,
                successor,
            },
        ) => {
            let tenant = Arc::clone(tenant);
            Some(match (successor, registration) {
                (Some(next), _) if next.same_registration(&tenant) => Action::Apply(tenant),
                (Some(_), _) if current.same_registration(&tenant) => Action::Revert(tenant),
                (None, _) if current.same_registration(&tenant) => Action::Apply(tenant),
                (_, Registration::Held) => Action::Succeed(tenant),
                (_, Registration::Missing) => Action::Exchange(tenant),
            })
        }
        (Wish::Invalid { reason, .. }, Activity::Serving { .. }) => Some(Action::Hold {
            reason: reason.clone(),
        }),
        (Wish::Disabled, Activity::Serving { .. })
        | (Wish::Disabled | Wish::Invalid { .. }, Activity::Parked | Activity::Disabled) => {
            Some(fresh(&desired.wish))
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "plan_model.rs"]
mod model;
