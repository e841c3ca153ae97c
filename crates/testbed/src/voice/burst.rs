//! Speaking: a sentence's frames as sound.

use std::f32::consts::TAU;

use super::SPEECH_LEVEL;
use super::code::{Frame, GAP, SYMBOL, frames};

/// Two tones of this amplitude have this root mean square together. The murmur's share is small
/// beside it.
const TONE_AMPLITUDE: f32 = SPEECH_LEVEL * 0.95;
/// The voice beneath the tones: the first harmonics of a low voice, all of them below the lowest
/// tone.
const MURMUR_AMPLITUDES: [f32; 3] = [
    SPEECH_LEVEL * 0.30,
    SPEECH_LEVEL * 0.25,
    SPEECH_LEVEL * 0.15,
];
/// The pitch moves between these from word to word, as intonation does.
const PITCH_HZ: [f32; 4] = [104.0, 112.0, 98.0, 94.0];
/// The breath: noise of 20 dB below the rest. Pure tones are predicted so well by Opus that its
/// decoder, after a lost packet, rings for half a second, as it never does with speech.
const BREATH_LEVEL: f32 = SPEECH_LEVEL * 0.1;
/// Tones swell and fade, or their clicks would fill the whole band.
const RAMP_SECONDS: f32 = 0.004;

/// The sound of `sentence` at `rate` samples a second: as long as speaking it would take.
///
/// # Panics
/// If `rate` is below 8 kHz, where the code does not fit.
#[must_use]
pub fn encode(sentence: &str, rate: u32) -> Vec<i16> {
    assert!(
        rate >= 8_000,
        "the voice needs 8 kHz at least, not {rate} Hz"
    );
    let mut pcm = Vec::new();
    let mut breath = Noise(1);
    for (index, frame) in frames(sentence).iter().enumerate() {
        if index > 0 {
            pcm.resize(pcm.len() + samples(GAP.as_secs_f32(), rate), 0);
        }
        speak(
            frame,
            Voice {
                pitch_hz: PITCH_HZ[index % PITCH_HZ.len()],
                breath: &mut breath,
            },
            rate,
            &mut pcm,
        );
    }
    pcm
}

struct Voice<'a> {
    pitch_hz: f32,
    breath: &'a mut Noise,
}

fn speak(frame: &Frame, voice: Voice<'_>, rate: u32, pcm: &mut Vec<i16>) {
    let symbols = frame.symbols();
    let symbol_samples = samples(SYMBOL.as_secs_f32(), rate);
    let total = symbols.len() * symbol_samples;
    pcm.reserve(total);
    for (index, symbol) in symbols.into_iter().enumerate() {
        let tones = symbol.hz();
        for n in 0..symbol_samples {
            let within = n as f32 / rate as f32;
            let tone: f32 = tones.iter().map(|&hz| wave(hz as f32, within)).sum();
            let elapsed = (index * symbol_samples + n) as f32 / rate as f32;
            let murmur: f32 = (1..)
                .zip(MURMUR_AMPLITUDES)
                .map(|(k, a)| a * wave(voice.pitch_hz * k as f32, elapsed))
                .sum();
            let sample = TONE_AMPLITUDE * ramp(n, symbol_samples, rate) * tone
                + ramp(index * symbol_samples + n, total, rate) * murmur
                + BREATH_LEVEL * voice.breath.next();
            pcm.push(sample as i16);
        }
    }
}

fn wave(hz: f32, seconds: f32) -> f32 {
    // The whole turns are dropped first: a single-precision sine of a large angle is noise.
    ((hz * seconds).fract() * TAU).sin()
}

/// From 0 to 1 and back to 0 over `length` samples, flat but for its edges.
fn ramp(n: usize, length: usize, rate: u32) -> f32 {
    let edge = n.min(length - 1 - n) as f32 / rate as f32;
    let part = (edge / RAMP_SECONDS).min(1.0);
    0.5 - 0.5 * (part * TAU / 2.0).cos()
}

fn samples(seconds: f32, rate: u32) -> usize {
    (seconds * rate as f32).round() as usize
}

/// The same noise for every sentence: sound is a function of its words.
struct Noise(u32);

impl Noise {
    /// An evenly distributed sample whose root mean square is one.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 as f32 / u32::MAX as f32 - 0.5) * 12f32.sqrt()
    }
}
