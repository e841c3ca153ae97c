//! Mixes the audio of several sources.

use crate::{audio::remix, audio_frame::AudioFrame};

/// Rates that are mixed at. The first that loses nothing of any source is taken; sources know it
/// as the target. The original has the same.
const RATES: [u32; 4] = [8_000, 16_000, 32_000, 48_000];

/// How loud a mix may be: full scale.
const LIMIT: f32 = 32_767.0;

/// How fast the volume comes back after it had to be turned down: half of the way in 100 ms.
const RECOVERY_PER_FRAME: f32 = 0.067;

/// What a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFrameInfo {
    /// Sound.
    Normal,
    /// Silence.
    Muted,
    /// Nothing, because something went wrong.
    Error,
}

/// Something to be mixed.
pub trait AudioMixerSource {
    /// Names the source for [`AudioMixer::remove_source`].
    fn ssrc(&self) -> i32;

    /// The rate that it has its audio at, in hertz.
    fn preferred_sample_rate(&self) -> u32;

    /// Its next 10 ms at the rate asked for; `None` where it is silent.
    fn get_audio_frame_with_info(&self, target_sample_rate: u32) -> Option<AudioFrame<'_>>;
}

/// Mixes sources, 10 ms at a time.
///
/// A single source is passed on as it is. More are added up, and turned down together where that
/// would be louder than there is room for.
pub struct AudioMixer {
    sources: Vec<Box<dyn AudioMixerSource + Send + Sync>>,
    /// What the sum is multiplied with at present.
    gain: f32,
    sum: Vec<f32>,
    remixed: Vec<i16>,
    output: Vec<i16>,
}

impl Default for AudioMixer {
    fn default() -> Self {
        Self::new()
    }
}

impl AudioMixer {
    /// A mixer without sources.
    pub fn new() -> Self {
        Self {
            sources: Vec::new(),
            gain: 1.0,
            sum: Vec::new(),
            remixed: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Adds a source. Beside what the original asks for it must be shareable among threads, as
    /// the mixer is.
    pub fn add_source(&mut self, source: impl AudioMixerSource + Send + Sync + 'static) {
        self.sources.push(Box::new(source));
    }

    /// Removes the first source of this name.
    pub fn remove_source(&mut self, ssrc: i32) {
        if let Some(place) = self.sources.iter().position(|source| source.ssrc() == ssrc) {
            self.sources.remove(place);
        }
    }

    /// The next 10 ms of all sources, `num_channels` interleaved.
    ///
    /// # Panics
    /// Where a source has not the rate that it was asked for, or not 10 ms.
    pub fn mix(&mut self, num_channels: usize) -> &[i16] {
        let rate = self.rate();
        let per_channel = rate as usize / 100;
        self.sum.clear();
        self.sum.resize(per_channel * num_channels, 0.0);
        let mut mixed = 0;
        for source in &self.sources {
            let Some(frame) = source.get_audio_frame_with_info(rate) else {
                continue;
            };
            check(&frame, rate, per_channel);
            self.remixed.clear();
            remix(
                &frame.data,
                frame.num_channels as usize,
                num_channels,
                &mut self.remixed,
            );
            for (sum, sample) in self.sum.iter_mut().zip(&self.remixed) {
                *sum += f32::from(*sample);
            }
            mixed += 1;
        }
        self.limit(mixed, num_channels)
    }

    fn rate(&self) -> u32 {
        let wanted = self
            .sources
            .iter()
            .map(|source| source.preferred_sample_rate());
        let Some(wanted) = wanted.max() else {
            return RATES[RATES.len() - 1];
        };
        let enough = RATES.into_iter().find(|rate| *rate >= wanted);
        enough.unwrap_or(RATES[RATES.len() - 1])
    }

    /// Turns the sum down at once where it is too loud, gliding over the frame, and up slowly.
    fn limit(&mut self, mixed: usize, num_channels: usize) -> &[i16] {
        let loudest = self
            .sum
            .iter()
            .fold(0.0f32, |most, sample| most.max(sample.abs()));
        let before = self.gain;
        self.gain = if mixed <= 1 {
            1.0
        } else {
            let recovered = before + (1.0 - before) * RECOVERY_PER_FRAME;
            recovered.min(LIMIT / loudest.max(LIMIT))
        };
        let frames = (self.sum.len() / num_channels.max(1)).max(1) as f32;
        let step = (self.gain - before) / frames;
        self.output.clear();
        let samples = self.sum.iter().enumerate().map(|(i, sample)| {
            let gain = before + step * (i / num_channels.max(1)) as f32;
            // Where it gets loud sooner than the glide gets there.
            (sample * gain).clamp(-LIMIT - 1.0, LIMIT) as i16
        });
        self.output.extend(samples);
        &self.output
    }
}

fn check(frame: &AudioFrame<'_>, rate: u32, per_channel: usize) {
    assert_eq!(
        frame.sample_rate, rate,
        "sample rate must match target_sample_rate"
    );
    assert_eq!(
        frame.samples_per_channel as usize, per_channel,
        "frame must contain 10ms of samples"
    );
    assert_eq!(
        frame.data.len(),
        per_channel * frame.num_channels as usize,
        "slice must contain 10ms of samples"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A constant, or silence.
    struct Level {
        ssrc: i32,
        rate: u32,
        channels: u32,
        level: Option<i16>,
    }

    impl AudioMixerSource for Level {
        fn ssrc(&self) -> i32 {
            self.ssrc
        }

        fn preferred_sample_rate(&self) -> u32 {
            self.rate
        }

        fn get_audio_frame_with_info(&self, rate: u32) -> Option<AudioFrame<'_>> {
            let level = self.level?;
            let samples_per_channel = rate / 100;
            Some(AudioFrame {
                data: vec![level; (samples_per_channel * self.channels) as usize].into(),
                sample_rate: rate,
                num_channels: self.channels,
                samples_per_channel,
            })
        }
    }

    fn level(ssrc: i32, rate: u32, level: Option<i16>) -> Level {
        Level {
            ssrc,
            rate,
            channels: 1,
            level,
        }
    }

    #[test]
    fn sources_add_up_and_silence_adds_nothing() {
        let mut mixer = AudioMixer::new();
        assert_eq!(mixer.mix(1), [0; 480]);
        mixer.add_source(level(1, 16_000, Some(1_000)));
        mixer.add_source(level(2, 8_000, None));
        assert_eq!(mixer.mix(1), [1_000; 160]);
        mixer.add_source(level(3, 24_000, Some(500)));
        assert_eq!(mixer.mix(2), [1_500; 640], "the next rate that has it all");
        mixer.remove_source(3);
        mixer.remove_source(99);
        assert_eq!(mixer.mix(1), [1_000; 160]);
    }

    #[test]
    fn a_mix_that_is_too_loud_is_turned_down_and_recovers() {
        let mut mixer = AudioMixer::new();
        mixer.add_source(level(1, 8_000, Some(30_000)));
        assert_eq!(mixer.mix(1), [30_000; 80], "one alone is left as it is");
        mixer.add_source(level(2, 8_000, Some(30_000)));
        mixer.mix(1);
        let settled = mixer.mix(1).to_vec();
        assert!(
            settled.iter().all(|s| (32_700..=32_767).contains(s)),
            "{settled:?}"
        );
        mixer.remove_source(2);
        mixer.add_source(level(3, 8_000, Some(100)));
        for _ in 0..200 {
            mixer.mix(1);
        }
        let recovered = mixer.mix(1)[79];
        assert!((30_050..=30_100).contains(&recovered), "{recovered}");
    }

    #[test]
    fn layouts_of_sources_do_not_matter() {
        let mut mixer = AudioMixer::new();
        let stereo = Level {
            channels: 2,
            ..level(1, 48_000, Some(700))
        };
        mixer.add_source(stereo);
        assert_eq!(mixer.mix(1), [700; 480]);
    }

    #[test]
    fn mixers_move_between_threads() {
        fn is_shareable<T: Send + Sync>(_: &T) {}
        is_shareable(&AudioMixer::new());
    }
}
