//! Tones: made, and found in what was heard.

use std::f64::consts::TAU;

use libwebrtc::{audio_frame::AudioFrame, audio_source::native::NativeAudioSource};
use tokio::task::JoinSet;

/// Half of full scale: loud, and far from clipping.
const AMPLITUDE: f64 = 16_000.0;

/// Plays a tone into a source until dropped.
pub(crate) struct Tone(#[expect(dead_code, reason = "aborts its task when dropped")] JoinSet<()>);

impl Tone {
    pub(crate) fn play(source: NativeAudioSource, frequency: f64) -> Self {
        let mut playing = JoinSet::new();
        playing.spawn(async move {
            let rate = source.sample_rate();
            let per_frame = rate / 100;
            let mut sample = 0_u64;
            loop {
                let data: Vec<i16> = (0..u64::from(per_frame))
                    .map(|i| {
                        let time = (sample + i) as f64 / f64::from(rate);
                        ((TAU * frequency * time).sin() * AMPLITUDE) as i16
                    })
                    .collect();
                sample += u64::from(per_frame);
                let frame = AudioFrame {
                    data: data.into(),
                    sample_rate: rate,
                    num_channels: 1,
                    samples_per_channel: per_frame,
                };
                if source.capture_frame(&frame).await.is_err() {
                    return;
                }
            }
        });
        Self(playing)
    }
}

/// The share of the samples' power that lies at a frequency, 0 to 1. Source: Goertzel's algorithm.
pub(crate) fn share(samples: &[i16], rate: u32, frequency: f64) -> f64 {
    let step = TAU * frequency / f64::from(rate);
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let value = f64::from(*sample);
        real += value * (step * index as f64).cos();
        imaginary += value * (step * index as f64).sin();
        power += value * value;
    }
    if power == 0.0 {
        return 0.0;
    }
    2.0 * (real * real + imaginary * imaginary) / (power * samples.len() as f64)
}
