//! From sound to tones: the signal is brought to 8 kHz and cut into blocks of 5 ms, and each block
//! knows the phase and amplitude of every tone. Blocks add up to windows, so that a sample is
//! looked at once however windows overlap.

use std::f32::consts::TAU;
use std::ops::AddAssign;
use std::sync::LazyLock;
use std::time::Duration;

use super::code::{TONES, tone_hz};

/// The rate at which tones are sought: the lowest that holds them all.
const RATE: usize = 8_000;
pub(super) const BLOCK: Duration = Duration::from_millis(5);
const BLOCK_SAMPLES: usize = RATE / 200;
/// All tones are multiples of 25 Hz: their waves repeat after this many samples.
const PERIOD: usize = RATE / 25;
/// Blocks that stay below this (−56 dBFS) are silence and cost nothing.
const SILENCE: f32 = 50.0;

static WAVES: LazyLock<Vec<[(f32, f32); TONES]>> = LazyLock::new(|| {
    (0..PERIOD)
        .map(|n| {
            std::array::from_fn(|tone| {
                let turns = (tone_hz(tone) * n % RATE) as f32 / RATE as f32;
                let (sin, cos) = (turns * TAU).sin_cos();
                (cos, -sin)
            })
        })
        .collect()
});

/// Every tone's complex amplitude over some time, times the number of samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spectrum([(f32, f32); TONES]);

impl Spectrum {
    pub(super) const SILENT: Self = Self([(0.0, 0.0); TONES]);

    /// The energy of each tone, when this is the sum of `blocks` blocks: the squared amplitude of
    /// its wave.
    pub(super) fn powers(&self, blocks: usize) -> [f32; TONES] {
        let scale = 2.0 / (blocks * BLOCK_SAMPLES) as f32;
        self.0.map(|(re, im)| (re * re + im * im) * scale * scale)
    }
}

impl AddAssign<&Self> for Spectrum {
    fn add_assign(&mut self, other: &Self) {
        for (sum, part) in self.0.iter_mut().zip(&other.0) {
            sum.0 += part.0;
            sum.1 += part.1;
        }
    }
}

/// Cuts a stream of samples into blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    low_pass: LowPass,
    block: Vec<f32>,
    /// Where the block starts within [`PERIOD`].
    phase: usize,
}

impl Blocks {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            low_pass: LowPass::new(rate),
            block: Vec::with_capacity(BLOCK_SAMPLES),
            phase: 0,
        }
    }

    pub(super) fn push(&mut self, sample: i16) -> Option<Spectrum> {
        self.block.push(self.low_pass.push(f32::from(sample))?);
        if self.block.len() < BLOCK_SAMPLES {
            return None;
        }
        let spectrum = if self.block.iter().all(|sample| sample.abs() < SILENCE) {
            Spectrum::SILENT
        } else {
            self.analyse()
        };
        self.block.clear();
        self.phase = (self.phase + BLOCK_SAMPLES) % PERIOD;
        Some(spectrum)
    }

    fn analyse(&self) -> Spectrum {
        let mut spectrum = Spectrum::SILENT;
        for (sample, waves) in self.block.iter().zip(&WAVES[self.phase..]) {
            for (sum, wave) in spectrum.0.iter_mut().zip(waves) {
                sum.0 += sample * wave.0;
                sum.1 += sample * wave.1;
            }
        }
        spectrum
    }
}

/// Every `step`th sample of the signal, as a triangular average over two steps: enough against
/// aliases of a signal whose energy is speech, and a dozen multiplications a sample.
#[derive(Debug)]
struct LowPass {
    step: usize,
    /// The weighted sum of the step under way, falling and rising.
    falling: f32,
    rising: f32,
    at: usize,
}

impl LowPass {
    fn new(rate: u32) -> Self {
        let rate = rate as usize;
        assert!(
            rate >= RATE && rate.is_multiple_of(RATE),
            "the ear hears multiples of 8 kHz, not {rate} Hz"
        );
        Self {
            step: rate / RATE,
            falling: 0.0,
            rising: 0.0,
            at: 0,
        }
    }

    fn push(&mut self, sample: f32) -> Option<f32> {
        let share = self.at as f32 / self.step as f32;
        self.falling += sample * (1.0 - share);
        self.rising += sample * share;
        self.at += 1;
        if self.at < self.step {
            return None;
        }
        let average = self.falling / self.step as f32;
        (self.falling, self.rising, self.at) = (self.rising, 0.0, 0);
        Some(average)
    }
}
