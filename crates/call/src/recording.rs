//! Recordings of tenants: WAV files of any usual kind, as 24 kHz mono PCM.

use std::io::Cursor;

use hound::{SampleFormat, WavReader, WavSpec};
use trunkline_realtime::SAMPLE_RATE;

/// The largest file that is fetched, in bytes: five minutes at 16 kHz.
pub(crate) const MAX_BYTES: usize = 10 * 1024 * 1024;
/// What is played of it at most, in samples: five minutes.
const MAX_SAMPLES: usize = 5 * 60 * SAMPLE_RATE as usize;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRecording {
    #[error("it is no WAV file with PCM samples ({0})")]
    NotWav(#[from] hound::Error),
    #[error(
        "it has {channels} channels of {bits} bits at {rate} Hz; 1 or 2 channels of 8, 16, 24 or 32 bits at 8,000 to 48,000 Hz are played"
    )]
    Unusual { channels: u16, bits: u16, rate: u32 },
    #[error("there is no sound in it")]
    Empty,
}

/// Reads a WAV file.
pub(crate) fn read(file: &[u8]) -> Result<Vec<i16>, InvalidRecording> {
    let reader = WavReader::new(Cursor::new(file))?;
    let spec = reader.spec();
    let usual = (1..=2).contains(&spec.channels)
        && (8_000..=48_000).contains(&spec.sample_rate)
        && [8, 16, 24, 32].contains(&spec.bits_per_sample);
    if !usual {
        return Err(InvalidRecording::Unusual {
            channels: spec.channels,
            bits: spec.bits_per_sample,
            rate: spec.sample_rate,
        });
    }
    let mono = mixed(samples(reader, spec)?, spec.channels);
    let mut pcm = resampled(&mono, spec.sample_rate, SAMPLE_RATE);
    pcm.truncate(MAX_SAMPLES);
    if pcm.is_empty() {
        return Err(InvalidRecording::Empty);
    }
    Ok(pcm)
}

/// All samples, as 16 bits.
fn samples(reader: WavReader<Cursor<&[u8]>>, spec: WavSpec) -> Result<Vec<i16>, InvalidRecording> {
    let samples = match spec.sample_format {
        SampleFormat::Int => {
            let shift = i32::from(spec.bits_per_sample) - 16;
            let narrow = |sample: i32| {
                if shift >= 0 {
                    (sample >> shift) as i16
                } else {
                    (sample << -shift) as i16
                }
            };
            reader
                .into_samples::<i32>()
                .map(|sample| sample.map(narrow))
                .collect::<Result<_, _>>()?
        }
        SampleFormat::Float => reader
            .into_samples::<f32>()
            .map(|sample| sample.map(|s| (s.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i16))
            .collect::<Result<_, _>>()?,
    };
    Ok(samples)
}

fn mixed(samples: Vec<i16>, channels: u16) -> Vec<i16> {
    if channels == 1 {
        return samples;
    }
    let pairs = samples.chunks_exact(2);
    pairs
        .map(|pair| i32::midpoint(pair[0].into(), pair[1].into()) as i16)
        .collect()
}

/// Linear interpolation: what it leaves above 4 kHz is cut off by the phone line.
pub(crate) fn resampled(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let length = pcm.len() * to as usize / from as usize;
    let at = |n: usize| {
        let position = n as u64 * u64::from(from);
        let (index, rest) = (position / u64::from(to), position % u64::from(to));
        let here = i64::from(pcm[index as usize]);
        let next = i64::from(*pcm.get(index as usize + 1).unwrap_or(&pcm[index as usize]));
        (here + (next - here) * rest as i64 / i64::from(to)) as i16
    };
    (0..length).map(at).collect()
}

#[cfg(test)]
mod tests {
    use hound::WavWriter;

    use super::*;

    fn wav(spec: WavSpec, samples: impl Iterator<Item = i32>) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, spec).unwrap();
        for sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        file.into_inner()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16) -> WavSpec {
        WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format: SampleFormat::Int,
        }
    }

    #[test]
    fn usual_files_have_the_length_and_loudness_that_they_had() {
        for (channels, rate, bits) in [
            (1, 8_000, 16),
            (2, 44_100, 16),
            (1, 48_000, 24),
            (1, 16_000, 8),
        ] {
            let loud = 1 << (bits - 2);
            let file = wav(
                spec(channels, rate, bits),
                (0..rate * u32::from(channels)).map(|_| loud),
            );
            let pcm = read(&file).unwrap();
            assert_eq!(pcm.len(), SAMPLE_RATE as usize);
            assert!(pcm.iter().all(|&sample| sample == 1 << 14), "{bits} bits");
        }
    }

    #[test]
    fn what_is_no_recording_is_said() {
        assert!(matches!(read(b"hello"), Err(InvalidRecording::NotWav(_))));
        let empty = wav(spec(1, 8_000, 16), std::iter::empty());
        assert!(matches!(read(&empty), Err(InvalidRecording::Empty)));
        let wide = wav(spec(6, 48_000, 16), 0..6);
        let problem = read(&wide).unwrap_err().to_string();
        assert!(problem.contains("6 channels"), "{problem}");
    }

    #[test]
    fn a_lying_header_makes_no_more_than_there_is() {
        let mut file = wav(spec(1, 8_000, 16), 0..100);
        let length = file.len();
        file[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&file).is_err() || read(&file).unwrap().len() <= length * 3);
    }
}
