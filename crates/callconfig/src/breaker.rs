//! The circuit breaker of one backend. Pure: time and jitter are arguments.
//!
//! Policy: a backend that did not answer several calls in a row is not asked for a while,
//! so that callers do not wait for what will not come and a struggling backend has peace.
//! Then one call asks, and the others still do not; what comes of it decides. Any answer
//! that a backend gives in time, a refusal included, shows that it is there.
//!
//! ```text
//! closed ──N failures in a row──► open ──pause over, next call──► half-open
//!   ▲                              ▲ │                              │  │
//!   └──────any success─────────────┼─┴──────────────────────────────┘  │
//!                                  └────────the probe failed───────────┘
//! ```

use std::time::{Duration, Instant};

/// No probe takes longer: a lookup's longest deadline is 30 s. One of which nothing was
/// heard for so long is lost, and another may be made.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// The longest nominal pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Failures in a row that open it. 0: it never opens.
    pub(crate) failures: u32,
    /// The first nominal pause. It doubles with each probe that fails.
    pub(crate) pause: Duration,
}

impl Limits {
    /// The pause after `probes` failed probes, without jitter.
    fn nominal(&self, probes: u32) -> Duration {
        let doubled = self.pause.saturating_mul(1 << probes.min(16));
        doubled.min(LONGEST_PAUSE.max(self.pause))
    }
}

/// Whether a call may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It may.
    Ask,
    /// It may, and what comes of it decides for the others.
    Probe,
}

/// What is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// From now on nobody asks, for so long.
    Opened(Duration),
    /// Everybody asks again.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, probes: u32 },
    HalfOpen { since: Instant, probes: u32 },
}

/// The breaker of one backend.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: Limits,
    state: State,
}

impl Breaker {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Closed { failures: 0 },
        }
    }

    /// Nothing is remembered: another in its place would do the same.
    pub(crate) fn is_new(&self) -> bool {
        self.state == State::Closed { failures: 0 }
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// A call wants to ask. `None`: it must not.
    pub(crate) fn ask(&mut self, now: Instant) -> Option<Permit> {
        match self.state {
            State::Closed { .. } => Some(Permit::Ask),
            State::Open { until, probes } if until <= now => {
                self.state = State::HalfOpen { since: now, probes };
                Some(Permit::Probe)
            }
            State::HalfOpen { since, probes }
                if now.saturating_duration_since(since) >= PROBE_LIMIT =>
            {
                self.state = State::HalfOpen { since: now, probes };
                Some(Permit::Probe)
            }
            State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// The backend answered.
    pub(crate) fn succeeded(&mut self) -> Option<Change> {
        let was_open = self.is_open();
        self.state = State::Closed { failures: 0 };
        was_open.then_some(Change::Closed)
    }

    /// It did not. `jitter`, from 0 to 1, says where between half of the nominal pause and
    /// all of it.
    pub(crate) fn failed(&mut self, permit: Permit, now: Instant, jitter: f64) -> Option<Change> {
        match (self.state, permit) {
            (State::Closed { failures }, _) => {
                let failures = failures.saturating_add(1);
                if self.limits.failures == 0 || failures < self.limits.failures {
                    self.state = State::Closed { failures };
                    return None;
                }
                Some(self.open(now, 0, jitter))
            }
            (State::HalfOpen { probes, .. }, Permit::Probe) => {
                Some(self.open(now, probes.saturating_add(1), jitter))
            }
            // Calls that asked before it opened say nothing new.
            (State::Open { .. }, _) | (State::HalfOpen { .. }, Permit::Ask) => None,
        }
    }

    /// A call went away before anything came of its question.
    pub(crate) fn abandoned(&mut self, permit: Permit, now: Instant) {
        if let (State::HalfOpen { probes, .. }, Permit::Probe) = (self.state, permit) {
            // The next call asks.
            self.state = State::Open { until: now, probes };
        }
    }

    fn open(&mut self, now: Instant, probes: u32, jitter: f64) -> Change {
        let fraction = 0.5 + jitter.clamp(0.0, 1.0) / 2.0;
        let pause = self.limits.nominal(probes).mul_f64(fraction);
        // A clock that is at its end has no later time.
        let until = now.checked_add(pause).unwrap_or(now);
        self.state = State::Open { until, probes };
        Change::Opened(pause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        failures: 3,
        pause: Duration::from_secs(5),
    };

    fn opened() -> (Breaker, Instant) {
        let mut breaker = Breaker::new(LIMITS);
        let now = Instant::now();
        for _ in 0..2 {
            assert_eq!(breaker.ask(now), Some(Permit::Ask));
            assert_eq!(breaker.failed(Permit::Ask, now, 1.0), None);
        }
        let change = breaker.failed(Permit::Ask, now, 1.0);
        assert_eq!(change, Some(Change::Opened(Duration::from_secs(5))));
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not_count_on() {
        let mut breaker = Breaker::new(LIMITS);
        let now = Instant::now();
        for _ in 0..10 {
            breaker.failed(Permit::Ask, now, 0.0);
            breaker.failed(Permit::Ask, now, 0.0);
            assert_eq!(breaker.succeeded(), None);
        }
        assert!(breaker.is_new());
    }

    #[test]
    fn after_the_pause_one_call_asks_and_its_answer_closes_it() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.ask(now + Duration::from_millis(4_999)), None);
        let later = now + Duration::from_secs(5);
        assert_eq!(breaker.ask(later), Some(Permit::Probe));
        assert_eq!(breaker.ask(later), None, "one at a time");
        assert_eq!(breaker.succeeded(), Some(Change::Closed));
        assert_eq!(breaker.ask(later), Some(Permit::Ask));
    }

    #[test]
    fn probes_that_fail_make_the_pause_longer_up_to_a_minute() {
        let (mut breaker, mut now) = opened();
        for pause in [10, 20, 40, 60, 60] {
            now += Duration::from_secs(60);
            assert_eq!(breaker.ask(now), Some(Permit::Probe));
            let change = breaker.failed(Permit::Probe, now, 1.0);
            assert_eq!(change, Some(Change::Opened(Duration::from_secs(pause))));
        }
    }

    #[test]
    fn a_probe_whose_caller_hung_up_is_made_by_the_next() {
        let (mut breaker, now) = opened();
        let later = now + Duration::from_secs(5);
        assert_eq!(breaker.ask(later), Some(Permit::Probe));
        breaker.abandoned(Permit::Probe, later);
        assert_eq!(breaker.ask(later), Some(Permit::Probe));
        // One of which nothing is heard does not keep it open for ever.
        assert_eq!(breaker.ask(later + PROBE_LIMIT), Some(Permit::Probe));
    }

    #[test]
    fn with_no_limit_it_never_opens() {
        let limits = Limits {
            failures: 0,
            ..LIMITS
        };
        let mut breaker = Breaker::new(limits);
        let now = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(breaker.failed(Permit::Ask, now, 1.0), None);
        }
        assert_eq!(breaker.ask(now), Some(Permit::Ask));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask,
        Succeed(usize),
        Fail(usize, f64),
        Abandon(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Ask),
            1 => any::<usize>().prop_map(Step::Succeed),
            3 => (any::<usize>(), 0.0..=1.0).prop_map(|(n, jitter)| Step::Fail(n, jitter)),
            1 => any::<usize>().prop_map(Step::Abandon),
            2 => (0..20_000_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Calls that ask, and end in any order.
        #[test]
        fn it_holds_its_promises_whatever_happens(
            failures in 1..5_u32, steps in prop::collection::vec(step(), 1..300)
        ) {
            let mut breaker = Breaker::new(Limits { failures, ..LIMITS });
            let mut now = Instant::now();
            let mut under_way: Vec<Permit> = Vec::new();
            let mut in_row = 0;
            let mut not_before: Option<Instant> = None;
            for step in steps {
                match step {
                    Step::Ask => {
                        let permit = breaker.ask(now);
                        match not_before {
                            None => prop_assert_eq!(permit, Some(Permit::Ask)),
                            Some(time) if now < time => prop_assert_eq!(permit, None),
                            Some(_) => prop_assert_ne!(permit, Some(Permit::Ask)),
                        }
                        under_way.extend(permit);
                    }
                    Step::Succeed(n) if !under_way.is_empty() => {
                        under_way.remove(n % under_way.len());
                        let change = breaker.succeeded();
                        prop_assert_eq!(change.is_some(), not_before.is_some());
                        in_row = 0;
                        not_before = None;
                    }
                    Step::Fail(n, jitter) if !under_way.is_empty() => {
                        let permit = under_way.remove(n % under_way.len());
                        in_row += 1;
                        match breaker.failed(permit, now, jitter) {
                            Some(Change::Opened(pause)) => {
                                prop_assert!(in_row >= failures);
                                prop_assert!(pause >= LIMITS.pause / 2 && pause <= LONGEST_PAUSE);
                                not_before = Some(now + pause);
                            }
                            change => {
                                prop_assert_eq!(change, None);
                                prop_assert!(not_before.is_some() || in_row < failures);
                            }
                        }
                    }
                    Step::Abandon(n) if !under_way.is_empty() => {
                        let permit = under_way.remove(n % under_way.len());
                        breaker.abandoned(permit, now);
                    }
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                    Step::Succeed(_) | Step::Fail(..) | Step::Abandon(_) => {}
                }
                prop_assert_eq!(breaker.is_open(), not_before.is_some());
            }
            // It is never open for ever.
            now += LONGEST_PAUSE + PROBE_LIMIT;
            prop_assert!(breaker.ask(now).is_some());
        }
    }
}
