//! Changes the sample rate of a stream. Pure.
//!
//! A windowed sinc, tabulated and interpolated, so that any two rates will do. Our own rather than
//! a crate's: frames of 10 ms are to come out as they go in at once, at rates that have no whole
//! number of samples in them (22,050 Hz), which block-wise resamplers do not do.

/// Zero crossings of the sinc on each side: what 90 dB take with the window below.
const ZERO_CROSSINGS: f64 = 16.0;

/// Entries of the table for each input sample; between them lines are drawn.
const PHASES: usize = 256;

/// Share of the lower rate's band that is kept: beyond, the filter falls.
const PASS: f64 = 0.92;

/// Shape of the Kaiser window: side lobes of -90 dB.
const BETA: f64 = 9.0;

/// The lowest and the highest rate in hertz that are known. Source: what AAC, WAV and telephones
/// have among them.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// Converts interleaved samples of one stream, piece by piece.
#[derive(Debug)]
pub(crate) struct Resampler {
    from: u64,
    to: u64,
    channels: usize,
    /// One half of the filter, from its middle.
    table: Vec<f32>,
    /// Input samples of a channel on each side of an output sample.
    reach: usize,
    /// Input that is still needed, as frames of all channels.
    held: Vec<f32>,
    /// Where in `held` the next output lies, in parts of `to` of an input frame.
    position: u64,
}

impl Resampler {
    /// `None` where a rate or the channel count makes no sense.
    pub(crate) fn new(from: u32, to: u32, channels: usize) -> Option<Self> {
        if !RATES.contains(&from) || !RATES.contains(&to) || channels == 0 {
            return None;
        }
        let cutoff = PASS * (f64::from(to) / f64::from(from)).min(1.0);
        let reach = (ZERO_CROSSINGS / cutoff).ceil() as usize;
        let tap = |entry: usize| {
            let x = entry as f64 / PHASES as f64;
            (cutoff * sinc(cutoff * x) * kaiser(x / reach as f64)) as f32
        };
        Some(Self {
            from: u64::from(from),
            to: u64::from(to),
            channels,
            table: (0..=reach * PHASES + 1).map(tap).collect(),
            reach,
            // Silence before the beginning, so that as much comes out as goes in from the start.
            held: vec![0.0; 2 * reach * channels],
            position: reach as u64 * u64::from(to),
        })
    }

    /// Appends what `input`, whole frames, becomes.
    pub(crate) fn convert(&mut self, input: &[i16], output: &mut Vec<i16>) {
        self.held
            .extend(input.iter().map(|sample| f32::from(*sample)));
        let frames = self.held.len() / self.channels;
        while (self.position / self.to) as usize + self.reach < frames {
            let middle = (self.position / self.to) as usize;
            let fraction = (self.position % self.to) as f32 / self.to as f32;
            for channel in 0..self.channels {
                let sample = self.filter(middle, fraction, channel);
                output.push(sample.round().clamp(-32_768.0, 32_767.0) as i16);
            }
            self.position += self.from;
        }
        let done = (self.position / self.to) as usize - self.reach;
        let done = done.min(frames);
        self.held.drain(..done * self.channels);
        self.position -= done as u64 * self.to;
    }

    fn filter(&self, middle: usize, fraction: f32, channel: usize) -> f32 {
        let sample = |frame: usize| self.held[frame * self.channels + channel];
        let left = (0..self.reach).map(|i| sample(middle - i) * self.tap(i as f32 + fraction));
        let right =
            (0..self.reach).map(|i| sample(middle + 1 + i) * self.tap((i + 1) as f32 - fraction));
        left.sum::<f32>() + right.sum::<f32>()
    }

    fn tap(&self, distance: f32) -> f32 {
        let at = distance * PHASES as f32;
        let entry = at as usize;
        let (here, next) = (self.table[entry], self.table[entry + 1]);
        here + (next - here) * (at - entry as f32)
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = std::f64::consts::PI * x;
    angle.sin() / angle
}

/// The Kaiser window at `x`, -1 to 1.
fn kaiser(x: f64) -> f64 {
    bessel(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Makes `channels` of the interleaved `samples` of `from` channels: copies one into all, takes
/// the mean of all for one, and else keeps the first.
pub(crate) fn remix(samples: &[i16], from: usize, channels: usize, output: &mut Vec<i16>) {
    if from == channels {
        output.extend_from_slice(samples);
        return;
    }
    for frame in samples.chunks_exact(from.max(1)) {
        if channels == 1 {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            output.push((sum / frame.len() as i32) as i16);
        } else {
            let sample = |channel: usize| frame[channel.min(frame.len() - 1)];
            output.extend((0..channels).map(sample));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(hz: u32, frequency: f64, seconds: f64) -> Vec<i16> {
        let count = (f64::from(hz) * seconds) as usize;
        let angle = |i: usize| i as f64 / f64::from(hz) * frequency * TAU;
        (0..count)
            .map(|i| (angle(i).sin() * 16_000.0) as i16)
            .collect()
    }

    /// Converts in pieces of 10 ms; answers the pieces' lengths as well.
    fn convert(from: u32, to: u32, input: &[i16]) -> (Vec<i16>, Vec<usize>) {
        let mut resampler = Resampler::new(from, to, 1).unwrap();
        let (mut output, mut lengths) = (Vec::new(), Vec::new());
        for piece in input.chunks(from as usize / 100) {
            let before = output.len();
            resampler.convert(piece, &mut output);
            lengths.push(output.len() - before);
        }
        (output, lengths)
    }

    /// Power of what is not the sine, relative to the whole, in dB.
    fn noise_db(pcm: &[i16], hz: u32, frequency: f64) -> f64 {
        let (mut sines, mut cosines, mut total) = (0.0, 0.0, 0.0);
        for (i, sample) in pcm.iter().enumerate() {
            let (value, angle) = (
                f64::from(*sample),
                i as f64 / f64::from(hz) * frequency * TAU,
            );
            sines += value * angle.sin();
            cosines += value * angle.cos();
            total += value * value;
        }
        let power = (sines * sines + cosines * cosines) * 2.0 / pcm.len() as f64;
        10.0 * ((total - power).max(1e-9) / total).log10()
    }

    #[test]
    fn a_sine_stays_one_at_every_rate() {
        for from in [8_000, 16_000, 44_100, 48_000] {
            for to in [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000] {
                let (output, _) = convert(from, to, &sine(from, 1_000.0, 1.2));
                // Whole periods, past the beginning.
                let second = &output[to as usize / 10..][..to as usize];
                let noise = noise_db(second, to, 1_000.0);
                assert!(noise < -65.0, "{from} to {to}: {noise} dB");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let (output, _) = convert(48_000, 8_000, &sine(48_000, 6_000.0, 0.5));
        let loudest = output[400..].iter().map(|s| s.unsigned_abs()).max();
        assert!(loudest < Some(30), "{loudest:?} of 16000");
    }

    #[test]
    fn ten_milliseconds_come_out_for_ten_that_go_in() {
        for (from, to, expected) in [(48_000, 44_100, [441; 4]), (44_100, 48_000, [480; 4])] {
            assert_eq!(convert(from, to, &sine(from, 500.0, 0.04)).1, expected);
        }
        let (_, lengths) = convert(48_000, 22_050, &sine(48_000, 500.0, 0.04));
        assert_eq!(lengths, [221, 220, 221, 220]);
    }

    #[test]
    fn channels_do_not_mix_and_nonsense_is_refused() {
        let mut resampler = Resampler::new(48_000, 32_000, 2).unwrap();
        let input: Vec<i16> = sine(48_000, 700.0, 0.1)
            .iter()
            .flat_map(|s| [*s, 0])
            .collect();
        let mut output = Vec::new();
        resampler.convert(&input, &mut output);
        assert_eq!(output.len(), 3_200 * 2);
        assert!(output.chunks(2).all(|frame| frame[1] == 0));
        for (from, to, channels) in [(0, 48_000, 1), (48_000, 1_000_000, 1), (48_000, 8_000, 0)] {
            assert!(Resampler::new(from, to, channels).is_none());
        }
    }

    #[test]
    fn layouts_change_as_ears_expect() {
        let mixed = |samples: &[i16], from, channels| {
            let mut output = Vec::new();
            remix(samples, from, channels, &mut output);
            output
        };
        assert_eq!(mixed(&[1, 2], 1, 2), [1, 1, 2, 2]);
        assert_eq!(mixed(&[10, 20, -30, -10], 2, 1), [15, -20]);
        assert_eq!(mixed(&[1, 2, 3], 3, 2), [1, 2]);
    }
}
