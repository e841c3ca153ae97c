//! Voice activity, told by loudness, as the vendor's `server_vad` does.

use std::time::Duration;

use super::audio::HEARING_RATE;
use super::session::TurnDetection;

const FRAME_SAMPLES: usize = HEARING_RATE as usize / 100;
const FRAME: Duration = Duration::from_millis(10);
/// Speech has begun when so many frames in a row are loud: shorter sounds are clicks.
const ONSET_FRAMES: u32 = 4;

/// What the voice did, at a time of the audio received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VoiceEvent {
    /// It began to speak at this time.
    Started(Duration),
    /// It has been silent for long enough, at this time.
    Stopped(Duration),
}

/// Listens to all audio of a session.
#[derive(Debug, Default)]
pub(super) struct Vad {
    partial: Vec<i16>,
    clock: Duration,
    loud_frames: u32,
    speaking: bool,
    silent_for: Duration,
}

impl Vad {
    pub(super) fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Forgets what was said, not what time it is.
    pub(super) fn reset(&mut self) {
        *self = Self {
            partial: std::mem::take(&mut self.partial),
            clock: self.clock,
            ..Self::default()
        };
    }

    /// Listens on; the events are those between these samples and the ones before.
    pub(super) fn push(&mut self, samples: &[i16], detection: &TurnDetection) -> Vec<VoiceEvent> {
        self.partial.extend_from_slice(samples);
        let whole = self.partial.len() / FRAME_SAMPLES * FRAME_SAMPLES;
        let frames: Vec<i16> = self.partial.drain(..whole).collect();
        let loudness = loudness_of(detection.threshold);
        frames
            .chunks(FRAME_SAMPLES)
            .filter_map(|frame| self.frame(root_mean_square(frame) >= loudness, detection.silence))
            .collect()
    }

    fn frame(&mut self, loud: bool, patience: Duration) -> Option<VoiceEvent> {
        self.clock += FRAME;
        self.loud_frames = if loud { self.loud_frames + 1 } else { 0 };
        self.silent_for = if loud {
            Duration::ZERO
        } else {
            self.silent_for + FRAME
        };
        if !self.speaking && self.loud_frames >= ONSET_FRAMES {
            self.speaking = true;
            return Some(VoiceEvent::Started(self.clock - FRAME * ONSET_FRAMES));
        }
        if self.speaking && self.silent_for >= patience {
            self.speaking = false;
            return Some(VoiceEvent::Stopped(self.clock));
        }
        None
    }
}

/// The level that counts as loud: −40 dBFS at the default threshold of 0.5, 4 dB a tenth.
fn loudness_of(threshold: f64) -> f64 {
    let dbfs = -60.0 + 40.0 * threshold;
    32_768.0 * 10f64.powf(dbfs / 20.0)
}

fn root_mean_square(frame: &[i16]) -> f64 {
    let energy: f64 = frame.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / frame.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice;

    const DETECTION: TurnDetection = TurnDetection {
        threshold: 0.5,
        prefix_padding: Duration::from_millis(300),
        silence: Duration::from_millis(500),
        create_response: true,
        interrupt_response: true,
        idle_timeout: None,
    };

    fn silence(ms: usize) -> Vec<i16> {
        vec![0; ms * HEARING_RATE as usize / 1_000]
    }

    #[test]
    fn a_sentence_starts_and_stops_once_however_the_audio_is_cut() {
        let sentence = voice::encode("good morning to you", HEARING_RATE);
        let spoken = Duration::from_millis(sentence.len() as u64 / 24);
        let audio = [silence(500), sentence, silence(800)].concat();
        for piece in [77, 240, 480, 4_800] {
            let mut vad = Vad::default();
            let events: Vec<_> = audio
                .chunks(piece)
                .flat_map(|piece| vad.push(piece, &DETECTION))
                .collect();
            let [VoiceEvent::Started(start), VoiceEvent::Stopped(stop)] = events[..] else {
                panic!("{events:?}")
            };
            assert!(
                start.abs_diff(Duration::from_millis(500)) <= FRAME,
                "{start:?}"
            );
            let expected = Duration::from_millis(1_000) + spoken;
            assert!(
                stop.abs_diff(expected) <= 2 * FRAME,
                "{stop:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn clicks_and_hum_are_no_speech() {
        let mut audio = Vec::new();
        for _ in 0..20 {
            audio.extend([20_000; FRAME_SAMPLES]);
            audio.extend(silence(90));
        }
        audio.extend([200; FRAME_SAMPLES * 100]);
        assert_eq!(Vad::default().push(&audio, &DETECTION), []);
    }

    #[test]
    fn a_higher_threshold_wants_louder_speech() {
        let quiet: Vec<i16> = voice::encode("hello", HEARING_RATE)
            .iter()
            .map(|sample| sample / 4)
            .collect();
        let strict = TurnDetection {
            threshold: 0.9,
            ..DETECTION
        };
        assert_eq!(Vad::default().push(&quiet, &strict), []);
        assert_eq!(Vad::default().push(&quiet, &DETECTION).len(), 1);
    }
}
