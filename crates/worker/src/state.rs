//! How a worker is doing, for everybody who wants to know.

use chrono::{DateTime, Utc};
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
        /// Since when the tenant's own limit of calls is reached, and the server offers
        /// nothing. `None`: it is not.
        full_since: Option<DateTime<Utc>>,
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
    /// The names of all states of a worker that runs.
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

/// Where a worker writes its state. It says so itself when the worker is gone, also by a
/// panic.
#[derive(Debug)]
pub struct StateCell {
    state: watch::Sender<WorkerState>,
}

impl StateCell {
    /// A cell that says [`WorkerState::Starting`], and where to read it.
    pub fn new() -> (Self, watch::Receiver<WorkerState>) {
        let (state, reader) = watch::channel(WorkerState::Starting { reason: None });
        (Self { state }, reader)
    }

    /// Writes the state.
    pub fn set(&self, state: WorkerState) {
        self.state.send_replace(state);
    }

    /// Writes the state if it is another one.
    pub(crate) fn update(&self, state: WorkerState) {
        if *self.state.borrow() != state {
            self.set(state);
        }
    }
}

impl Drop for StateCell {
    fn drop(&mut self) {
        self.set(WorkerState::Stopped);
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
