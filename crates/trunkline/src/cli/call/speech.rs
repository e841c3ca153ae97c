//! What the caller says: a WAV file.

use std::io::Cursor;
use std::path::Path;

use anyhow::Context;
use trunkline_call::ring::Speech;

use crate::files::read_bounded;

/// The largest file that is read: 300 s of stereo at 48 kHz are 58 MB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The file's channels mixed to one.
pub(super) fn read(path: &Path) -> anyhow::Result<Speech> {
    let of_file = || format!("--say: {} cannot be used", path.display());
    let bytes = read_bounded(path, MAX_BYTES).with_context(of_file)?;
    anyhow::ensure!(!bytes.is_empty(), "--say: {} is empty", path.display());
    let mut file = hound::WavReader::new(Cursor::new(bytes))
        .context("it is no WAV file")
        .with_context(of_file)?;
    let spec = file.spec();
    let samples: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Float => file
            .samples::<f32>()
            .map(|sample| sample.map(f64::from))
            .collect::<Result<_, _>>(),
        hound::SampleFormat::Int => {
            let full_scale = f64::from(2_u32.pow(u32::from(spec.bits_per_sample).clamp(1, 32) - 1));
            file.samples::<i32>()
                .map(|sample| sample.map(|sample| f64::from(sample) / full_scale))
                .collect::<Result<_, _>>()
        }
    }
    .with_context(of_file)?;
    let channels = usize::from(spec.channels).max(1);
    let mono = samples
        .chunks(channels)
        .map(|frame| {
            let mean = frame.iter().sum::<f64>() / channels as f64;
            // A cast of a float ends at the bounds.
            (mean * f64::from(i16::MAX)) as i16
        })
        .collect();
    Speech::new(spec.sample_rate, mono).with_context(of_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_speech_is_told_by_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let silent = directory.path().join("silent");
        let wav = hound::WavWriter::create(&silent, spec).unwrap();
        wav.finalize().unwrap();
        for (path, told) in [
            (file("empty", b""), "is empty"),
            (file("text", b"hello"), "it is no WAV file"),
            (silent, "there is no sound in it"),
            ("/dev/zero".into(), "it is no regular file"),
            (directory.path().to_owned(), "it is no regular file"),
        ] {
            let error = read(&path).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains("--say") && text.contains(told), "{text}");
        }
    }

    #[test]
    fn a_stereo_file_is_said_as_one_voice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("speech.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(&path, spec).unwrap();
        for sample in [16_384_i16, 0, -32_768, -32_768] {
            file.write_sample(sample).unwrap();
        }
        file.finalize().unwrap();
        let expected = Speech::new(16_000, vec![8_191, -32_767]).unwrap();
        assert_eq!(read(&path).unwrap(), expected);
    }
}
