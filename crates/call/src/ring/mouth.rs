//! What the caller of a test call says, at the pace of speech.

use std::time::{Duration, Instant};

use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::prelude::AudioSourceOptions;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// A phone's packet; each rate that is taken has a whole number of samples in it.
const FRAME: Duration = Duration::from_millis(20);
const FRAMES_PER_SECOND: u32 = 50;

/// What the engine may hold: enough to ride out a late wake-up of this task.
const QUEUE_MS: u32 = 100;

/// The rate of a caller who says nothing.
const SILENT_RATE: u32 = 24_000;

/// More than anybody says in a test call.
const MAX_SPEECH: Duration = Duration::from_secs(300);

/// Something to say, mono.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    rate: u32,
    samples: Vec<i16>,
}

/// It cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpeech {
    /// The engine does not take the rate.
    #[error("it has {0} samples a second; 8000, 16000, 24000, 44100 and 48000 can be said")]
    Rate(u32),
    /// There are no samples.
    #[error("there is no sound in it")]
    Empty,
    /// Nobody would listen.
    #[error("it is longer than {} s", MAX_SPEECH.as_secs())]
    TooLong,
}

impl Speech {
    /// Mono samples, so many a second.
    ///
    /// # Errors
    /// When the rate is not one of 8, 16, 24, 44.1 and 48 kHz, there are no samples, or they
    /// take more than 300 s.
    pub fn new(rate: u32, samples: Vec<i16>) -> Result<Self, InvalidSpeech> {
        if ![8_000, 16_000, 24_000, 44_100, 48_000].contains(&rate) {
            return Err(InvalidSpeech::Rate(rate));
        }
        if samples.is_empty() {
            return Err(InvalidSpeech::Empty);
        }
        if samples.len() as u64 > u64::from(rate) * MAX_SPEECH.as_secs() {
            return Err(InvalidSpeech::TooLong);
        }
        Ok(Self { rate, samples })
    }
}

/// The source of the caller's track, and what goes into it.
pub(super) struct Mouth {
    source: NativeAudioSource,
    rate: u32,
    samples: Vec<i16>,
}

impl Mouth {
    pub(super) fn new(speech: Option<Speech>) -> Self {
        let speech = speech.unwrap_or(Speech {
            rate: SILENT_RATE,
            samples: Vec::new(),
        });
        let options = AudioSourceOptions::default();
        Self {
            source: NativeAudioSource::new(options, speech.rate, 1, QUEUE_MS),
            rate: speech.rate,
            samples: speech.samples,
        }
    }

    pub(super) fn source(&self) -> NativeAudioSource {
        self.source.clone()
    }

    /// Listens until `turn`, says everything, `spoken`, and then is silent for ever: a phone's
    /// packets come whether there is speech in them or not.
    pub(super) async fn run(self, turn: watch::Receiver<Instant>, spoken: impl FnOnce()) {
        let frame_samples = self.rate / FRAMES_PER_SECOND;
        let mut pace = tokio::time::interval(FRAME);
        // After a stall the lost time is made up for: a phone's clock runs on.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut frames = self.samples.chunks(frame_samples as usize);
        let mut spoken = (!self.samples.is_empty()).then_some(spoken);
        let mut listening = true;
        loop {
            let now = pace.tick().await;
            listening = listening && *turn.borrow() > now.into_std();
            let samples = if listening { None } else { frames.next() };
            if samples.is_none()
                && !listening
                && let Some(spoken) = spoken.take()
            {
                spoken();
            }
            let mut data = samples.unwrap_or_default().to_vec();
            data.resize(frame_samples as usize, 0);
            let frame = AudioFrame {
                data: data.into(),
                sample_rate: self.rate,
                num_channels: 1,
                samples_per_channel: frame_samples,
            };
            if let Err(error) = self.source.capture_frame(&frame).await {
                tracing::warn!("the caller is not heard: {error}");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_engine_takes_can_be_said() {
        assert_eq!(Speech::new(8_000, vec![0]).map(|s| s.rate), Ok(8_000));
        assert_eq!(
            Speech::new(11_025, vec![]),
            Err(InvalidSpeech::Rate(11_025))
        );
        assert_eq!(Speech::new(8_000, vec![]), Err(InvalidSpeech::Empty));
        let long = vec![0; 8_000 * 300 + 1];
        assert_eq!(Speech::new(8_000, long), Err(InvalidSpeech::TooLong));
    }
}
