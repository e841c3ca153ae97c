//! One stream's player: packets in, 10 ms of PCM out, whenever the reader's clock asks.

use std::time::Instant;

use opusic_c::ErrorCode;

use super::{
    accelerate::{self, Urgency, accelerate},
    decoder::AudioDecoder,
    format::{API_FRAME_MS, CLOCK_HZ, Format, TICKS_PER_MS},
    jitter::{Insertion, JitterBuffer, Step},
};

/// Sound that is later than due by more is hurried up gently: a driver's 20 ms and a frame.
const SLACK: i64 = 35 * TICKS_PER_MS;

/// … and by more than this even where it is heard.
const INSISTENT_SLACK: i64 = 120 * TICKS_PER_MS;

/// After another SSRC took over, so long the old one's stragglers are ignored.
const STRAGGLERS: i64 = 1_000 * TICKS_PER_MS;

/// What a player has seen and done. Counts only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PlayoutStats {
    pub(crate) packets: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
    pub(crate) invalid: u64,
    /// Frames of 10 ms that were handed out.
    pub(crate) frames: u64,
    /// Media ticks that were recovered from a following packet.
    pub(crate) recovered_ticks: u64,
    /// Media ticks that were made up.
    pub(crate) concealed_ticks: u64,
    /// Media ticks that were left out to catch up.
    pub(crate) hurried_ticks: u64,
    /// For how long packets are held at present, in media ticks.
    pub(crate) target_ticks: u64,
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
        if self.ssrc != Some(ssrc) {
            let straggler = |(former, since)| former == ssrc && now - since < STRAGGLERS;
            if self.former.is_some_and(straggler) {
                self.stats.late += 1;
                return;
            }
            if let Some(former) = self.ssrc.replace(ssrc) {
                self.former = Some((former, now));
                self.jitter.restart();
            }
        }
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
            }
        }
        self.hurry(now);
        let frame = self.pcm[self.taken..self.taken + wanted].to_vec();
        self.taken += wanted;
        self.stats.frames += 1;
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
                if let Err(error) = self.decoder.decode(&packet.payload, &mut self.pcm) {
                    log::debug!("a packet did not decode: {}", error.message());
                    self.stats.invalid += 1;
                    self.conceal(packet.ticks);
                }
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
                } else {
                    self.conceal(ticks);
                }
            }
            Step::Conceal(ticks) | Step::Stretch(ticks) => self.conceal(ticks),
            Step::Idle => return false,
        }
        self.pcm.len() > before
    }

    fn conceal(&mut self, ticks: u32) {
        self.stats.concealed_ticks += u64::from(ticks);
        if let Err(error) = self.decoder.conceal(ticks, &mut self.pcm) {
            log::debug!("libopus did not conceal {ticks} ticks: {}", error.message());
            let samples = self.format.samples_in_ticks(ticks);
            self.pcm.resize(self.pcm.len() + samples, 0);
        }
    }

    /// Plays faster where the sound is later than it must be.
    fn hurry(&mut self, now: i64) {
        let Some(lag) = self.jitter.lag(now).filter(|lag| *lag > SLACK) else {
            return;
        };
        let wanted = self.format.samples(API_FRAME_MS) + self.format.samples(accelerate::WANTED_MS);
        if self.decoded() < wanted && !self.play_step(now) {
            return;
        }
        let urgency = if lag > INSISTENT_SLACK {
            Urgency::Insistent
        } else {
            Urgency::Gentle
        };
        let removed = accelerate(self.format, &mut self.pcm, self.taken, urgency);
        let per_channel = (removed / self.format.channels()) as u64;
        let ticks = per_channel * u64::from(CLOCK_HZ) / u64::from(self.format.hz());
        self.stats.hurried_ticks += ticks;
        // What is left must still fill the frame that was asked for.
        while self.decoded() < self.format.samples(API_FRAME_MS) {
            if !self.play_step(now) {
                self.conceal(10 * TICKS_PER_MS as u32);
            }
        }
    }

    fn media_time(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.epoch);
        (since.as_micros() * u128::from(CLOCK_HZ) / 1_000_000) as i64
    }
}
