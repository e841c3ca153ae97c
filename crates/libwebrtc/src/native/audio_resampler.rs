//! Changes rate and layout of audio.

use crate::audio::{Resampler, remix};

/// Converts one stream of audio, frame by frame.
#[derive(Debug, Default)]
pub struct AudioResampler {
    /// Rates and channels that it is set up for, and what does the work where the rates differ.
    current: Option<((u32, u32, u32), Option<Resampler>)>,
    remixed: Vec<i16>,
    output: Vec<i16>,
}

impl AudioResampler {
    /// The frame `src` with another rate and number of channels. Frames are pieces of one stream,
    /// of 10 ms as a rule; another format begins another stream. As much time comes out as goes
    /// in, so that at rates without a whole number of samples in 10 ms lengths alternate.
    ///
    /// # Panics
    /// Where `src` is shorter than said, or a rate is none between 4 and 192 kHz, or there are no
    /// channels.
    pub fn remix_and_resample<'a>(
        &'a mut self,
        src: &[i16],
        samples_per_channel: u32,
        num_channels: u32,
        sample_rate: u32,
        dst_num_channels: u32,
        dst_sample_rate: u32,
    ) -> &'a [i16] {
        let length = (samples_per_channel * num_channels) as usize;
        assert!(src.len() >= length, "src buffer too small");
        assert!(
            num_channels > 0 && dst_num_channels > 0,
            "there are no channels"
        );
        self.remixed.clear();
        let (from, to) = (num_channels as usize, dst_num_channels as usize);
        remix(&src[..length], from, to, &mut self.remixed);

        let format = (sample_rate, dst_sample_rate, dst_num_channels);
        if self
            .current
            .as_ref()
            .is_none_or(|(current, _)| *current != format)
        {
            let is_same_rate = sample_rate == dst_sample_rate;
            let resampler =
                (!is_same_rate).then(|| Resampler::new(sample_rate, dst_sample_rate, to));
            let resampler = resampler.map(|made| made.expect("a rate is not supported"));
            self.current = Some((format, resampler));
        }
        self.output.clear();
        match &mut self.current {
            Some((_, Some(resampler))) => resampler.convert(&self.remixed, &mut self.output),
            _ => self.output.extend_from_slice(&self.remixed),
        }
        &self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_change_rate_and_layout() {
        let mut resampler = AudioResampler::default();
        let tone: Vec<i16> = (0..4_800)
            .map(|i| {
                ((f64::from(i) / 48_000.0 * 500.0 * std::f64::consts::TAU).sin() * 9_000.0) as i16
            })
            .collect();
        let mut heard = Vec::new();
        for frame in tone.chunks(480) {
            let frame = resampler.remix_and_resample(frame, 480, 1, 48_000, 2, 16_000);
            assert_eq!(frame.len(), 320);
            heard.extend(frame.chunks(2).map(|pair| pair[0]));
        }
        // Past the beginning, which rings.
        let crossings = heard[160..]
            .windows(2)
            .filter(|pair| pair[0] < 0 && pair[1] >= 0)
            .count();
        assert!((44..=46).contains(&crossings), "{crossings}");
        assert_eq!(
            resampler.remix_and_resample(&[1, 3, 5, 7], 2, 2, 8_000, 1, 8_000),
            [2, 6]
        );
    }

    #[test]
    #[should_panic(expected = "src buffer too small")]
    fn what_is_not_there_is_not_converted() {
        AudioResampler::default().remix_and_resample(&[0; 9], 10, 1, 8_000, 1, 16_000);
    }
}
