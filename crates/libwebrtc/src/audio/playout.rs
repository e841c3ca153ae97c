//! One stream's player: packets in, frames of 10 ms of PCM out, in turns, as the reader's clock
//! asks for them.
//!
//! The policy: what a turn takes from a packet must have come by then, so the turns are best made
//! just when packets are due ([`Playout::next_due`] tells the clock). What a turn's place cannot
//! make up for, playing faster or slower does, where nobody notices.

use std::time::Instant;

use opusic_c::ErrorCode;

use super::{
    decoder::AudioDecoder,
    format::{API_FRAME_MS, CLOCK_HZ, Format, PACKET_TICKS, TICKS_PER_MS},
    jitter::{Insertion, JitterBuffer, Packet, Step},
    level::mean_square,
    red,
    timescale::{self, Urgency, accelerate, decelerate},
};

/// Sound that is later than due by more is hurried up where it is silent, once it has been so for a
/// while: what is late for a moment will not be without being touched.
const IDLE_SLACK: i64 = 10 * TICKS_PER_MS;
const IDLE_PATIENCE: i64 = 3_000 * TICKS_PER_MS;

/// … and where it is heard, but gently, if it did not fall silent for longer. A period of a deep voice
/// and a little more, so that what is left is not too early.
const SLACK: i64 = 16 * TICKS_PER_MS;
const PATIENCE: i64 = 4_000 * TICKS_PER_MS;

/// For so long sound that was drawn out, to wait for what was late, stays so: there will be more of
/// it, and each change is heard if anything is.
const MEMORY: i64 = 15_000 * TICKS_PER_MS;

/// … unless it is later than that makes it: two turns.
const AS_DRAWN_OUT: i64 = 40 * TICKS_PER_MS;

/// … and by more than this even where it is heard.
const INSISTENT_SLACK: i64 = 120 * TICKS_PER_MS;

/// What is hurried up is left so much later than due.
const MARGIN: i64 = 2 * TICKS_PER_MS;

/// Sound that is needed earlier than due by more than this is drawn out where nobody notices, so
/// that the packets that are late next are still in time.
const EARLY: i64 = 15 * TICKS_PER_MS;

/// A packet that had to wait for less than this came just in time: with a clock that is slower
/// than ours the next ones will not.
const TIGHT: i64 = 2 * TICKS_PER_MS;

/// In less than that no voice repeats itself.
const SHORTEST_PIECE: i64 = 8 * TICKS_PER_MS;

/// After another SSRC took over, so long the old one's stragglers are ignored.
const STRAGGLERS: i64 = 1_000 * TICKS_PER_MS;

/// What a player has seen and done. All but the last two only grow. Sound is counted in ticks
/// of the media clock, whatever the rate of the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PlayoutStats {
    pub(crate) packets: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
    pub(crate) invalid: u64,
    /// Copies of earlier packets that came with others.
    pub(crate) copies: u64,
    /// … of which nobody needed so many.
    pub(crate) spare_copies: u64,
    /// Frames of 10 ms that were handed out.
    pub(crate) frames: u64,
    /// What was decoded from packets.
    pub(crate) played_ticks: u64,
    /// For how long that had waited since it came, summed over its ticks, in tick × ticks.
    pub(crate) waited: u128,
    /// For how long it was meant to wait, summed in the same way.
    pub(crate) meant_to_wait: u128,
    /// What was recovered from a following packet's coarse copy.
    pub(crate) recovered_ticks: u64,
    /// What was made up.
    pub(crate) concealed_ticks: u64,
    /// … of which so much was silence, because nothing had come for long.
    pub(crate) silent_ticks: u64,
    /// How often making up began.
    pub(crate) concealments: u64,
    /// What was left out to catch up.
    pub(crate) hurried_ticks: u64,
    /// What was added to wait for what is late.
    pub(crate) lingered_ticks: u64,
    /// Mean squares of the frames, full scale being 1, times their seconds.
    pub(crate) energy: f64,
    /// For how long packets are held at present.
    pub(crate) target_ticks: u64,
    /// Root mean square of the last frame, full scale being 1.
    pub(crate) level: f64,
}

impl PlayoutStats {
    /// The counters of one player after another: `before` is what others had counted when this one
    /// took over, and `unheard` what it had counted by itself until then.
    pub(crate) fn following(&self, before: &Self, unheard: &Self) -> Self {
        macro_rules! follow {
            ($($counter:ident),*) => {
                Self {
                    $($counter: before.$counter + self.$counter - unheard.$counter,)*
                    target_ticks: self.target_ticks,
                    level: self.level,
                }
            };
        }
        follow!(
            packets,
            duplicates,
            late,
            invalid,
            copies,
            spare_copies,
            frames,
            played_ticks,
            waited,
            meant_to_wait,
            recovered_ticks,
            concealed_ticks,
            silent_ticks,
            concealments,
            hurried_ticks,
            lingered_ticks,
            energy
        )
    }
}

/// How much later than a turn something is due, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offset {
    /// … what follows the sound that is being played.
    Playing(i64),
    /// … what is to be heard after silence.
    Waiting(i64),
}

/// Jitter buffer, decoder and the sound that was decoded and not yet taken.
pub(crate) struct Playout {
    format: Format,
    jitter: JitterBuffer,
    decoder: AudioDecoder,
    pcm: Vec<i16>,
    /// Samples of `pcm` that were taken.
    taken: usize,
    epoch: Instant,
    ssrc: Option<u32>,
    /// The SSRC before, and when it was replaced.
    former: Option<(u32, i64)>,
    /// Making up what is missing.
    is_concealing: bool,
    /// For how long the last packet had waited.
    last_wait: i64,
    /// When the sound was in time last.
    late_since: i64,
    /// When it was drawn out last.
    drawn_out: Option<i64>,
    stats: PlayoutStats,
}

impl Playout {
    pub(crate) fn new(now: Instant, format: Format) -> Result<Self, ErrorCode> {
        Ok(Self {
            format,
            jitter: JitterBuffer::new(),
            decoder: AudioDecoder::new(format)?,
            pcm: Vec::new(),
            taken: 0,
            epoch: now,
            ssrc: None,
            former: None,
            is_concealing: false,
            last_wait: 0,
            late_since: 0,
            drawn_out: None,
            stats: PlayoutStats::default(),
        })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn stats(&self) -> PlayoutStats {
        PlayoutStats {
            target_ticks: self.jitter.target().unsigned_abs(),
            ..self.stats
        }
    }

    /// Packets that wait, and decoded samples that do.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.jitter.len(), self.pcm.len())
    }

    /// A packet came.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        ssrc: u32,
        seq: u16,
        timestamp: u32,
        payload: &[u8],
    ) {
        let now = self.media_time(now);
        if self.belongs(now, ssrc) {
            self.insert_packet(now, seq, timestamp, payload);
        }
    }

    /// A packet with copies of earlier ones came (RFC 2198).
    pub(crate) fn insert_redundant(
        &mut self,
        now: Instant,
        ssrc: u32,
        seq: u16,
        timestamp: u32,
        parts: &red::Parts<'_>,
    ) {
        let now = self.media_time(now);
        if !self.belongs(now, ssrc) {
            return;
        }
        let copies = parts
            .blocks()
            .filter(|block| block.payload_type == parts.primary_type && !block.payload.is_empty());
        for copy in copies {
            let (jitter, offset) = (&mut self.jitter, copy.offset);
            let insertion = jitter.insert_copy(now, seq, timestamp, offset, copy.payload);
            self.stats.copies += 1;
            self.stats.spare_copies += u64::from(insertion != Insertion::Queued);
        }
        self.insert_packet(now, seq, timestamp, parts.primary);
    }

    /// Whether a packet of this source is to be played. A new source takes over at once.
    fn belongs(&mut self, now: i64, ssrc: u32) -> bool {
        if self.ssrc == Some(ssrc) {
            return true;
        }
        let straggler = |(former, since)| former == ssrc && now - since < STRAGGLERS;
        if self.former.is_some_and(straggler) {
            self.stats.late += 1;
            return false;
        }
        if let Some(former) = self.ssrc.replace(ssrc) {
            self.former = Some((former, now));
            self.jitter.restart();
        }
        true
    }

    fn insert_packet(&mut self, now: i64, seq: u16, timestamp: u32, payload: &[u8]) {
        self.stats.packets += 1;
        match self.jitter.insert(now, seq, timestamp, payload) {
            Insertion::Queued | Insertion::Restarted => {}
            Insertion::Duplicate => self.stats.duplicates += 1,
            Insertion::Late => self.stats.late += 1,
            Insertion::Invalid => self.stats.invalid += 1,
        }
    }

    /// Makes the next frames ready to be [taken](Self::take), in a turn that comes every
    /// `interval` ticks.
    pub(crate) fn prepare(&mut self, now: Instant, frames: usize, interval: i64) {
        let now = self.media_time(now);
        let wanted = frames * self.format.samples(API_FRAME_MS);
        if self.decoded() < wanted {
            self.pcm.drain(..self.taken);
            self.taken = 0;
        }
        self.decode_up_to(now, wanted);
        if let Some(due) = self.jitter.following_due() {
            let ahead = self.ticks(self.decoded()) as i64;
            let left = self.ticks(self.decoded().saturating_sub(wanted)) as i64;
            // It is played after all that was decoded, and needed at the beginning of its turn.
            let played = now + ahead;
            let needed = now + interval + left / interval * interval;
            let urgency = self.urgency(now, played - due);
            let is_hurried =
                urgency.is_some_and(|urgency| self.hurry(now, wanted, played - due, urgency));
            if !is_hurried {
                self.linger(now, due - needed, interval - left % interval);
            }
        }
    }

    /// A frame of 10 ms of those that were prepared.
    pub(crate) fn take(&mut self) -> Vec<i16> {
        let end = self
            .pcm
            .len()
            .min(self.taken + self.format.samples(API_FRAME_MS));
        let frame = self.pcm[self.taken..end].to_vec();
        self.taken = end;
        self.stats.frames += 1;
        let mean_square = mean_square(&frame);
        self.stats.level = mean_square.sqrt();
        self.stats.energy += mean_square * API_FRAME_MS as f64 / 1000.0;
        frame
    }

    /// How much later than the turn that needs it, in ticks, the sound is due that follows what
    /// was decoded; negative where it is due earlier. The turns are every `interval` ticks from
    /// `next` on.
    pub(crate) fn next_due(&self, next: Instant, interval: i64) -> Option<Offset> {
        let next = self.media_time(next);
        if let Some(due) = self.jitter.following_due() {
            let needed = next + self.ticks(self.decoded()) as i64 / interval * interval;
            return Some(Offset::Playing(due - needed));
        }
        let due = self.jitter.first_due()?;
        Some(Offset::Waiting(due - next))
    }

    fn decode_up_to(&mut self, now: i64, wanted: usize) {
        while self.decoded() < wanted {
            if !self.play_step(now) {
                let missing = wanted - self.decoded();
                self.pcm.resize(self.pcm.len() + missing, 0);
                if self.jitter.has_begun() {
                    self.count_silence(missing);
                }
            }
        }
    }

    fn decoded(&self) -> usize {
        self.pcm.len() - self.taken
    }

    /// Adds sound; `false` where there is none.
    fn play_step(&mut self, now: i64) -> bool {
        let before = self.pcm.len();
        match self.jitter.next(now) {
            Step::Play(packet) => {
                self.decode(now, &packet);
                self.jitter.recycle(packet);
            }
            Step::Recover(ticks) => {
                let recovered = self.jitter.front().is_some_and(|successor| {
                    self.decoder
                        .recover(&successor.payload, ticks, &mut self.pcm)
                        .is_ok()
                });
                if recovered {
                    self.stats.recovered_ticks += u64::from(ticks);
                    self.is_concealing = false;
                } else {
                    self.conceal(ticks);
                }
            }
            // The sender's silence, not a loss.
            Step::Stretch(ticks) if self.jitter.is_comfort() => self.make_up(ticks),
            Step::Stretch(ticks) => {
                self.drawn_out = Some(now);
                self.conceal(ticks);
            }
            Step::Conceal(ticks) => self.conceal(ticks),
            Step::Idle => return false,
        }
        self.pcm.len() > before
    }

    fn decode(&mut self, now: i64, packet: &Packet) {
        if let Err(error) = self.decoder.decode(&packet.payload, &mut self.pcm) {
            log::debug!("a packet did not decode: {}", error.message());
            self.stats.invalid += 1;
            self.conceal(packet.ticks);
            return;
        }
        self.is_concealing = false;
        let ticks = u64::from(packet.ticks);
        self.last_wait = now - packet.arrived;
        let waited = u128::from(self.last_wait.unsigned_abs());
        self.stats.played_ticks += ticks;
        self.stats.waited += waited * u128::from(ticks);
        self.stats.meant_to_wait +=
            u128::from(self.jitter.target().unsigned_abs()) * u128::from(ticks);
    }

    fn conceal(&mut self, ticks: u32) {
        self.count_concealed(u64::from(ticks));
        self.make_up(ticks);
    }

    fn count_silence(&mut self, samples: usize) {
        let ticks = self.ticks(samples);
        self.stats.silent_ticks += ticks;
        self.count_concealed(ticks);
    }

    fn count_concealed(&mut self, ticks: u64) {
        self.stats.concealed_ticks += ticks;
        self.stats.concealments += u64::from(!self.is_concealing);
        self.is_concealing = true;
    }

    fn make_up(&mut self, ticks: u32) {
        if let Err(error) = self.decoder.conceal(ticks, &mut self.pcm) {
            log::debug!("libopus did not conceal {ticks} ticks: {}", error.message());
            let samples = self.format.samples_in_ticks(ticks);
            self.pcm.resize(self.pcm.len() + samples, 0);
        }
    }

    /// Media ticks that so many samples of all channels sound.
    fn ticks(&self, samples: usize) -> u64 {
        let per_channel = (samples / self.format.channels()) as u64;
        per_channel * u64::from(CLOCK_HZ) / u64::from(self.format.hz())
    }

    /// Whether sound that is so late is to be played faster, and where.
    fn urgency(&mut self, now: i64, lateness: i64) -> Option<Urgency> {
        if lateness <= IDLE_SLACK {
            self.late_since = now;
        }
        let late_for = now - self.late_since;
        let was_drawn_out = |at| now - at < MEMORY && lateness < AS_DRAWN_OUT;
        if lateness > INSISTENT_SLACK {
            Some(Urgency::Insistent)
        } else if self.drawn_out.is_some_and(was_drawn_out) {
            None
        } else if lateness > SLACK && late_for > PATIENCE {
            Some(Urgency::Gentle)
        } else {
            (late_for > IDLE_PATIENCE).then_some(Urgency::Idle)
        }
    }

    /// Plays faster where the sound is later than it must be, if there is a place for it.
    fn hurry(&mut self, now: i64, wanted: usize, lateness: i64, urgency: Urgency) -> bool {
        // What follows has come where there is anything: `prepare` asked when it is due.
        if self.decoded() < 2 * wanted && self.jitter.front().is_some() {
            self.play_step(now);
        }
        // What is left must still fill the frames that were asked for.
        let spare = self.decoded().saturating_sub(wanted);
        let most = self
            .format
            .samples_in_ticks((lateness - MARGIN) as u32)
            .min(spare);
        let removed = accelerate(self.format, &mut self.pcm, self.taken, most, urgency);
        self.stats.hurried_ticks += self.ticks(removed);
        removed > 0
    }

    /// Plays slower where the next packets, as late as they may be, would not be in time. Once
    /// `missing` is added, they have a turn more.
    fn linger(&mut self, now: i64, earliness: i64, missing: i64) {
        // Once there is sound for the next turn, a packet may be late by one.
        let is_tight = self.last_wait < TIGHT
            && self.jitter.front().is_none()
            && self.ticks(self.decoded()) < 2 * u64::from(PACKET_TICKS);
        let is_enough = self.decoded() >= self.format.samples(timescale::ENOUGH_MS);
        if !(earliness > EARLY || is_tight) || !is_enough || self.is_concealing {
            return;
        }
        let most = self
            .format
            .samples_in_ticks(missing.max(SHORTEST_PIECE) as u32);
        let added = decelerate(self.format, &mut self.pcm, self.taken, most);
        self.stats.lingered_ticks += self.ticks(added);
        if is_tight && added > 0 {
            self.drawn_out = Some(now);
        }
    }

    fn media_time(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.epoch);
        (since.as_micros() * u128::from(CLOCK_HZ) / 1_000_000) as i64
    }
}
