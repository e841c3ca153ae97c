//! What of the supervisor can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_worker::Backoff;

/// Settings of the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The nominal wait before a worker that crashed is started again; it doubles.
    pub restart_first_ms: u64,
    /// The longest nominal wait before a worker that crashed is started again.
    pub restart_cap_ms: u64,
    /// How long a worker must have run for the next wait to be short again.
    pub healthy_after_ms: u64,
    /// How late a worker's loop may be before another worker takes its place. What
    /// a loop waits for has bounds of 10 s at the most.
    pub stall_limit_ms: u64,
    /// How long calls that are cut have to say so to LiveKit, leave their rooms
    /// and hand over their records.
    pub cut_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            restart_first_ms: 250,
            restart_cap_ms: 30_000,
            healthy_after_ms: 60_000,
            stall_limit_ms: 30_000,
            cut_timeout_ms: 5_000,
        }
    }
}

impl Options {
    pub(crate) fn stall_limit(&self) -> Duration {
        Duration::from_millis(self.stall_limit_ms.max(1))
    }

    pub(crate) fn restart(&self) -> Backoff {
        Backoff {
            floor: Duration::ZERO,
            first: Duration::from_millis(self.restart_first_ms.max(1)),
            cap: Duration::from_millis(self.restart_cap_ms),
        }
    }
}
