//! One stream's player: packets in, 10 ms of PCM out, whenever the reader's clock asks.

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

/// Sound that is later than due by more is hurried up gently: a driver's 20 ms and a frame.
const SLACK: i64 = 35 * TICKS_PER_MS;

/// … and by more than this even where it is heard.
const INSISTENT_SLACK: i64 = 120 * TICKS_PER_MS;

/// Sound that is played earlier than due by more than this is drawn out where nobody notices, so
/// that the packets that are late next are still in time.
const EARLY: i64 = 10 * TICKS_PER_MS;

/// A packet that had to wait for less than this came just in time: with a clock that is slower
/// than ours the next ones will not.
const TIGHT: i64 = 4 * TICKS_PER_MS;

/// After another SSRC took over, so long the old one's stragglers are ignored.
const STRAGGLERS: i64 = 1_000 * TICKS_PER_MS;

/// What a player has seen and done. All but the last three only grow. Sound is counted in ticks
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

    /// The next 10 ms.
    pub(crate) fn pull(&mut self, now: Instant) -> Vec<i16> {
        let now = self.media_time(now);
        let wanted = self.format.samples(API_FRAME_MS);
        if self.decoded() < wanted {
            self.pcm.drain(..self.taken);
            self.taken = 0;
        }
        while self.decoded() < wanted {
            if !self.play_step(now) {
                let missing = wanted - self.decoded();
                self.pcm.resize(self.pcm.len() + missing, 0);
                if self.jitter.has_begun() {
                    self.count_silence(missing);
                }
            }
        }
        self.hurry(now);
        self.linger(now);
        let frame = self.pcm[self.taken..self.taken + wanted].to_vec();
        self.taken += wanted;
        self.stats.frames += 1;
        let mean_square = mean_square(&frame);
        self.stats.level = mean_square.sqrt();
        self.stats.energy += mean_square * API_FRAME_MS as f64 / 1000.0;
        frame
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
            Step::Conceal(ticks) | Step::Stretch(ticks) => self.conceal(ticks),
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

    /// Plays faster where the sound is later than it must be.
    fn hurry(&mut self, now: i64) {
        let Some(lag) = self.jitter.lag(now).filter(|lag| *lag > SLACK) else {
            return;
        };
        let wanted = self.format.samples(API_FRAME_MS) + self.format.samples(timescale::WANTED_MS);
        if self.decoded() < wanted && !self.play_step(now) {
            return;
        }
        let urgency = if lag > INSISTENT_SLACK {
            Urgency::Insistent
        } else {
            Urgency::Gentle
        };
        let removed = accelerate(self.format, &mut self.pcm, self.taken, urgency);
        self.stats.hurried_ticks += self.ticks(removed);
        // What is left must still fill the frame that was asked for.
        while self.decoded() < self.format.samples(API_FRAME_MS) {
            if !self.play_step(now) {
                self.conceal(10 * TICKS_PER_MS as u32);
            }
        }
    }

    /// Plays slower where the next packets, as late as they may be, would not be in time.
    fn linger(&mut self, now: i64) {
        let ahead = self.ticks(self.decoded()) as i64;
        let earliness = self.jitter.earliness(now + ahead);
        let is_early = earliness.is_some_and(|earliness| earliness > EARLY);
        // Once there is sound for the next turn, a packet may be late by one.
        let is_tight = earliness.is_some()
            && self.last_wait < TIGHT
            && self.jitter.front().is_none()
            && ahead < 2 * i64::from(PACKET_TICKS);
        let is_enough = self.decoded() >= self.format.samples(timescale::ENOUGH_MS);
        if !(is_early || is_tight) || !is_enough || self.is_concealing {
            return;
        }
        let added = decelerate(self.format, &mut self.pcm, self.taken);
        self.stats.lingered_ticks += self.ticks(added);
    }

    fn media_time(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.epoch);
        (since.as_micros() * u128::from(CLOCK_HZ) / 1_000_000) as i64
    }
}
