use proptest::prelude::*;

use super::*;

const MS: i64 = TICKS_PER_MS;
const PACKET: i64 = 20 * MS;

/// The mode byte of a SILK wideband packet of 20 ms, the flag of a coarse copy, and a body that
/// marks the packet.
fn payload(marker: u8) -> [u8; 4] {
    [9 << 3, 0x40, marker, 0]
}

/// A buffer, a clock and a sender whose packets carry their number.
struct Link {
    buffer: JitterBuffer,
    first_seq: u16,
    first_timestamp: u32,
}

impl Link {
    fn new() -> Self {
        Self::starting_at(100, 5_000)
    }

    fn starting_at(first_seq: u16, first_timestamp: u32) -> Self {
        Self {
            buffer: JitterBuffer::new(),
            first_seq,
            first_timestamp,
        }
    }

    /// Packet `number` arrives at `now`, its timestamp `late` ticks further than its number says.
    fn arrives_after_silence(&mut self, now: i64, number: u16, silence: i64) -> Insertion {
        let timestamp = self
            .first_timestamp
            .wrapping_add(u32::from(number) * 960 + silence as u32);
        let seq = self.first_seq.wrapping_add(number);
        self.buffer
            .insert(now, seq, timestamp, &payload(number as u8))
    }

    fn arrives(&mut self, now: i64, number: u16) -> Insertion {
        self.arrives_after_silence(now, number, 0)
    }

    /// What is played at `now`: the packet's number, or the kind of filling.
    fn plays(&mut self, now: i64) -> Played {
        match self.buffer.next(now) {
            Step::Play(packet) => {
                let number = packet.payload[2];
                self.buffer.recycle(packet);
                Played::Packet(number)
            }
            Step::Recover(ticks) => Played::Recovered(i64::from(ticks) / MS),
            Step::Conceal(ticks) => Played::Concealed(i64::from(ticks) / MS),
            Step::Stretch(ticks) => Played::Stretched(i64::from(ticks) / MS),
            Step::Idle => Played::Nothing,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Played {
    Packet(u8),
    Recovered(i64),
    Concealed(i64),
    Stretched(i64),
    Nothing,
}

use Played::{Concealed, Nothing, Packet as Number, Recovered, Stretched};

/// After the first packet has been held for as long as a new stream's packets are.
const STARTED: i64 = 30 * MS;

#[test]
fn the_first_packet_is_held_and_then_they_follow_in_order() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(10 * MS), Nothing);
    link.arrives(PACKET, 1);
    assert_eq!(link.plays(STARTED), Number(0));
    assert_eq!(link.plays(STARTED + PACKET), Number(1));
}

#[test]
fn packets_longer_than_any_sender_makes_are_not_held() {
    let mut jitter = JitterBuffer::new();
    let mut long = vec![72; opus_packet::MAX_BYTES + 1];
    assert_eq!(jitter.insert(0, 1, 0, &long), Insertion::Invalid);
    long.pop();
    assert_eq!(jitter.insert(0, 1, 0, &long), Insertion::Queued);
}

#[test]
fn reordered_packets_are_put_in_order_and_duplicates_go() {
    let mut link = Link::new();
    link.arrives(0, 0);
    link.arrives(21 * MS, 2);
    assert_eq!(link.arrives(22 * MS, 1), Insertion::Queued);
    assert_eq!(link.arrives(23 * MS, 1), Insertion::Duplicate);
    assert_eq!(link.plays(STARTED), Number(0));
    assert_eq!(link.arrives(STARTED, 0), Insertion::Late);
    assert_eq!(link.plays(STARTED + PACKET), Number(1));
    assert_eq!(link.plays(STARTED + 2 * PACKET), Number(2));
}

#[test]
fn a_lost_packet_is_recovered_from_the_next() {
    let mut link = Link::new();
    link.arrives(0, 0);
    link.arrives(2 * PACKET, 2);
    assert_eq!(link.plays(STARTED), Number(0));
    assert_eq!(link.plays(STARTED + PACKET), Recovered(20));
    assert_eq!(link.plays(STARTED + 2 * PACKET), Number(2));
}

#[test]
fn of_two_lost_packets_the_first_is_concealed() {
    let mut link = Link::new();
    link.arrives(0, 0);
    link.arrives(3 * PACKET, 3);
    assert_eq!(link.plays(STARTED + PACKET), Number(0));
    assert_eq!(link.plays(STARTED + PACKET), Concealed(20));
    assert_eq!(link.plays(STARTED + 2 * PACKET), Recovered(20));
    assert_eq!(link.plays(STARTED + 3 * PACKET), Number(3));
}

#[test]
fn a_packet_that_is_only_late_is_played_after_a_stretch() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(STARTED), Number(0));
    assert_eq!(link.plays(STARTED + PACKET), Stretched(10));
    assert_eq!(link.plays(STARTED + PACKET + 10 * MS), Stretched(10));
    link.arrives(STARTED + PACKET + 15 * MS, 1);
    assert_eq!(link.plays(STARTED + 2 * PACKET), Number(1));
}

#[test]
fn what_was_stretched_counts_for_what_was_lost() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(STARTED), Number(0));
    assert_eq!(link.plays(STARTED + PACKET), Stretched(10));
    assert_eq!(link.plays(STARTED + PACKET + 10 * MS), Stretched(10));
    link.arrives(STARTED + PACKET + 15 * MS, 2);
    assert_eq!(link.plays(STARTED + 2 * PACKET), Number(2));
}

#[test]
fn with_nothing_to_play_stretching_gives_way_to_silence() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(STARTED), Number(0));
    let mut stretched = 0;
    let mut now = STARTED + PACKET;
    while let Stretched(ms) = link.plays(now) {
        stretched += ms;
        now += 10 * MS;
    }
    assert_eq!(stretched, 100);
    assert_eq!(link.plays(now + 60_000 * MS), Nothing);
}

#[test]
fn silence_that_was_not_sent_is_not_loss() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(STARTED), Number(0));
    // 200 ms later by its timestamp, and in time for that.
    link.arrives_after_silence(PACKET + 200 * MS, 1, 200 * MS);
    assert!(matches!(link.plays(PACKET + 201 * MS), Stretched(_)));
    assert_eq!(link.plays(STARTED + PACKET + 200 * MS), Number(1));
}

#[test]
fn sequence_numbers_and_timestamps_wrap() {
    let mut link = Link::starting_at(u16::MAX - 2, u32::MAX - 2_000);
    for number in 0..20u16 {
        let now = i64::from(number) * PACKET;
        assert_eq!(link.arrives(now, number), Insertion::Queued);
        if number >= 2 {
            assert_eq!(link.plays(now), Number(number as u8 - 2));
        }
    }
}

#[test]
fn a_sender_that_starts_anew_is_followed() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(STARTED), Number(0));
    link.first_seq = 40_000;
    link.first_timestamp = 4_000_000_000;
    assert_eq!(link.arrives(1_000 * MS, 0), Insertion::Restarted);
    assert_eq!(link.plays(1_000 * MS + STARTED), Number(0));
}

#[test]
fn after_a_stall_what_can_be_caught_up_with_is_kept() {
    let mut link = Link::new();
    link.arrives(0, 0);
    assert_eq!(link.plays(STARTED), Number(0));
    // Three seconds of packets come at once.
    let now = 3_000 * MS;
    for number in 1..=150 {
        link.arrives(now, number);
    }
    let Number(first) = link.plays(now) else {
        panic!("there is something to play")
    };
    assert!((51..=110).contains(&first), "{first}");
    assert!(
        link.buffer
            .following_due()
            .is_some_and(|due| now - due <= MAX_LAG)
    );
}

#[test]
fn what_is_not_opus_is_refused() {
    let mut link = Link::new();
    assert_eq!(link.buffer.insert(0, 1, 1, &[]), Insertion::Invalid);
    // Two frames said, of different sizes, with no size given; then a frame count of 63.
    assert_eq!(
        link.buffer.insert(0, 1, 1, &[(9 << 3) | 3, 63]),
        Insertion::Invalid
    );
}

proptest! {
    /// Whatever arrives in whatever order: no packet is played twice or after a later one, and
    /// what is held stays bounded.
    #[test]
    fn packets_are_played_once_and_in_order(
        arrivals in prop::collection::vec((0u16..400, 0i64..40), 1..400),
        first_seq: u16,
        first_timestamp: u32,
    ) {
        let mut link = Link::starting_at(first_seq, first_timestamp);
        let mut now = 0;
        let mut last = -1i64;
        for (jump, pause) in arrivals {
            now += pause * MS;
            // Near where a sender would be by now.
            let number = (now / PACKET) as u16 + jump / 20;
            let timestamp = first_timestamp.wrapping_add(u32::from(number) * 960);
            let mut body = [9 << 3, 0, 0, 0];
            body[1..3].copy_from_slice(&number.to_be_bytes());
            link.buffer.insert(now, first_seq.wrapping_add(number), timestamp, &body);
            prop_assert!(link.buffer.packets.len() <= MAX_PACKETS);
            match link.buffer.next(now) {
                Step::Play(packet) => {
                    let number = i64::from(u16::from_be_bytes([packet.payload[1], packet.payload[2]]));
                    prop_assert!(number > last, "{} after {}", number, last);
                    last = number;
                    link.buffer.recycle(packet);
                }
                Step::Recover(ticks) => {
                    prop_assert!(link.buffer.front().is_some());
                    prop_assert!(ticks > 0 && ticks <= opus_packet::MAX_TICKS);
                }
                Step::Conceal(ticks) | Step::Stretch(ticks) => {
                    prop_assert!(ticks > 0 && i64::from(ticks) <= MAX_CONCEALED_HOLE);
                }
                Step::Idle => {}
            }
        }
    }

    /// Any bytes at all are taken or refused, and never upset the buffer.
    #[test]
    fn hostile_packets_do_no_harm(
        packets in prop::collection::vec(
            (any::<u16>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..20), 0i64..100),
            1..200,
        ),
    ) {
        let mut buffer = JitterBuffer::new();
        let mut now = 0;
        for (seq, timestamp, payload, pause) in packets {
            now += pause * MS;
            buffer.insert(now, seq, timestamp, &payload);
            for _ in 0..3 {
                match buffer.next(now) {
                    Step::Play(packet) => buffer.recycle(packet),
                    Step::Recover(ticks) | Step::Conceal(ticks) | Step::Stretch(ticks) => {
                        prop_assert!(ticks <= opus_packet::MAX_TICKS);
                    }
                    Step::Idle => break,
                }
            }
            prop_assert!(buffer.packets.len() <= MAX_PACKETS);
        }
    }
}
