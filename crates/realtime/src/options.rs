//! How patient the sessions of this process are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How patient the sessions of this process are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// From the first packet to `session.created`. 5,000: a caller who hears
    /// ringing waits that long, and a healthy vendor takes 300 to 800.
    pub connect_timeout_ms: u32,
    /// A ping goes out when nothing has come for so long. 5,000.
    pub ping_interval_ms: u32,
    /// The session is given up when nothing has come for so long, not even the
    /// answer to a ping. 15,000: three pings lost.
    pub silence_limit_ms: u32,
    /// Sessions that are open in reserve, one for each of the models that calls wanted in
    /// the last ten minutes. 32: a socket and some 100 kB each, and vendors count them among
    /// the sessions that an account may have at once. 0: none.
    pub warm_sessions: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            ping_interval_ms: 5_000,
            silence_limit_ms: 15_000,
            warm_sessions: 32,
        }
    }
}

impl Options {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    pub(crate) fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms.into())
    }

    pub(crate) fn silence_limit(&self) -> Duration {
        Duration::from_millis(self.silence_limit_ms.into())
    }
}
