//! Sound like speech that says nothing: a buzzing source through three moving formants, in
//! syllables with pauses.

use std::f32::consts::TAU;
use std::time::Duration;

use super::SPEECH_LEVEL;

/// The first three formants of some vowels, in Hz. Source: Peterson and Barney (1952), men.
const VOWELS: [[f32; 3]; 5] = [
    [730.0, 1_090.0, 2_440.0],
    [530.0, 1_840.0, 2_480.0],
    [270.0, 2_290.0, 3_010.0],
    [570.0, 840.0, 2_410.0],
    [440.0, 1_020.0, 2_240.0],
];
const BANDWIDTHS_HZ: [f32; 3] = [80.0, 100.0, 150.0];
const SYLLABLE_SECONDS: f32 = 0.18;
/// Every so many syllables one is a pause.
const PHRASE_SYLLABLES: usize = 7;

/// Speech-like sound without words, `duration` long, at `rate` samples a second.
///
/// # Panics
/// If `rate` is below 8 kHz.
#[must_use]
pub fn murmur(duration: Duration, rate: u32) -> Vec<i16> {
    assert!(
        rate >= 8_000,
        "the voice needs 8 kHz at least, not {rate} Hz"
    );
    let total = (duration.as_secs_f64() * f64::from(rate)) as usize;
    let syllable = (SYLLABLE_SECONDS * rate as f32) as usize;
    let mut sound = Vec::with_capacity(total);
    let mut formants = [Resonator::default(); 3];
    let mut turn = 0.0f32;
    for n in 0..total {
        let (index, within) = (n / syllable, (n % syllable) as f32 / syllable as f32);
        if n.is_multiple_of(syllable) {
            // A stride that is no divisor of the vowels: the row of syllables does not sound like a
            // pattern.
            let vowel = VOWELS[(index * 7 + index / 3) % VOWELS.len()];
            for ((formant, hz), bandwidth) in formants.iter_mut().zip(vowel).zip(BANDWIDTHS_HZ) {
                formant.tune(hz, bandwidth, rate);
            }
        }
        let pitch = 110.0 + 15.0 * (n as f32 / rate as f32 * 2.3).sin();
        turn += pitch / rate as f32;
        let pulse = if turn >= 1.0 { 1.0 } else { 0.0 };
        turn = turn.fract();
        let voiced: f32 = formants.iter_mut().map(|formant| formant.push(pulse)).sum();
        let loudness = if index % PHRASE_SYLLABLES == PHRASE_SYLLABLES - 1 {
            0.0
        } else {
            (within * TAU / 2.0).sin()
        };
        sound.push(voiced * loudness);
    }
    at_speech_level(&sound)
}

fn at_speech_level(sound: &[f32]) -> Vec<i16> {
    let energy: f32 = sound.iter().map(|sample| sample * sample).sum();
    let level = (energy / sound.len().max(1) as f32).sqrt();
    let gain = if level > 0.0 {
        SPEECH_LEVEL / level
    } else {
        0.0
    };
    sound.iter().map(|sample| (sample * gain) as i16).collect()
}

/// A two-pole resonance.
#[derive(Default, Clone, Copy)]
struct Resonator {
    feedback: [f32; 2],
    gain: f32,
    past: [f32; 2],
}

impl Resonator {
    fn tune(&mut self, hz: f32, bandwidth_hz: f32, rate: u32) {
        let radius = (-TAU / 2.0 * bandwidth_hz / rate as f32).exp();
        self.feedback = [
            2.0 * radius * (TAU * hz / rate as f32).cos(),
            -radius * radius,
        ];
        self.gain = 1.0 - radius;
    }

    fn push(&mut self, input: f32) -> f32 {
        let output =
            self.gain * input + self.feedback[0] * self.past[0] + self.feedback[1] * self.past[1];
        self.past = [output, self.past[0]];
        output
    }
}
