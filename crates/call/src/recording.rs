//! Recordings of tenants: WAV files of any usual kind, as 24 kHz mono PCM.

use std::io::Cursor;

use hound::{SampleFormat, WavReader, WavSpec};
use trunkline_realtime::SAMPLE_RATE;

/// The largest file that is fetched, in bytes: five minutes at 16 kHz.
pub(crate) const MAX_BYTES: usize = 10 * 1024 * 1024;
/// What is played of it at most, in samples: five minutes.
const MAX_SAMPLES: usize = 5 * 60 * SAMPLE_RATE as usize;

/// The longest apology of a tenant's own, in seconds. A caller hears it in place of an
/// agent, and it is unpacked for each call that hears it.
pub(crate) const MAX_APOLOGY_SECONDS: u32 = 60;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecording {
    /// Another kind of file.
    #[error("it is no WAV file with PCM samples ({0})")]
    NotWav(#[from] hound::Error),
    /// Nothing that a phone call has.
    #[error(
        "it has {channels} channels of {bits} bits at {rate} Hz; 1 or 2 channels of 8, 16, 24 or 32 bits at 8,000 to 48,000 Hz are played"
    )]
    Unusual {
        /// How many.
        channels: u16,
        /// Of a sample.
        bits: u16,
        /// In samples a second.
        rate: u32,
    },
    /// It has no samples.
    #[error("there is no sound in it")]
    Empty,
    /// It breaks off.
    #[error("it breaks off: its header tells of more sound than there is")]
    Short,
    /// More than a caller is made to listen to.
    #[error("it is of more than {MAX_APOLOGY_SECONDS} seconds")]
    Long,
}

/// Whether a file can be played as a tenant's apology, by what its header says: a look
/// that costs nothing.
///
/// # Errors
/// When it cannot.
pub fn check_apology(file: &[u8]) -> Result<(), InvalidRecording> {
    let reader = WavReader::new(Cursor::new(file))?;
    let spec = usual(&reader)?;
    let bytes = u64::from(reader.len()) * u64::from(spec.bits_per_sample.div_ceil(8));
    match reader.duration() {
        0 => Err(InvalidRecording::Empty),
        _ if bytes > file.len() as u64 => Err(InvalidRecording::Short),
        samples if samples > MAX_APOLOGY_SECONDS * spec.sample_rate => Err(InvalidRecording::Long),
        _ => Ok(()),
    }
}

/// Reads a tenant's apology.
pub(crate) fn read_apology(file: &[u8]) -> Result<Vec<i16>, InvalidRecording> {
    check_apology(file)?;
    read(file)
}

/// Reads a WAV file.
pub(crate) fn read(file: &[u8]) -> Result<Vec<i16>, InvalidRecording> {
    let reader = WavReader::new(Cursor::new(file))?;
    let spec = usual(&reader)?;
    let mono = mixed(samples(reader, spec)?, spec.channels);
    let mut pcm = resampled(&mono, spec.sample_rate, SAMPLE_RATE);
    pcm.truncate(MAX_SAMPLES);
    if pcm.is_empty() {
        return Err(InvalidRecording::Empty);
    }
    Ok(pcm)
}

fn usual(reader: &WavReader<Cursor<&[u8]>>) -> Result<WavSpec, InvalidRecording> {
    let spec = reader.spec();
    let is_usual = (1..=2).contains(&spec.channels)
        && (8_000..=48_000).contains(&spec.sample_rate)
        && [8, 16, 24, 32].contains(&spec.bits_per_sample);
    if !is_usual {
        return Err(InvalidRecording::Unusual {
            channels: spec.channels,
            bits: spec.bits_per_sample,
            rate: spec.sample_rate,
        });
    }
    Ok(spec)
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
    fn an_apology_is_judged_by_its_header() {
        let seconds = |seconds: u32| wav(spec(1, 8_000, 8), (0..8_000 * seconds).map(|_| 1));
        let longest = seconds(MAX_APOLOGY_SECONDS);
        check_apology(&longest).unwrap();
        assert_eq!(
            read_apology(&longest).unwrap().len(),
            (MAX_APOLOGY_SECONDS * SAMPLE_RATE) as usize
        );
        for (file, problem) in [
            (b"hello".to_vec(), "no WAV file"),
            (seconds(0), "no sound"),
            (seconds(MAX_APOLOGY_SECONDS + 1), "more than 60 seconds"),
            (longest[..1_000].to_vec(), "breaks off"),
            (wav(spec(6, 48_000, 16), 0..6), "6 channels"),
        ] {
            let told = check_apology(&file).unwrap_err().to_string();
            assert!(told.contains(problem), "{told}");
            assert!(read_apology(&file).is_err());
        }
    }

    #[test]
    fn a_lying_header_makes_no_more_than_there_is() {
        let mut file = wav(spec(1, 8_000, 16), 0..100);
        let length = file.len();
        file[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&file).is_err() || read(&file).unwrap().len() <= length * 3);
    }
}
