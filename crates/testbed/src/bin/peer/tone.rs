//! Tones, and hearing them.

use std::f32::consts::TAU;

/// Loud enough for any listener, with room for another.
const AMPLITUDE: f32 = 10_000.0;

/// The share of a frame's energy that a tone must have.
const PURITY: f32 = 0.5;

/// A frame below this root mean square is silence: −50 dBFS.
const SILENCE: f32 = 100.0;

/// Frames in a row that must differ before the state does: 30 ms.
const FRAMES: u32 = 3;

/// `samples` of a tone, from its sample `from` on.
pub(crate) fn make(hz: f32, rate: u32, from: usize, samples: usize) -> Vec<i16> {
    (from..from + samples)
        .map(|n| {
            // Within one second, so that the phase stays exact for ever; a whole
            // number of hertz repeats after it.
            let seconds = (n % rate as usize) as f32 / rate as f32;
            ((TAU * hz * seconds).sin() * AMPLITUDE) as i16
        })
        .collect()
}

/// Hears whether a tone is there, frame by frame.
#[derive(Debug)]
pub(crate) struct Detector {
    hz: f32,
    rate: u32,
    present: bool,
    /// Frames in a row that say otherwise, and when the first of them was.
    doubts: u32,
    doubted_at_us: u64,
}

/// A change: since when the tone is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Heard { at_us: u64 },
    Gone { at_us: u64 },
}

impl Detector {
    pub(crate) fn new(hz: f32, rate: u32) -> Self {
        Self {
            hz,
            rate,
            present: false,
            doubts: 0,
            doubted_at_us: 0,
        }
    }

    /// The next frame.
    pub(crate) fn hear(&mut self, at_us: u64, frame: &[i16]) -> Option<Change> {
        if self.is_in(frame) == self.present {
            self.doubts = 0;
            return None;
        }
        if self.doubts == 0 {
            self.doubted_at_us = at_us;
        }
        self.doubts += 1;
        if self.doubts < FRAMES {
            return None;
        }
        self.doubts = 0;
        self.present = !self.present;
        let at_us = self.doubted_at_us;
        Some(if self.present {
            Change::Heard { at_us }
        } else {
            Change::Gone { at_us }
        })
    }

    fn is_in(&self, frame: &[i16]) -> bool {
        let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
        for (n, &sample) in frame.iter().enumerate() {
            let sample = f32::from(sample);
            let (sin, cos) = (TAU * self.hz * n as f32 / self.rate as f32).sin_cos();
            re += sample * cos;
            im += sample * sin;
            energy += sample * sample;
        }
        let samples = frame.len() as f32;
        if (energy / samples).sqrt() < SILENCE {
            return false;
        }
        // A pure tone has all the energy: |X|² · 2 / N = Σx².
        2.0 * (re * re + im * im) / samples > PURITY * energy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 24_000;
    const FRAME: usize = 240;

    fn frame(hz: f32, number: usize) -> Vec<i16> {
        make(hz, RATE, number * FRAME, FRAME)
    }

    /// Hears frames 10 ms apart and collects the changes.
    fn changes(frames: impl IntoIterator<Item = Vec<i16>>) -> Vec<Change> {
        let mut detector = Detector::new(440.0, RATE);
        frames
            .into_iter()
            .enumerate()
            .filter_map(|(number, frame)| detector.hear(number as u64 * 10_000, &frame))
            .collect()
    }

    #[test]
    fn a_tone_is_heard_from_its_first_frame_to_its_last() {
        let silence = || (0..10).map(|_| vec![0; FRAME]);
        let tone = (0..10).map(|number| frame(440.0, number));
        let changes = changes(silence().chain(tone).chain(silence()));
        let expected = [
            Change::Heard { at_us: 100_000 },
            Change::Gone { at_us: 200_000 },
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn another_tone_is_not_heard() {
        assert_eq!(changes((0..20).map(|number| frame(1_000.0, number))), []);
    }

    #[test]
    fn two_frames_without_it_are_no_gap() {
        let frames = (0..20).map(|number| match number {
            10 | 11 => vec![0; FRAME],
            _ => frame(440.0, number),
        });
        assert_eq!(changes(frames), [Change::Heard { at_us: 0 }]);
    }
}
