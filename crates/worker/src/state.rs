//! How a worker is doing, for everybody who wants to know.

use chrono::{DateTime, Utc};
use metrics::gauge;
use serde::Serialize;
use tokio::sync::watch;

/// The state of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WorkerState {
    /// Not yet tried.
    Starting {
        /// What it waits for.
        reason: Option<&'static str>,
    },
    /// Opening the socket and registering.
    Connecting {
        /// Attempts that failed since it last was well.
        attempt: u32,
    },
    /// Known to the server; jobs come.
    Registered {
        /// LiveKit's id of this registration.
        worker_id: String,
        /// The server's version.
        server_version: String,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// Waiting to connect again.
    BackingOff {
        /// Attempts that failed since it last was well.
        attempt: u32,
        /// When it is tried again.
        retry_at: DateTime<Utc>,
        /// What was wrong.
        reason: String,
    },
    /// Waiting, seldom retrying, for somebody to mend the credentials.
    CredentialsRefused {
        /// Attempts that were refused.
        attempt: u32,
        /// When it is tried again; at once when the tenant's row changes.
        retry_at: DateTime<Utc>,
        /// What the server said.
        reason: String,
    },
    /// Takes no more jobs; its calls go on.
    Draining,
    /// Not running any more.
    Stopped,
}

impl WorkerState {
    /// The names of all states that the gauge `trunkline_workers{state}` counts.
    pub const COUNTED: [&str; 6] = [
        "starting",
        "connecting",
        "registered",
        "backing_off",
        "credentials_refused",
        "draining",
    ];

    /// For metrics, records and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Connecting { .. } => "connecting",
            Self::Registered { .. } => "registered",
            Self::BackingOff { .. } => "backing_off",
            Self::CredentialsRefused { .. } => "credentials_refused",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// What is wrong or waited for, where something is.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::BackingOff { reason, .. } | Self::CredentialsRefused { reason, .. } => {
                Some(reason)
            }
            Self::Starting { reason } => *reason,
            Self::Draining => Some("no more calls are taken; those under way go on"),
            Self::Connecting { .. } | Self::Registered { .. } | Self::Stopped => None,
        }
    }

    /// Whether jobs come.
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Registered { .. })
    }
}

/// Where a worker writes its state. Keeps the gauge `trunkline_workers{state}`
/// right, also when the worker panics.
#[derive(Debug)]
pub struct StateCell {
    state: watch::Sender<WorkerState>,
    counting: Counting,
}

/// Whether a cell is in the gauge. A crew is one worker in it, whatever the number of
/// its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    Counted,
    Uncounted,
}

impl StateCell {
    /// A cell that says [`WorkerState::Starting`], and where to read it.
    pub fn new() -> (Self, watch::Receiver<WorkerState>) {
        Self::of(Counting::Counted)
    }

    /// The same for a member of a crew.
    pub(crate) fn uncounted() -> (Self, watch::Receiver<WorkerState>) {
        Self::of(Counting::Uncounted)
    }

    fn of(counting: Counting) -> (Self, watch::Receiver<WorkerState>) {
        let first = WorkerState::Starting { reason: None };
        let (state, reader) = watch::channel(first.clone());
        let cell = Self { state, counting };
        cell.count(&first, 1.0);
        (cell, reader)
    }

    /// Writes the state.
    pub fn set(&self, state: WorkerState) {
        self.count(&state, 1.0);
        self.count(&self.state.send_replace(state), -1.0);
    }

    /// Writes the state if it is another one.
    pub(crate) fn update(&self, state: WorkerState) {
        if *self.state.borrow() != state {
            self.set(state);
        }
    }

    fn count(&self, state: &WorkerState, by: f64) {
        if self.counting == Counting::Counted && *state != WorkerState::Stopped {
            debug_assert!(WorkerState::COUNTED.contains(&state.as_str()));
            gauge!("trunkline_workers", "state" => state.as_str()).increment(by);
        }
    }
}

impl Drop for StateCell {
    fn drop(&mut self) {
        self.count(&self.state.send_replace(WorkerState::Stopped), -1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_cell_says_that_the_worker_stopped() {
        let (cell, reader) = StateCell::new();
        cell.set(WorkerState::Connecting { attempt: 0 });
        drop(cell);
        assert_eq!(*reader.borrow(), WorkerState::Stopped);
    }
}
