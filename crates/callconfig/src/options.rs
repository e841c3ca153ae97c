//! How the process asks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addresses::PrivateAddresses;
use crate::breaker::Limits;
use crate::trace::Sampling;

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
    /// How often one lookup asks at most, the first time and the hedge included. 5: with
    /// the pauses between them that is about the usual deadline.
    pub max_attempts: u32,
    /// A second request goes out when the first has been silent for so long. 0: never.
    pub hedge_after_ms: u32,
    /// Lookups that fail in a row, after which a backend is left in peace. 0: never. 5: a
    /// restart that takes a second costs fewer calls than that, as a rule.
    pub breaker_failures: u32,
    /// How long a backend is left in peace at first. It doubles, up to a minute.
    pub breaker_pause_ms: u32,
    /// How old the last answer may be that stands in for one that does not come. 0: none
    /// is kept. 86,400: what was right yesterday is better than a default.
    pub last_known_max_age_s: u32,
    /// Whether loopback, private, unique-local and shared addresses are asked. `true`:
    /// backends in the operator's own network are common, and who writes a tenant's URL is
    /// an operator.
    pub allow_private_addresses: bool,
    /// Whether backends shall record their traces of our requests.
    pub trace_sampled: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 1_500,
            idle_timeout_ms: 60_000,
            idle_connections: 8,
            max_attempts: 5,
            hedge_after_ms: 0,
            breaker_failures: 5,
            breaker_pause_ms: 5_000,
            last_known_max_age_s: 86_400,
            allow_private_addresses: true,
            trace_sampled: false,
        }
    }
}

impl Options {
    /// The longest age of an answer that can be set, in seconds: a week. What is older is
    /// deleted from the database.
    pub const LONGEST_LAST_KNOWN_S: u32 = 7 * 86_400;

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms.into())
    }

    pub(crate) fn hedge_after(&self) -> Option<Duration> {
        (self.hedge_after_ms > 0).then(|| Duration::from_millis(self.hedge_after_ms.into()))
    }

    pub(crate) fn breaker(&self) -> Limits {
        Limits {
            failures: self.breaker_failures,
            pause: Duration::from_millis(self.breaker_pause_ms.into()),
        }
    }

    pub(crate) fn last_known_max_age(&self) -> Duration {
        Duration::from_secs(self.last_known_max_age_s.into())
    }

    pub(crate) fn private_addresses(&self) -> PrivateAddresses {
        if self.allow_private_addresses {
            PrivateAddresses::Asked
        } else {
            PrivateAddresses::Refused
        }
    }

    pub(crate) fn sampling(&self) -> Sampling {
        if self.trace_sampled {
            Sampling::Sampled
        } else {
            Sampling::NotSampled
        }
    }
}
