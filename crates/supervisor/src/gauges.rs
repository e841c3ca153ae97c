//! What projects do, counted as their statuses change. A tenant is one worker in it,
//! whatever the number of its agent names, and the one that serves: that another one with
//! changed credentials is refused beside it is counted apart.

use metrics::gauge;
use trunkline_worker::WorkerState;

use crate::status::{ProjectState, ProjectStatus};

/// Counts a status in the place of another one.
pub(crate) fn exchange(before: Option<&ProjectStatus>, now: Option<&ProjectStatus>) {
    if let Some(status) = now {
        count(status, 1.0);
    }
    if let Some(status) = before {
        count(status, -1.0);
    }
}

fn count(status: &ProjectStatus, by: f64) {
    if let ProjectState::Worker(state) = &status.state
        && *state != WorkerState::Stopped
    {
        gauge!("trunkline_workers", "state" => state.as_str()).increment(by);
        let full = matches!(
            state,
            WorkerState::Registered {
                full_since: Some(_),
                ..
            }
        );
        if full {
            gauge!("trunkline_workers_full").increment(by);
        }
    }
    if status.is_on_older_version() {
        gauge!("trunkline_workers_on_older_version").increment(by);
    }
}
