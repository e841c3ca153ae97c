//! What the API told at one moment, and what is slow in it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// The longest text that is kept, in characters: a reason that names a dozen problems.
const MAX_CHARS: usize = 1_000;

/// Text from outside: of bounded length, and without characters that command a terminal
/// or turn the direction of writing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Clean(String);

impl Clean {
    pub(super) fn new(text: &str) -> Self {
        let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let shown = text.chars().take(MAX_CHARS);
        Self(
            shown
                .map(|c| {
                    if c.is_control() || turns(c) {
                        '\u{fffd}'
                    } else {
                        c
                    }
                })
                .collect(),
        )
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Clean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// By the API's clock, in whole seconds.
    pub(super) at: DateTime<Utc>,
    pub(super) replica: Replica,
    pub(super) workers: Vec<Worker>,
    /// There are more projects than were asked for.
    pub(super) has_more_workers: bool,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Replica {
    pub(super) name: Clean,
    pub(super) version: Clean,
    pub(super) phase: Clean,
    pub(super) active_calls: u32,
    /// Not told by a replica of an older version.
    pub(super) max_calls: Option<u32>,
    pub(super) resources: Option<Resources>,
    pub(super) tenants: BTreeMap<Clean, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Resources {
    pub(super) cpus: f64,
    pub(super) cpu_used_ratio: f64,
    pub(super) process_cores_per_call: Option<f64>,
    pub(super) event_loop_delay_ms: f64,
    pub(super) memory_used_ratio: f64,
    pub(super) resident_bytes: Option<u64>,
    pub(super) descriptors_used_ratio: f64,
    pub(super) strained: Option<Clean>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Worker {
    pub(super) tenant: Clean,
    pub(super) state: Clean,
    pub(super) reason: Option<Clean>,
    pub(super) since: DateTime<Utc>,
    pub(super) active_calls: Option<u32>,
    pub(super) restarts: Option<u32>,
}

impl Worker {
    /// Whether somebody should look at it.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.reason.is_some() || !matches!(self.state.as_str(), "registered" | "disabled")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) id: Clean,
    pub(super) tenant: Option<Clean>,
    pub(super) step: Clean,
    pub(super) caller: Option<Clean>,
    pub(super) called: Option<Clean>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) replies: Option<u32>,
    pub(super) timeline: Vec<Reached>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reached {
    pub(super) step: Clean,
    pub(super) at_ms: i64,
}

/// From one step of a call to another, and how long that may take before it is marked.
struct Stretch {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    limit_ms: i64,
}

/// What callers notice, by docs/operations.md: 1 s of lookup is a second more of
/// ringing; half a second of silence behind the answer is taken for a dead line.
const STRETCHES: [Stretch; 6] = [
    // The room is joined in some 100 ms.
    stretch("join", "assigned", "joined", 1_000),
    stretch("lookup", "joined", "configured", 1_000),
    stretch("model", "configured", "model_ready", 1_000),
    // Three seconds are the second ring in most countries.
    stretch("answer", "assigned", "answered", 3_000),
    stretch("media", "answered", "active", 1_000),
    stretch("first sound", "active", "first_sound", 500),
];

/// A step that is not over is marked so much later: the API's clock is told in whole
/// seconds, and the picture is up to one second old.
const UNSURE_MS: i64 = 1_500;

const fn stretch(
    name: &'static str,
    from: &'static str,
    to: &'static str,
    limit_ms: i64,
) -> Stretch {
    Stretch {
        name,
        from,
        to,
        limit_ms,
    }
}

/// A part of a call that took, or takes, longer than it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Slow {
    pub(super) part: &'static str,
    pub(super) took_ms: i64,
    pub(super) limit_ms: i64,
    /// Whether it is over.
    pub(super) is_over: bool,
}

impl Call {
    pub(super) fn age_s(&self, now: DateTime<Utc>) -> i64 {
        (now - self.started_at).num_seconds().max(0)
    }

    pub(super) fn turns(&self) -> u32 {
        self.replies.unwrap_or_default()
    }

    fn reached(&self, step: &str) -> Option<i64> {
        let reached = self.timeline.iter().find(|r| r.step.as_str() == step);
        reached.map(|reached| reached.at_ms)
    }

    /// What is slow, the worst first.
    pub(super) fn slow(&self, now: DateTime<Utc>) -> Vec<Slow> {
        let age_ms = (now - self.started_at).num_milliseconds();
        let ended = self.reached("ended").is_some();
        let mut slow: Vec<Slow> = STRETCHES
            .iter()
            .filter_map(|stretch| {
                let from = self.reached(stretch.from)?;
                let (took_ms, is_over) = match self.reached(stretch.to) {
                    Some(to) => (to.saturating_sub(from), true),
                    // It will not come any more.
                    None if ended => return None,
                    None => (age_ms.saturating_sub(from).saturating_sub(UNSURE_MS), false),
                };
                (took_ms > stretch.limit_ms).then_some(Slow {
                    part: stretch.name,
                    took_ms,
                    limit_ms: stretch.limit_ms,
                    is_over,
                })
            })
            .collect();
        slow.sort_by_key(|slow| std::cmp::Reverse(slow.took_ms * 1_000 / slow.limit_ms));
        slow
    }
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    pub(in super::super) const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    pub(in super::super) fn call(tenant: &str, timeline: &[(&str, i64)]) -> Call {
        Call {
            id: Clean::new(&format!("id-of-{tenant}")),
            tenant: Some(Clean::new(tenant)),
            step: Clean::new("talking"),
            caller: Some(Clean::new("…1111")),
            called: Some(Clean::new("…2222")),
            started_at: START,
            replies: Some(2),
            timeline: timeline
                .iter()
                .map(|(step, at_ms)| Reached {
                    step: Clean::new(step),
                    at_ms: *at_ms,
                })
                .collect(),
        }
    }

    #[test]
    fn what_comes_from_outside_cannot_command_the_terminal() {
        let text = "a\u{1b}[31m\u{9b}31m\u{202e}b\r\n\u{7f}";
        let clean: Clean = serde_json::from_value(json!(text)).unwrap();
        assert_eq!(
            clean.as_str(),
            "a\u{fffd}[31m\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}\u{fffd}"
        );
        let long = "x".repeat(1_000_000);
        assert_eq!(Clean::new(&long).as_str().len(), MAX_CHARS);
    }

    #[test]
    fn a_quick_call_has_no_mark_and_a_slow_one_the_worst_first() {
        let quick = [
            ("assigned", 0),
            ("joined", 90),
            ("configured", 400),
            ("model_ready", 700),
            ("answered", 900),
            ("active", 950),
            ("first_sound", 1_000),
        ];
        let now = START + TimeDelta::seconds(60);
        assert_eq!(call("a", &quick).slow(now), []);
        let slow = [
            ("assigned", 0),
            ("joined", 90),
            ("configured", 1_900),
            ("model_ready", 100),
            ("answered", 2_000),
            ("active", 2_050),
            ("first_sound", 4_050),
        ];
        let slow = call("a", &slow).slow(now);
        let told: Vec<_> = slow
            .iter()
            .map(|s| (s.part, s.took_ms, s.is_over))
            .collect();
        assert_eq!(
            told,
            [("first sound", 2_000, true), ("lookup", 1_810, true)]
        );
    }

    #[test]
    fn a_step_that_does_not_come_is_marked_while_it_is_waited_for() {
        let waiting = call("a", &[("assigned", 0), ("joined", 500)]);
        let at = |seconds| START + TimeDelta::seconds(seconds);
        assert_eq!(waiting.slow(at(2)), []);
        let slow = waiting.slow(at(4));
        assert_eq!(
            (slow[0].part, slow[0].took_ms, slow[0].is_over),
            ("lookup", 2_000, false)
        );
        let over = call("a", &[("assigned", 0), ("joined", 500), ("ended", 900)]);
        assert_eq!(over.slow(at(60)), []);
    }
}
