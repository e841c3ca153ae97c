//! What of the workers can be set.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Backoff;
use crate::headroom::Thresholds;
use crate::session::Timing;

/// Calls per CPU that the process takes by default: what one core is built to carry.
const CALLS_PER_CPU: u32 = 100;

/// Settings of all workers of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Calls at the same time in this process. Absent: 100 for each CPU that it may use.
    pub max_calls: Option<NonZeroU32>,
    /// For TCP, TLS and the WebSocket's handshake together.
    pub connect_timeout_ms: u64,
    /// For the answer to the registration. The server itself gives up after 10 s.
    pub register_timeout_ms: u64,
    /// Between two pings.
    pub ping_interval_ms: u64,
    /// Without a sign of life, after which the server is taken for gone. Three
    /// pings: one that is lost or late does not cost the registration.
    pub silence_limit_ms: u64,
    /// Between two reports of status. Source: the servers expect 2.5 s.
    pub status_interval_ms: u64,
    /// How long an accepted job may take to be assigned. The server's own
    /// deadline for it is 3 s.
    pub reservation_ms: u64,
    /// The nominal wait before the first attempt to reconnect; it doubles.
    pub retry_first_ms: u64,
    /// The longest nominal wait before an attempt to reconnect.
    pub retry_cap_ms: u64,
    /// The shortest wait after a refusal of the credentials.
    pub refused_first_ms: u64,
    /// The longest wait after a refusal of the credentials.
    pub refused_cap_ms: u64,
    /// How long a registration must have held for the next wait to be short again.
    pub healthy_after_ms: u64,
    /// Connections that are opened at the same time, so that a start with a
    /// thousand projects does not starve the calls of those that are up: a TLS
    /// handshake costs a millisecond of CPU.
    pub concurrent_connects: usize,
    /// Of these, towards one host: many projects may live on one server, and it
    /// is not to see us as an attack.
    pub concurrent_connects_per_host: usize,
    /// The part of the CPUs that the process may use at which no offer is taken.
    pub refuse_at_cpu_percent: u8,
    /// How late tasks may run, averaged over 5 s, before no offer is taken. At 100 ms
    /// the buffers of phones and browsers run dry, and every caller hears it.
    pub refuse_at_delay_ms: u64,
    /// The part of the container's or the machine's memory at which no offer is taken.
    pub refuse_at_memory_percent: u8,
    /// The part of the descriptors that the process may open at which no offer is
    /// taken. Without them calls under way could not connect again.
    pub refuse_at_descriptors_percent: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_calls: None,
            connect_timeout_ms: 10_000,
            register_timeout_ms: 10_000,
            ping_interval_ms: 5_000,
            silence_limit_ms: 15_000,
            status_interval_ms: 2_500,
            reservation_ms: 5_000,
            retry_first_ms: 250,
            retry_cap_ms: 30_000,
            refused_first_ms: 30_000,
            refused_cap_ms: 300_000,
            healthy_after_ms: 60_000,
            concurrent_connects: 32,
            concurrent_connects_per_host: 16,
            refuse_at_cpu_percent: 90,
            refuse_at_delay_ms: 100,
            refuse_at_memory_percent: 90,
            refuse_at_descriptors_percent: 90,
        }
    }
}

/// Options that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}{}", .against.map(|key| format!(" {key}")).unwrap_or_default())]
pub struct InvalidOptions {
    /// The key, without the section.
    pub key: &'static str,
    /// What it must be.
    pub problem: &'static str,
    /// The key that it is measured against, which the problem ends with.
    pub against: Option<&'static str>,
}

impl Options {
    /// Whether the workers can run with these.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        let wrong = |key, problem| {
            Err(InvalidOptions {
                key,
                problem,
                against: None,
            })
        };
        let against = |key, problem, other| {
            Err(InvalidOptions {
                key,
                problem,
                against: Some(other),
            })
        };
        for (key, value) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("register_timeout_ms", self.register_timeout_ms),
            ("ping_interval_ms", self.ping_interval_ms),
            ("status_interval_ms", self.status_interval_ms),
            ("reservation_ms", self.reservation_ms),
            ("retry_first_ms", self.retry_first_ms),
            ("refused_first_ms", self.refused_first_ms),
            ("refuse_at_delay_ms", self.refuse_at_delay_ms),
        ] {
            if value == 0 {
                return wrong(key, "must be 1 or more");
            }
        }
        if self.silence_limit_ms <= self.ping_interval_ms {
            return against(
                "silence_limit_ms",
                "must be longer than",
                "ping_interval_ms",
            );
        }
        if self.retry_cap_ms < self.retry_first_ms {
            return against("retry_cap_ms", "must not be less than", "retry_first_ms");
        }
        if self.refused_cap_ms < self.refused_first_ms {
            return against(
                "refused_cap_ms",
                "must not be less than",
                "refused_first_ms",
            );
        }
        for (key, value) in [
            ("concurrent_connects", self.concurrent_connects),
            (
                "concurrent_connects_per_host",
                self.concurrent_connects_per_host,
            ),
        ] {
            if value == 0 {
                return wrong(key, "must be 1 or more");
            }
        }
        for (key, percent) in [
            ("refuse_at_cpu_percent", self.refuse_at_cpu_percent),
            ("refuse_at_memory_percent", self.refuse_at_memory_percent),
            (
                "refuse_at_descriptors_percent",
                self.refuse_at_descriptors_percent,
            ),
        ] {
            if !(1..=100).contains(&percent) {
                return wrong(key, "must be from 1 to 100");
            }
        }
        Ok(())
    }

    /// Calls at the same time in this process.
    pub fn max_calls(&self) -> NonZeroU32 {
        self.max_calls.unwrap_or_else(|| {
            let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
            let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
            NonZeroU32::new(cpus.saturating_mul(CALLS_PER_CPU)).unwrap_or(NonZeroU32::MIN)
        })
    }

    /// The waits between attempts to reconnect.
    pub fn retry(&self) -> Backoff {
        Backoff {
            floor: Duration::ZERO,
            first: Duration::from_millis(self.retry_first_ms),
            cap: Duration::from_millis(self.retry_cap_ms),
        }
    }

    /// The waits after a refusal of the credentials. Retrying seldom helps
    /// before somebody changes something, and that wakes the worker at once.
    pub(crate) fn refused(&self) -> Backoff {
        let first = Duration::from_millis(self.refused_first_ms);
        Backoff {
            floor: first,
            first: first * 2,
            cap: Duration::from_millis(self.refused_cap_ms),
        }
    }

    pub(crate) fn thresholds(&self) -> Thresholds {
        let part = |percent: u8| f64::from(percent) / 100.0;
        Thresholds {
            cpu: part(self.refuse_at_cpu_percent),
            delay: Duration::from_millis(self.refuse_at_delay_ms),
            memory: part(self.refuse_at_memory_percent),
            descriptors: part(self.refuse_at_descriptors_percent),
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing {
            register_timeout: Duration::from_millis(self.register_timeout_ms),
            reservation: Duration::from_millis(self.reservation_ms),
            status_interval: Duration::from_millis(self.status_interval_ms),
            ping_interval: Duration::from_millis(self.ping_interval_ms),
            silence_limit: Duration::from_millis(self.silence_limit_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_wrong_key_is_named() {
        Options::default().validate().unwrap();
        let options = Options {
            silence_limit_ms: 5_000,
            ..Options::default()
        };
        assert_eq!(options.validate().unwrap_err().key, "silence_limit_ms");
    }

    #[test]
    fn refused_credentials_are_tried_again_after_half_a_minute_to_five() {
        let refused = Options::default().refused();
        let mut rng = rand::rng();
        for attempt in 0..12 {
            let delay = refused.delay(attempt, &mut rng);
            assert!((Duration::from_secs(30)..=Duration::from_secs(300)).contains(&delay));
        }
        assert_eq!(refused.nominal(12), Duration::from_secs(300));
    }
}
