//! The input audio buffer: what the user said in it, and when.

use std::time::Duration;

use super::audio::HEARING_RATE;
use super::error::WireError;
use super::session::TurnDetection;
use super::vad::{Vad, VoiceEvent};
use crate::voice::Decoder;

/// Less than this cannot be committed. Source: the vendor's error message.
const MIN_COMMIT: Duration = Duration::from_millis(100);
/// The detector listens in steps of this many samples (10 ms).
const STEP: usize = HEARING_RATE as usize / 100;

/// Audio that was committed.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) text: String,
    pub(super) lasted: Duration,
}

#[derive(Debug)]
pub(super) enum InputEvent {
    Started { at: Duration },
    Stopped { at: Duration, segment: Segment },
}

#[derive(Debug)]
pub(super) struct InputBuffer {
    vad: Vad,
    /// Everything received in the session.
    received: Duration,
    /// What came before speech was noticed: the beginning of the turn is in it.
    before: Vec<i16>,
    ear: Decoder,
    /// What `ear` has listened to.
    lasted: Duration,
}

impl InputBuffer {
    pub(super) fn new() -> Self {
        Self {
            vad: Vad::default(),
            received: Duration::ZERO,
            before: Vec::new(),
            ear: Decoder::new(HEARING_RATE),
            lasted: Duration::ZERO,
        }
    }

    pub(super) fn received(&self) -> Duration {
        self.received
    }

    pub(super) fn append(
        &mut self,
        samples: &[i16],
        detection: Option<TurnDetection>,
    ) -> Vec<InputEvent> {
        self.received += duration_of(samples.len());
        let Some(detection) = detection else {
            self.listen(samples);
            return Vec::new();
        };
        let mut events = Vec::new();
        for step in samples.chunks(STEP) {
            if self.vad.is_speaking() {
                self.listen(step);
            } else {
                self.before.extend_from_slice(step);
            }
            for event in self.vad.push(step, &detection) {
                events.push(self.voice_event(event, &detection));
            }
            self.forget_silence(&detection);
        }
        events
    }

    fn voice_event(&mut self, event: VoiceEvent, detection: &TurnDetection) -> InputEvent {
        match event {
            VoiceEvent::Started(at) => {
                let before = std::mem::take(&mut self.before);
                self.listen(&before);
                InputEvent::Started {
                    at: at.saturating_sub(detection.prefix_padding),
                }
            }
            VoiceEvent::Stopped(at) => InputEvent::Stopped {
                at,
                segment: self.take(),
            },
        }
    }

    /// While nobody speaks, only what a turn may begin with is kept.
    fn forget_silence(&mut self, detection: &TurnDetection) {
        // The onset lasts a few steps until it is noticed.
        let kept = samples_of(detection.prefix_padding) + 10 * STEP;
        let surplus = self.before.len().saturating_sub(kept);
        self.before.drain(..surplus);
    }

    fn listen(&mut self, samples: &[i16]) {
        self.ear.push(samples);
        self.lasted += duration_of(samples.len());
    }

    fn take(&mut self) -> Segment {
        let ear = std::mem::replace(&mut self.ear, Decoder::new(HEARING_RATE));
        let said: Vec<String> = ear.heard().into_iter().map(|heard| heard.text).collect();
        Segment {
            text: said.join(" "),
            lasted: std::mem::take(&mut self.lasted),
        }
    }

    /// The client ends the turn itself.
    pub(super) fn commit(&mut self) -> Result<Segment, WireError> {
        let before = std::mem::take(&mut self.before);
        self.listen(&before);
        if self.lasted < MIN_COMMIT {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of \
                 audio, but buffer only has {:.2}ms of audio.",
                self.lasted.as_secs_f64() * 1_000.0
            );
            return Err(WireError::invalid(
                "input_audio_buffer_commit_empty",
                message,
            ));
        }
        self.vad.reset();
        Ok(self.take())
    }

    pub(super) fn clear(&mut self) {
        self.before.clear();
        self.take();
        self.vad.reset();
    }
}

fn duration_of(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(HEARING_RATE))
}

fn samples_of(duration: Duration) -> usize {
    (duration.as_secs_f64() * f64::from(HEARING_RATE)) as usize
}
