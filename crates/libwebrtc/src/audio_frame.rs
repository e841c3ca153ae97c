//! A piece of PCM audio.

use std::borrow::Cow;

/// Interleaved 16-bit PCM with its format.
#[derive(Debug, Clone)]
pub struct AudioFrame<'a> {
    /// `num_channels * samples_per_channel` samples, channels interleaved.
    pub data: Cow<'a, [i16]>,
    /// In hertz.
    pub sample_rate: u32,
    /// 1 is mono, 2 is stereo.
    pub num_channels: u32,
    /// Samples of one channel.
    pub samples_per_channel: u32,
}

impl AudioFrame<'_> {
    /// A frame of silence that owns its samples.
    pub fn new(sample_rate: u32, num_channels: u32, samples_per_channel: u32) -> Self {
        let samples = num_channels as usize * samples_per_channel as usize;
        Self {
            data: Cow::Owned(vec![0; samples]),
            sample_rate,
            num_channels,
            samples_per_channel,
        }
    }
}
