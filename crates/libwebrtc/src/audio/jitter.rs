//! Puts packets back in order and decides what to play next. Sans-IO.
//!
//! The policy: a packet is played when it is due (see [`super::delay`]), in order. What is
//! missing then is recovered from its successor where that is there, else concealed. With
//! nothing to play, what was heard last is stretched for a while; what comes after that starts
//! afresh. Nothing that has come is thrown away for being late unless its place was filled.

use std::collections::VecDeque;

use super::{
    delay::DelayEstimator,
    format::{PACKET_TICKS, TICKS_PER_MS},
    opus_packet,
};

/// Packets that are held: two seconds, what a network that stalled lets loose at once. Beyond,
/// the oldest go.
const MAX_PACKETS: usize = 100;

/// A stream that jumps by more packets than this, or by more time, is another one: a sender
/// restarted. Half a minute of either.
const MAX_JUMP_PACKETS: i64 = 1500;
const MAX_JUMP_TICKS: i64 = 30_000 * TICKS_PER_MS;

/// A hole longer than this is jumped over: libopus' concealment of speech is down by 50 dB.
const MAX_CONCEALED_HOLE: i64 = 120 * TICKS_PER_MS;

/// How long the last sound is stretched while nothing comes. libopus' concealment of speech is
/// down by 39 dB then.
const MAX_STRETCH: i64 = 100 * TICKS_PER_MS;

/// The same after a packet that announced silence: the sender comes back every 400 ms, and until
/// then libopus makes comfort noise.
const MAX_COMFORT: i64 = 1_000 * TICKS_PER_MS;

/// A packet of so many bytes says that silence begins. Source: libopus, `OPUS_SET_DTX`.
const SUPPRESSED_BYTES: usize = 2;

/// Sound that is later than this is not caught up with by playing faster, but dropped.
const MAX_LAG: i64 = 1_000 * TICKS_PER_MS;

/// A copy is of a packet at most so many before the one that carries it. More than senders repeat.
const MAX_COPY_DISTANCE: i64 = 8;

/// The pieces in which sound is stretched: what a reader takes at once.
const STRETCH_TICKS: u32 = 10 * TICKS_PER_MS as u32;

/// A packet in its place.
#[derive(Debug)]
pub(crate) struct Packet {
    seq: i64,
    timestamp: i64,
    /// When it came.
    pub(crate) arrived: i64,
    /// How long it sounds.
    pub(crate) ticks: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    Queued,
    /// Queued, and everything before it forgotten: the stream began anew.
    Restarted,
    Duplicate,
    /// Its place has been played.
    Late,
    /// Not an Opus packet.
    Invalid,
}

/// What to play next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Decode this; give it back with [`JitterBuffer::recycle`].
    Play(Packet),
    /// So much was lost: recover it from what [`JitterBuffer::front`] says about it.
    Recover(u32),
    /// So much was lost and nothing tells of it.
    Conceal(u32),
    /// Nothing is there yet: make the last sound last so much longer.
    Stretch(u32),
    /// Silence.
    Idle,
}

/// The packets of one stream on their way to the decoder. All times are media ticks.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    packets: VecDeque<Packet>,
    /// Payloads to be used again.
    spare: Vec<Vec<u8>>,
    delay: DelayEstimator,
    /// The newest packet that came.
    newest: Option<(i64, i64)>,
    /// What to play next; `None` before the first packet.
    next: Option<(i64, i64)>,
    playing: bool,
    /// For how long the last sound has been stretched.
    stretched: i64,
    /// The last packet announced silence.
    comfort: bool,
    /// Duration of the last packet.
    last_ticks: u32,
}

impl JitterBuffer {
    pub(crate) fn new() -> Self {
        Self {
            packets: VecDeque::new(),
            spare: Vec::new(),
            delay: DelayEstimator::new(),
            newest: None,
            next: None,
            playing: false,
            stretched: 0,
            comfort: false,
            last_ticks: PACKET_TICKS,
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// A packet of the stream came. `seq` and `timestamp` are as on the wire.
    pub(crate) fn insert(
        &mut self,
        now: i64,
        seq: u16,
        timestamp: u32,
        payload: &[u8],
    ) -> Insertion {
        let Some(ticks) = opus_packet::ticks(payload) else {
            return Insertion::Invalid;
        };
        let (mut seq, mut timestamp) = self.unwrap(seq, timestamp);
        let restarted = self.newest.is_some_and(|(newest_seq, newest_timestamp)| {
            (seq - newest_seq).abs() > MAX_JUMP_PACKETS
                || (timestamp - newest_timestamp).abs() > MAX_JUMP_TICKS
        });
        if restarted {
            self.restart();
            (seq, timestamp) = (seq & 0xFFFF, timestamp & 0xFFFF_FFFF);
        }
        if self.next.is_some_and(|(next, _)| seq < next) {
            self.delay.observe(now, timestamp);
            return Insertion::Late;
        }
        let place = self.packets.partition_point(|packet| packet.seq < seq);
        if self
            .packets
            .get(place)
            .is_some_and(|packet| packet.seq == seq)
        {
            return Insertion::Duplicate;
        }
        if self.holds(timestamp) {
            return Insertion::Duplicate;
        }
        self.store(now, place, (seq, timestamp), ticks, payload);
        if restarted {
            Insertion::Restarted
        } else {
            Insertion::Queued
        }
    }

    /// A copy came of a packet `offset` ticks before the packet `seq` of `timestamp`, which is
    /// inserted next. Copies do not carry their number: it follows from their time and neighbours.
    pub(crate) fn insert_copy(
        &mut self,
        now: i64,
        seq: u16,
        timestamp: u32,
        offset: u32,
        payload: &[u8],
    ) -> Insertion {
        let Some(ticks) = opus_packet::ticks(payload) else {
            return Insertion::Invalid;
        };
        let (carrier, carrier_timestamp) = self.unwrap(seq, timestamp);
        // Before the first packet nobody waits for anything; another stream's first restarts.
        let is_near = self.newest.is_some_and(|(newest_seq, newest_timestamp)| {
            (carrier - newest_seq).abs() <= MAX_JUMP_PACKETS
                && (carrier_timestamp - newest_timestamp).abs() <= MAX_JUMP_TICKS
        });
        let timestamp = carrier_timestamp - i64::from(offset);
        let (first_seq, first_timestamp) = self.next.unwrap_or((i64::MIN, i64::MIN));
        if !is_near || offset == 0 || timestamp < first_timestamp {
            return Insertion::Late;
        }
        if self.holds(timestamp) {
            return Insertion::Duplicate;
        }
        let likely = i64::from(offset / ticks).clamp(1, MAX_COPY_DISTANCE);
        let distances = std::iter::once(likely).chain(1..=MAX_COPY_DISTANCE);
        let found = distances
            .map(|distance| carrier - distance)
            .filter(|seq| *seq >= first_seq)
            .find_map(|seq| Some((seq, self.gap_for(seq, timestamp)?)));
        match found {
            Some((seq, place)) => {
                self.store(now, place, (seq, timestamp), ticks, payload);
                Insertion::Queued
            }
            None => Insertion::Duplicate,
        }
    }

    /// Where a packet of this number and time has its place, if its neighbours agree.
    fn gap_for(&self, seq: i64, timestamp: i64) -> Option<usize> {
        let place = self.packets.partition_point(|packet| packet.seq < seq);
        let follows = place == 0 || self.packets[place - 1].timestamp < timestamp;
        let precedes = self
            .packets
            .get(place)
            .is_none_or(|next| next.seq > seq && next.timestamp > timestamp);
        (follows && precedes).then_some(place)
    }

    /// Whether a packet of this time waits, under whatever number.
    fn holds(&self, timestamp: i64) -> bool {
        self.packets
            .iter()
            .any(|packet| packet.timestamp == timestamp)
    }

    fn store(
        &mut self,
        now: i64,
        place: usize,
        (seq, timestamp): (i64, i64),
        ticks: u32,
        payload: &[u8],
    ) {
        self.delay.observe(now, timestamp);
        let has_predecessor = place > 0 && self.packets[place - 1].seq == seq - 1;
        let is_wanted = !has_predecessor && self.next.is_some_and(|(next, _)| next < seq);
        if is_wanted && opus_packet::has_coarse_copy(payload) {
            // What is missing can be recovered from this, and is worth waiting for until then.
            self.delay.observe(now, timestamp - i64::from(ticks));
        }
        if self.newest.is_none_or(|(newest, _)| seq > newest) {
            self.newest = Some((seq, timestamp));
        }
        let mut stored = self.spare.pop().unwrap_or_default();
        stored.clear();
        stored.extend_from_slice(payload);
        let packet = Packet {
            seq,
            timestamp,
            arrived: now,
            ticks,
            payload: stored,
        };
        self.packets.insert(place, packet);
        if self.packets.len() > MAX_PACKETS
            && let Some(oldest) = self.packets.pop_front()
        {
            self.skip_over(oldest);
        }
    }

    /// Another stream takes this one's place.
    pub(crate) fn restart(&mut self) {
        while let Some(packet) = self.packets.pop_front() {
            self.recycle(packet);
        }
        self.delay = DelayEstimator::new();
        self.newest = None;
        self.next = None;
        self.playing = false;
        self.stretched = 0;
        self.comfort = false;
    }

    /// What to play now.
    pub(crate) fn next(&mut self, now: i64) -> Step {
        self.drop_hopelessly_late(now);
        let Some(front) = self.packets.front() else {
            return self.stretch();
        };
        let (seq, timestamp, ticks) = (front.seq, front.timestamp, front.ticks);
        let is_due = now >= self.delay.due(timestamp);
        let Some((next_seq, next_timestamp)) = self.next.filter(|_| self.playing) else {
            return if is_due { self.play() } else { Step::Idle };
        };
        if seq == next_seq {
            // A hole in time without a lost packet is silence that was not sent.
            let follows = timestamp <= next_timestamp;
            return if follows || is_due {
                self.play()
            } else {
                self.stretch()
            };
        }
        // What was stretched while nothing came has filled a part of the hole.
        let next_timestamp = next_timestamp + std::mem::take(&mut self.stretched);
        self.next = Some((next_seq, next_timestamp));
        let hole = timestamp - next_timestamp;
        if hole <= 0 {
            return self.play();
        }
        if hole > MAX_CONCEALED_HOLE {
            return if is_due { self.play() } else { self.stretch() };
        }
        if now < self.delay.due(next_timestamp) {
            return self.stretch();
        }
        let repairs = opus_packet::has_coarse_copy(&front.payload);
        if repairs && seq == next_seq + 1 && hole <= i64::from(ticks) {
            self.next = Some((seq, timestamp));
            return Step::Recover(hole as u32);
        }
        let lost = i64::from(self.last_ticks).min(hole);
        self.next = Some((next_seq + 1, next_timestamp + lost));
        Step::Conceal(lost as u32)
    }

    /// The packet that follows a [`Step::Recover`].
    pub(crate) fn front(&self) -> Option<&Packet> {
        self.packets.front()
    }

    /// When what follows the sound that is being played is due, whether or not it has come; `None`
    /// where nothing is played, or what follows was lost.
    pub(crate) fn following_due(&self) -> Option<i64> {
        let (seq, timestamp) = self.next.filter(|_| self.playing)?;
        let follows = |front: &Packet| front.seq == seq && front.timestamp <= timestamp;
        let is_next = self.packets.front().is_none_or(follows);
        is_next.then(|| self.delay.due(timestamp))
    }

    /// When the packet is due that ends a silence.
    pub(crate) fn first_due(&self) -> Option<i64> {
        let first = self.packets.front().filter(|_| !self.playing)?;
        Some(self.delay.due(first.timestamp))
    }

    /// Whether the sender said that it is silent.
    pub(crate) fn is_comfort(&self) -> bool {
        self.comfort
    }

    /// Whether anything was ever played.
    pub(crate) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// For how long packets are held on purpose, in ticks.
    pub(crate) fn target(&self) -> i64 {
        self.delay.target()
    }

    pub(crate) fn recycle(&mut self, packet: Packet) {
        if self.spare.len() < MAX_PACKETS {
            self.spare.push(packet.payload);
        }
    }

    fn play(&mut self) -> Step {
        let Some(packet) = self.packets.pop_front() else {
            return self.stretch();
        };
        self.next = Some((packet.seq + 1, packet.timestamp + i64::from(packet.ticks)));
        self.playing = true;
        self.stretched = 0;
        self.comfort = packet.payload.len() <= SUPPRESSED_BYTES;
        self.last_ticks = packet.ticks;
        Step::Play(packet)
    }

    fn stretch(&mut self) -> Step {
        let limit = if self.comfort {
            MAX_COMFORT
        } else {
            MAX_STRETCH
        };
        if !self.playing || self.stretched >= limit {
            self.playing = false;
            return Step::Idle;
        }
        self.stretched += i64::from(STRETCH_TICKS);
        Step::Stretch(STRETCH_TICKS)
    }

    /// After a stall of the network: what cannot be caught up with is not played.
    fn drop_hopelessly_late(&mut self, now: i64) {
        while self.packets.len() > 1
            && self
                .packets
                .front()
                .is_some_and(|p| now - self.delay.due(p.timestamp) > MAX_LAG)
        {
            let Some(packet) = self.packets.pop_front() else {
                return;
            };
            self.skip_over(packet);
        }
    }

    fn skip_over(&mut self, packet: Packet) {
        self.next = Some((packet.seq + 1, packet.timestamp + i64::from(packet.ticks)));
        self.recycle(packet);
    }

    /// Makes numbers that do not wrap of those on the wire, near the newest.
    fn unwrap(&self, seq: u16, timestamp: u32) -> (i64, i64) {
        let Some((newest_seq, newest_timestamp)) = self.newest else {
            return (i64::from(seq), i64::from(timestamp));
        };
        let seq_step = seq.wrapping_sub(newest_seq as u16).cast_signed();
        let timestamp_step = timestamp
            .wrapping_sub(newest_timestamp as u32)
            .cast_signed();
        (
            newest_seq + i64::from(seq_step),
            newest_timestamp + i64::from(timestamp_step),
        )
    }
}

#[cfg(test)]
mod tests;
