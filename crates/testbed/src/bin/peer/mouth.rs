//! What the peer says, at the pace of speech, with silence before and after.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use tokio::time::{Instant, MissedTickBehavior};
use trunkline_testbed::peer::{What, now_us};
use trunkline_testbed::voice;

use crate::Arguments;
use crate::tell::Teller;
use crate::tone;

/// As engines take it.
const FRAME: Duration = Duration::from_millis(10);

/// What the engine may hold: enough to catch up after a stall of a busy machine.
/// It stays empty otherwise, as frames come at the pace of the clock.
const QUEUE_MS: u32 = 100;

/// Between two repetitions.
const PAUSE: Duration = Duration::from_millis(500);

/// What there is to say.
enum Speech {
    /// Samples, once or over and over.
    Samples { pcm: Vec<i16>, repeat: bool },
    /// A tone of this frequency, without end.
    Tone(f32),
}

/// The peer's mouth.
pub(crate) struct Mouth {
    source: NativeAudioSource,
    rate: u32,
    speech: Speech,
    begin_at_us: Option<u64>,
}

impl Mouth {
    /// `None` when there is nothing to say.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Option<Self>> {
        let repeat = arguments.repeat;
        let (rate, speech) = if let Some(path) = &arguments.publish {
            let (rate, pcm) =
                read(path).with_context(|| format!("cannot say {}", path.display()))?;
            (rate, Speech::Samples { pcm, repeat })
        } else if let Some(sentence) = &arguments.say {
            let pcm = voice::encode(sentence, arguments.rate);
            (arguments.rate, Speech::Samples { pcm, repeat })
        } else if let Some(hz) = arguments.tone {
            (arguments.rate, Speech::Tone(hz))
        } else {
            return Ok(None);
        };
        Ok(Some(Self {
            source: NativeAudioSource::new(AudioSourceOptions::default(), rate, 1, QUEUE_MS),
            rate,
            speech,
            begin_at_us: arguments.speak_at_us,
        }))
    }

    /// For the track.
    pub(crate) fn source(&self) -> RtcAudioSource {
        RtcAudioSource::Native(self.source.clone())
    }

    /// Speaks, and is silent, for ever.
    pub(crate) async fn speak(self, teller: Teller) -> anyhow::Result<()> {
        let samples = (self.rate as u128 * FRAME.as_millis() / 1000) as usize;
        let mut script = Script::new(&self.speech, self.rate, samples);
        let mut pace = tokio::time::interval_at(self.beginning(), FRAME);
        // After a stall the lost time is made up for: a microphone's clock runs on.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            pace.tick().await;
            let begins = self.begin_at_us.is_none_or(|at| now_us() >= at);
            let (data, turning) = if begins {
                script.next()
            } else {
                (vec![0; samples], None)
            };
            if let Some(what) = turning {
                teller.tell(what)?;
            }
            let frame = AudioFrame {
                samples_per_channel: data.len() as u32,
                data: data.into(),
                sample_rate: self.rate,
                num_channels: 1,
            };
            self.source
                .capture_frame(&frame)
                .await
                .context("the engine does not take what is said")?;
        }
    }

    /// The first tick: so that another is exactly when speech is to begin.
    fn beginning(&self) -> Instant {
        let to_go = self.begin_at_us.map_or(0, |at| at.saturating_sub(now_us()));
        let within_frame = to_go % u64::try_from(FRAME.as_micros()).unwrap_or(u64::MAX);
        Instant::now() + Duration::from_micros(within_frame)
    }
}

/// Speech, cut into frames.
struct Script<'a> {
    speech: &'a Speech,
    rate: u32,
    samples: usize,
    /// The next sample, within the speech or the pause behind it.
    at: usize,
}

impl<'a> Script<'a> {
    fn new(speech: &'a Speech, rate: u32, samples: usize) -> Self {
        Self {
            speech,
            rate,
            samples,
            at: 0,
        }
    }

    /// The next frame, and what begins or has ended with it.
    fn next(&mut self) -> (Vec<i16>, Option<What>) {
        let from = self.at;
        self.at += self.samples;
        match self.speech {
            Speech::Tone(hz) => {
                let began = (from == 0).then_some(What::SpeechBegan);
                (tone::make(*hz, self.rate, from, self.samples), began)
            }
            Speech::Samples { pcm, repeat } => {
                let said = pcm.get(from..).unwrap_or_default();
                let mut frame = said[..said.len().min(self.samples)].to_vec();
                frame.resize(self.samples, 0);
                let pause = self.rate as usize * PAUSE.as_millis() as usize / 1000;
                if *repeat && self.at >= pcm.len() + pause {
                    self.at = 0;
                }
                let turning = if from == 0 {
                    Some(What::SpeechBegan)
                } else if (pcm.len()..pcm.len() + self.samples).contains(&from) {
                    Some(What::SpeechEnded)
                } else {
                    None
                };
                (frame, turning)
            }
        }
    }
}

/// A WAV file's rate and samples.
fn read(path: &Path) -> anyhow::Result<(u32, Vec<i16>)> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    anyhow::ensure!(spec.channels == 1, "it is not mono");
    anyhow::ensure!(
        spec.sample_format == hound::SampleFormat::Int && spec.bits_per_sample == 16,
        "it is not 16-bit PCM"
    );
    anyhow::ensure!(
        matches!(spec.sample_rate, 8_000 | 12_000 | 16_000 | 24_000 | 48_000),
        "Opus has no rate of {} Hz",
        spec.sample_rate
    );
    let samples = reader.samples::<i16>().collect::<Result<_, _>>()?;
    Ok((spec.sample_rate, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten samples a frame.
    const RATE: u32 = 1_000;

    #[test]
    fn speech_is_said_once_and_then_silence() {
        let speech = Speech::Samples {
            pcm: vec![1; 15],
            repeat: false,
        };
        let mut script = Script::new(&speech, RATE, 10);
        assert_eq!(script.next(), (vec![1; 10], Some(What::SpeechBegan)));
        assert_eq!(script.next(), ([vec![1; 5], vec![0; 5]].concat(), None));
        assert_eq!(script.next(), (vec![0; 10], Some(What::SpeechEnded)));
        for _ in 0..100 {
            assert_eq!(script.next(), (vec![0; 10], None));
        }
    }

    #[test]
    fn repeated_speech_has_a_pause_between() {
        let speech = Speech::Samples {
            pcm: vec![1; 10],
            repeat: true,
        };
        let mut script = Script::new(&speech, RATE, 10);
        let began: Vec<usize> = (0..120)
            .filter(|_| script.next().1 == Some(What::SpeechBegan))
            .collect();
        // 10 ms of speech and 500 of pause.
        assert_eq!(began, [0, 51, 102]);
    }
}
