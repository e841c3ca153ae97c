//! The deadlines of a call.

use std::time::Instant;

/// What is waited for. When several are due, the first of this list is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of what is being said, or of the phone side's leaving.
    End,
    /// The phone side's coming into the room.
    Caller,
    /// The phone side's being seen again.
    Missing,
    /// The end of the longest call that is allowed.
    Longest,
    /// The word to the caller that the end is near.
    Warning,
    /// `active`.
    Active,
    /// The model's voice.
    Reply,
    /// The model's being asked again.
    Again,
    /// A new session in the place of one that was lost.
    Recovery,
    /// The end of the ringing.
    Answer,
    /// The caller's voice.
    Silence,
    /// The next key that the caller presses.
    Keys,
    /// The end of a session that is as old as it may get.
    Renewal,
}

const ALL: [Timer; 13] = [
    Timer::End,
    Timer::Caller,
    Timer::Missing,
    Timer::Longest,
    Timer::Warning,
    Timer::Active,
    Timer::Reply,
    Timer::Again,
    Timer::Recovery,
    Timer::Answer,
    Timer::Silence,
    Timer::Keys,
    Timer::Renewal,
];

/// The deadlines of a call.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<Instant>; ALL.len()],
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.at[timer as usize] = Some(at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.at[timer as usize]
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.get(timer).is_some()
    }

    /// The nearest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.at.iter().copied().flatten().min()
    }

    /// Takes the first that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = |timer: &Timer| self.get(*timer).is_some_and(|at| at <= now);
        let timer = ALL.into_iter().find(due)?;
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_timer_has_a_place_of_its_own_and_is_told_once() {
        let now = Instant::now();
        let mut timers = Timers::default();
        for (place, timer) in ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
            timers.set(timer, now);
        }
        for timer in ALL {
            assert_eq!(timers.take_due(now), Some(timer));
        }
        assert_eq!(timers.take_due(now), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn what_is_not_due_is_kept() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut timers = Timers::default();
        timers.set(Timer::Reply, later);
        assert_eq!(timers.take_due(now), None);
        assert_eq!(timers.next(), Some(later));
    }
}
