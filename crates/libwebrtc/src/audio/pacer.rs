//! When to send which kind of packet. Pure.
//!
//! The policy: while there is audio, a packet every 20 ms. Audio that is late by less than the
//! patience is sent as if it had followed at once (a source's jitter is the receiver's to
//! smooth). When it stays away, some packets of silence let decoders settle, and then a
//! one-byte keep-alive now and then says that the track lives: servers take a track without
//! packets for lost, and announce it only once packets came. The media clock never stops.

use std::time::{Duration, Instant};

use super::format::{CLOCK_HZ, PACKET, PACKET_TICKS};

/// How long audio may be late before its absence counts as silence. Two packets: a receiver that
/// has nothing conceals, and libopus' concealment of speech is down by 9 dB by then.
const PATIENCE: Duration = Duration::from_millis(40);

/// Packets of silence after audio has ended, with the one that says so. 100 ms clears libopus' look-ahead and its
/// adaptation, so that the decoder's comfort noise is silence.
const SETTLE_PACKETS: u8 = 5;

/// Packets of silence when a track starts. 200 ms of packets make it certain that a server
/// notices the track even where the first are lost while it sets up decryption.
const START_PACKETS: u8 = 10;

/// How often a silent track says that it lives. What libopus' own silence suppression does.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_millis(400);

/// A driver that is late by more than this does not catch up packet by packet: a burst of more
/// than three is only jitter for the receiver.
const MAX_CATCH_UP: Duration = Duration::from_millis(60);

/// A pause in polling (the sender was inactive, the connection restarted) after which the media
/// clock follows the wall clock again.
const POLLING_PAUSE: Duration = Duration::from_millis(200);

/// By how much a packet may leave earlier than 20 ms after the one before, to leave when the driver
/// is awake anyway. Within what timers are late by.
const MAX_STEP: Duration = Duration::from_micros(500);

/// What a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// At least a packet's worth.
    Packet,
    /// Something, less than a packet's worth.
    Rest,
    /// Nothing; there may be more soon.
    Nothing,
    /// Nothing, and that is meant: it was cut off or muted.
    Over,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Encode the next audio, filled up with silence where it is less than a packet's worth.
    Audio(Step),
    /// Encode silence.
    Silence(Step),
    /// Send the codec's shortest packet.
    KeepAlive(Step),
    /// Nothing until [`Pacer::next_poll`], or until there is a packet's worth.
    Wait,
}

/// How the media clock goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// From the previous packet to this one.
    pub(crate) ticks: u32,
    /// Whether sound begins here after silence.
    pub(crate) onset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Sending audio; `starved` once a packet was due and there was not enough.
    Talking {
        starved: bool,
    },
    /// So many packets of silence are still to come.
    Settling(u8),
    Quiet,
}

/// The clock of one sender.
#[derive(Debug)]
pub(crate) struct Pacer {
    phase: Phase,
    /// When the next packet is due.
    due: Instant,
    /// The moment on the wall clock that the previous packet stands for.
    sent: Option<Instant>,
    /// Whether silence is sent like anything else.
    is_continuous: bool,
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Settling(START_PACKETS),
            due: now,
            sent: None,
            is_continuous: false,
        }
    }

    /// Sends silence packet by packet from now on, or no longer.
    pub(crate) fn set_continuous(&mut self, is_continuous: bool) {
        self.is_continuous = is_continuous;
    }

    /// Lets the next packet leave a little earlier, if that brings it nearer to `at`, or to a whole
    /// number of packets from there. For while there is audio to send earlier.
    pub(crate) fn approach(&mut self, at: Instant) {
        if self.phase != (Phase::Talking { starved: false }) {
            return;
        }
        let packet = PACKET.as_nanos() as i128;
        let after = self.due.saturating_duration_since(at).as_nanos() as i128
            - at.saturating_duration_since(self.due).as_nanos() as i128;
        // Below a packet.
        let after = Duration::from_nanos(after.rem_euclid(packet) as u64);
        self.due = self
            .due
            .checked_sub(after.min(MAX_STEP))
            .unwrap_or(self.due);
    }

    pub(crate) fn next_poll(&self) -> Instant {
        match self.phase {
            Phase::Talking { starved: true } => self.due + PATIENCE,
            Phase::Talking { .. } | Phase::Settling(_) | Phase::Quiet => self.due,
        }
    }

    pub(crate) fn decide(&mut self, now: Instant, supply: Supply) -> Action {
        let after_pause = self.forgive_lateness(now, supply);
        match (self.phase, supply) {
            (Phase::Quiet, Supply::Packet) => {
                let earliest = self.sent.map_or(now, |sent| sent + PACKET);
                if now < earliest {
                    self.due = earliest;
                    return Action::Wait;
                }
                self.due = now;
                self.talk(true)
            }
            _ if now < self.due => Action::Wait,
            (Phase::Settling(_), Supply::Packet) => self.talk(true),
            (Phase::Quiet | Phase::Settling(_), Supply::Rest) => {
                let action = Action::Audio(self.step(true));
                self.phase = Phase::Settling(SETTLE_PACKETS);
                action
            }
            (Phase::Quiet, Supply::Nothing | Supply::Over) if self.is_continuous => {
                self.settle(SETTLE_PACKETS)
            }
            (Phase::Quiet, Supply::Nothing | Supply::Over) => {
                let action = Action::KeepAlive(self.step(false));
                self.due += KEEP_ALIVE - PACKET;
                action
            }
            (Phase::Settling(left), Supply::Nothing | Supply::Over) => self.settle(left),
            (Phase::Talking { starved }, Supply::Packet) => {
                if starved && !after_pause {
                    self.follow_on(now);
                }
                self.talk(false)
            }
            (Phase::Talking { .. }, Supply::Rest | Supply::Nothing)
                if now < self.due + PATIENCE =>
            {
                self.phase = Phase::Talking { starved: true };
                Action::Wait
            }
            (Phase::Talking { .. }, Supply::Rest) => {
                self.follow_on(now);
                let action = Action::Audio(self.step(false));
                self.phase = Phase::Settling(SETTLE_PACKETS);
                action
            }
            (Phase::Talking { .. }, Supply::Nothing | Supply::Over) => {
                self.due = now;
                self.settle(SETTLE_PACKETS)
            }
        }
    }

    /// Lets go of packets that were due long ago. Answers whether polling had paused.
    fn forgive_lateness(&mut self, now: Instant, supply: Supply) -> bool {
        let late = now.saturating_duration_since(self.due);
        let starving = matches!(self.phase, Phase::Talking { .. }) && supply != Supply::Packet;
        if starving || late <= MAX_CATCH_UP {
            return false;
        }
        if matches!(self.phase, Phase::Talking { .. }) && late < POLLING_PAUSE {
            self.follow_on(now);
            return false;
        }
        self.due = now;
        true
    }

    /// Late audio follows what went before without a gap, and sets the pace from now on.
    fn follow_on(&mut self, now: Instant) {
        self.sent = now.checked_sub(PACKET);
        self.due = now;
    }

    fn talk(&mut self, onset: bool) -> Action {
        let step = self.step(onset);
        self.phase = Phase::Talking { starved: false };
        Action::Audio(step)
    }

    fn settle(&mut self, left: u8) -> Action {
        let step = self.step(false);
        self.phase = if self.is_continuous {
            Phase::Settling(left)
        } else if left > 1 {
            Phase::Settling(left - 1)
        } else {
            Phase::Quiet
        };
        if self.phase == Phase::Quiet {
            self.due += KEEP_ALIVE - PACKET;
            // That nothing more comes is said, lest it be taken for lost.
            return Action::KeepAlive(step);
        }
        Action::Silence(step)
    }

    /// A packet for the moment that is due.
    fn step(&mut self, onset: bool) -> Step {
        let ticks = match self.sent {
            // A packet never begins before the previous one has ended.
            Some(sent) => ticks(self.due.saturating_duration_since(sent)).max(PACKET_TICKS),
            None => PACKET_TICKS,
        };
        self.sent = Some(self.due);
        self.due += PACKET;
        Step { ticks, onset }
    }
}

/// On the media clock, which wraps after a day: longer pauses need not be told apart.
fn ticks(duration: Duration) -> u32 {
    (duration.as_micros() * u128::from(CLOCK_HZ) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_continuous_sender_goes_on_through_silence() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_continuous(true);
        let mut packets = 0;
        for ms in 0..2_000 {
            let now = start + Duration::from_millis(ms);
            while pacer.decide(now, Supply::Nothing) != Action::Wait {
                packets += 1;
            }
        }
        assert_eq!(packets, 100);
    }

    const MS: Duration = Duration::from_millis(1);

    /// A pacer that has started, is quiet, and sent its last packet just now.
    fn quiet(now: Instant) -> (Pacer, Instant) {
        let mut pacer = Pacer::new(now);
        let mut at = now;
        for _ in 0..START_PACKETS {
            assert!(matches!(
                pacer.decide(at, Supply::Nothing),
                Action::Silence(_) | Action::KeepAlive(_)
            ));
            at += PACKET;
        }
        (pacer, at - PACKET)
    }

    fn step(action: Action) -> Step {
        match action {
            Action::Audio(step) | Action::Silence(step) | Action::KeepAlive(step) => step,
            Action::Wait => panic!("nothing was sent"),
        }
    }

    #[test]
    fn a_track_without_audio_starts_with_silence_and_then_keeps_alive() {
        let (mut pacer, now) = quiet(Instant::now());
        assert_eq!(pacer.next_poll(), now + KEEP_ALIVE);
        assert_eq!(pacer.decide(now + 100 * MS, Supply::Nothing), Action::Wait);
        let action = pacer.decide(now + KEEP_ALIVE, Supply::Nothing);
        assert_eq!(
            action,
            Action::KeepAlive(Step {
                ticks: 400 * 48,
                onset: false
            })
        );
    }

    #[test]
    fn audio_after_silence_goes_out_at_once_with_the_time_that_passed() {
        let (mut pacer, now) = quiet(Instant::now());
        let action = pacer.decide(now + 137 * MS, Supply::Packet);
        assert_eq!(
            action,
            Action::Audio(Step {
                ticks: 137 * 48,
                onset: true
            })
        );
        assert_eq!(pacer.next_poll(), now + 157 * MS);
    }

    #[test]
    fn packets_leave_every_20_ms_and_a_late_driver_catches_up() {
        let (mut pacer, now) = quiet(Instant::now());
        let start = now + 100 * MS;
        step(pacer.decide(start, Supply::Packet));
        assert_eq!(pacer.decide(start, Supply::Packet), Action::Wait);
        let late = start + 45 * MS;
        assert_eq!(step(pacer.decide(late, Supply::Packet)).ticks, PACKET_TICKS);
        assert_eq!(step(pacer.decide(late, Supply::Packet)).ticks, PACKET_TICKS);
        assert_eq!(pacer.decide(late, Supply::Packet), Action::Wait);
        assert_eq!(pacer.next_poll(), start + 60 * MS);
    }

    #[test]
    fn audio_that_is_a_little_late_follows_without_a_gap() {
        let (mut pacer, now) = quiet(Instant::now());
        let start = now + 100 * MS;
        step(pacer.decide(start, Supply::Packet));
        assert_eq!(pacer.decide(start + 20 * MS, Supply::Rest), Action::Wait);
        let late = start + 31 * MS;
        let action = pacer.decide(late, Supply::Packet);
        assert_eq!(
            action,
            Action::Audio(Step {
                ticks: PACKET_TICKS,
                onset: false
            })
        );
        assert_eq!(pacer.next_poll(), late + PACKET);
    }

    #[test]
    fn packets_come_to_leave_when_the_driver_is_awake() {
        let (mut pacer, now) = quiet(Instant::now());
        let start = now + 100 * MS;
        step(pacer.decide(start, Supply::Packet));
        let awake = start + 13 * MS;
        for _ in 0..30 {
            pacer.approach(awake);
            let due = pacer.next_poll();
            assert_eq!(step(pacer.decide(due, Supply::Packet)).ticks, PACKET_TICKS);
        }
        // 7 ms earlier than without.
        assert_eq!(pacer.next_poll(), awake + 30 * PACKET);
        pacer.approach(awake + 3 * PACKET);
        assert_eq!(pacer.next_poll(), awake + 30 * PACKET);
    }

    #[test]
    fn when_audio_ends_its_rest_and_some_silence_go_out() {
        let (mut pacer, now) = quiet(Instant::now());
        let start = now + 100 * MS;
        step(pacer.decide(start, Supply::Packet));
        assert_eq!(pacer.decide(start + 20 * MS, Supply::Rest), Action::Wait);
        let end = start + 60 * MS;
        assert_eq!(pacer.next_poll(), end);
        assert!(matches!(pacer.decide(end, Supply::Rest), Action::Audio(_)));
        let mut silence = 0;
        while let Action::Silence(_) = pacer.decide(pacer.next_poll(), Supply::Nothing) {
            silence += 1;
        }
        assert_eq!(
            silence,
            SETTLE_PACKETS - 1,
            "and then the news that no more comes"
        );
    }

    #[test]
    fn audio_that_was_cut_off_ends_with_the_next_packet() {
        let (mut pacer, now) = quiet(Instant::now());
        let start = now + 100 * MS;
        step(pacer.decide(start, Supply::Packet));
        assert_eq!(pacer.decide(start + 5 * MS, Supply::Over), Action::Wait);
        let action = pacer.decide(start + PACKET, Supply::Over);
        assert_eq!(
            action,
            Action::Silence(Step {
                ticks: PACKET_TICKS,
                onset: false
            })
        );
    }

    #[test]
    fn after_a_pause_in_polling_the_media_clock_follows_the_wall_clock() {
        let (mut pacer, now) = quiet(Instant::now());
        let start = now + 100 * MS;
        step(pacer.decide(start, Supply::Packet));
        let later = start + 10_000 * MS;
        assert_eq!(step(pacer.decide(later, Supply::Packet)).ticks, 10_000 * 48);
        assert_eq!(pacer.decide(later, Supply::Packet), Action::Wait);
    }

    proptest! {
        /// However late it is polled and whatever the source has: packets never overlap, the
        /// media clock never runs ahead of the wall clock, and a poll at `next_poll` either
        /// sends or moves it.
        #[test]
        fn the_media_clock_never_overtakes_the_wall_clock(
            polls in prop::collection::vec((0u64..300, 0u8..4), 1..300)
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut pacer = Pacer::new(now);
            let mut media = 0u64;
            let mut sent = 0u64;
            for (wait, supply) in polls {
                now += wait as u32 * MS;
                let supply = [Supply::Nothing, Supply::Rest, Supply::Packet, Supply::Over]
                    [supply as usize];
                for _ in 0..4 {
                    match pacer.decide(now, supply) {
                        Action::Wait => break,
                        action => {
                            let ticks = step(action).ticks;
                            prop_assert!(ticks >= PACKET_TICKS);
                            media += u64::from(ticks);
                            sent += 1;
                        }
                    }
                }
                prop_assert_eq!(pacer.decide(now, supply), Action::Wait, "a burst without end");
                let wall = u64::from(ticks(now - start));
                prop_assert!(media <= wall + 2 * u64::from(PACKET_TICKS));
                prop_assert!(pacer.next_poll() > now);
                prop_assert!(pacer.next_poll() <= now + KEEP_ALIVE);
            }
            prop_assert!(sent > 0);
        }
    }
}
