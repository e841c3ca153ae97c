//! Desired tenants against running workers.
//!
//! - `plan`: what is to be done, a pure function.
//! - `supervisor`: the loop that does it, and reads how every worker exits.
//! - `project`: one tenant's desk and workers.
//! - `watchdog`: finds workers whose loops stand still.
//! - `launch`: what comes from outside: rows and workers.
//! - `status`: how every project is doing, for whoever wants to know.

mod gauges;
mod launch;
mod notes;
mod options;
mod plan;
mod project;
mod status;
mod supervisor;
mod watchdog;

pub use launch::{Launch, Launcher, TenantSource, WorkerLauncher};
pub use options::Options;
pub use plan::{
    Action, Activity, Desired, Fault, Observed, Plan, Registration, Running, Step, Wish, plan,
};
pub use status::{
    Full, Handle, HeldRow, Phase, ProjectState, ProjectStatus, StateChanges, SuccessorStatus,
};
// How busy the process is, for whoever knows it by its projects only.
pub use supervisor::{Ending, Shutdown, Supervisor};
pub use trunkline_worker::{LoadMeter, Refusal, Resources};
