//! How the process asks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the process asks. The deadline of a lookup is the tenant's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// For TCP and TLS together, within the lookup's deadline. 1,500: a lost
    /// first packet is sent again after 1,000, and a second attempt must still fit.
    pub connect_timeout_ms: u32,
    /// How long an idle connection is kept for the next call. 60,000.
    pub idle_timeout_ms: u32,
    /// Idle connections that are kept for each backend. 8: more calls than that
    /// seldom begin within the same second.
    pub idle_connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 1_500,
            idle_timeout_ms: 60_000,
            idle_connections: 8,
        }
    }
}

impl Options {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms.into())
    }
}
