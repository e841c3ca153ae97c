//! When to ask the vendor whether it is there, and when to give it up. Pure:
//! time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::{CloseReason, Options};

/// How long bytes of ours may wait to be taken. A live vendor reads at once; 5 s
/// of audio would be useless anyway.
const STUCK_LIMIT: Duration = Duration::from_secs(5);
/// How long an event may wait for the call. A call takes events within
/// milliseconds; one that does not has hung.
const UNHEARD_LIMIT: Duration = Duration::from_secs(10);

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Nothing,
    Ping,
    GiveUp(CloseReason),
}

/// Since when each side waits for the other.
#[derive(Debug)]
pub(crate) struct Liveness {
    ping_interval: Duration,
    silence_limit: Duration,
    heard: Instant,
    pinged: Instant,
    unsent_since: Option<Instant>,
    untaken_since: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(options: &Options, now: Instant) -> Self {
        Self {
            ping_interval: options.ping_interval(),
            silence_limit: options.silence_limit(),
            heard: now,
            pinged: now,
            unsent_since: None,
            untaken_since: None,
        }
    }

    /// Something came from the vendor.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Whether bytes wait for the vendor. `progress`: some went since last told.
    pub(crate) fn sending(&mut self, waits: Waits, progress: Progress, now: Instant) {
        match (waits, progress) {
            (Waits::No, _) => self.unsent_since = None,
            (Waits::Yes, Progress::Some) => self.unsent_since = Some(now),
            (Waits::Yes, Progress::None) => {
                self.unsent_since.get_or_insert(now);
            }
        }
    }

    /// Whether events wait for the call. While they do the socket is not read,
    /// so the vendor's silence begins anew when they are taken.
    pub(crate) fn delivering(&mut self, waits: Waits, now: Instant) {
        match waits {
            Waits::Yes => {
                self.untaken_since.get_or_insert(now);
            }
            Waits::No => {
                if self.untaken_since.take().is_some() {
                    self.heard = now;
                }
            }
        }
    }

    pub(crate) fn check(&mut self, now: Instant) -> Check {
        let over = |since: Option<Instant>, limit| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        if over(self.untaken_since, UNHEARD_LIMIT) {
            return Check::GiveUp(CloseReason::Unheard);
        }
        if over(self.unsent_since, STUCK_LIMIT) {
            return Check::GiveUp(CloseReason::Stuck);
        }
        if self.untaken_since.is_some() {
            return Check::Nothing;
        }
        if over(Some(self.heard), self.silence_limit) {
            return Check::GiveUp(CloseReason::Silent);
        }
        if over(Some(self.heard.max(self.pinged)), self.ping_interval) {
            self.pinged = now;
            return Check::Ping;
        }
        Check::Nothing
    }
}

/// Whether something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    Yes,
    No,
}

/// Whether something moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Some,
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_vendor_is_pinged_and_then_given_up() {
        let t = Instant::now();
        let mut live = Liveness::new(&Options::default(), t);
        assert_eq!(live.check(at(t, 4)), Check::Nothing);
        assert_eq!(live.check(at(t, 5)), Check::Ping);
        assert_eq!(live.check(at(t, 6)), Check::Nothing);
        assert_eq!(live.check(at(t, 10)), Check::Ping);
        assert_eq!(live.check(at(t, 15)), Check::GiveUp(CloseReason::Silent));
    }

    #[test]
    fn whatever_comes_is_a_sign_of_life() {
        let t = Instant::now();
        let mut live = Liveness::new(&Options::default(), t);
        for second in 1..100 {
            live.heard(at(t, second));
            assert_eq!(live.check(at(t, second)), Check::Nothing);
        }
    }

    #[test]
    fn a_vendor_that_stops_reading_is_given_up() {
        let t = Instant::now();
        let mut live = Liveness::new(&Options::default(), t);
        live.sending(Waits::Yes, Progress::None, t);
        live.sending(Waits::Yes, Progress::Some, at(t, 3));
        live.heard(at(t, 7));
        assert_eq!(live.check(at(t, 7)), Check::Nothing);
        live.sending(Waits::Yes, Progress::None, at(t, 7));
        live.heard(at(t, 8));
        assert_eq!(live.check(at(t, 8)), Check::GiveUp(CloseReason::Stuck));
        live.sending(Waits::No, Progress::Some, at(t, 8));
        assert_eq!(live.check(at(t, 8)), Check::Nothing);
    }

    #[test]
    fn a_call_that_does_not_listen_is_not_taken_for_a_dead_vendor() {
        let t = Instant::now();
        let options = Options {
            silence_limit_ms: 8_000,
            ..Options::default()
        };
        let mut live = Liveness::new(&options, t);
        live.delivering(Waits::Yes, at(t, 1));
        assert_eq!(live.check(at(t, 10)), Check::Nothing);
        assert_eq!(live.check(at(t, 11)), Check::GiveUp(CloseReason::Unheard));
        live.delivering(Waits::No, at(t, 11));
        assert_eq!(live.check(at(t, 11)), Check::Nothing);
    }
}
