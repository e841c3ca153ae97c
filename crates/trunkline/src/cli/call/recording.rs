//! The file that is to hold what is heard.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use trunkline_call::ring;

const SPEC: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: ring::HEARD_RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

/// Opened before the call: one that cannot be kept need not be made. What was in the file stays
/// until there is something to put there.
pub(super) struct Recording {
    path: PathBuf,
    /// Until it is saved.
    file: Option<File>,
    was_there: bool,
}

impl Recording {
    pub(super) fn begin(path: PathBuf) -> anyhow::Result<Self> {
        let found = std::fs::metadata(&path);
        ensure!(
            found.as_ref().map_or(true, |found| found.is_file()),
            "--out: {} is no regular file",
            path.display()
        );
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| cannot(&path))?;
        Ok(Self {
            path,
            file: Some(file),
            was_there: found.is_ok(),
        })
    }

    /// Gives back where it is.
    pub(super) fn save(mut self, heard: &[i16]) -> anyhow::Result<PathBuf> {
        if let Some(file) = self.file.take() {
            write(file, heard).with_context(|| cannot(&self.path))?;
        }
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.file.is_some() && !self.was_there {
            // It was made for nothing. One that cannot be removed is empty.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn write(file: File, heard: &[i16]) -> Result<(), hound::Error> {
    file.set_len(0)?;
    let mut wav = hound::WavWriter::new(BufWriter::new(file), SPEC)?;
    heard
        .iter()
        .try_for_each(|sample| wav.write_sample(*sample))?;
    wav.finalize()
}

fn cannot(path: &Path) -> String {
    format!("--out: {} cannot be written", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_told_before_there_is_anything_to_write() {
        for path in ["/no/such/directory/heard.wav", "/dev/full", "/"] {
            assert!(Recording::begin(path.into()).is_err(), "{path}");
        }
    }

    #[test]
    fn without_a_call_no_file_is_left_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heard.wav");
        drop(Recording::begin(path.clone()).unwrap());
        assert!(!path.exists());

        std::fs::write(&path, [7; 1_000]).unwrap();
        drop(Recording::begin(path.clone()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), [7; 1_000]);

        let saved = Recording::begin(path.clone())
            .unwrap()
            .save(&[1, 2])
            .unwrap();
        assert_eq!(saved, path);
        let samples = hound::WavReader::open(&path).unwrap().into_samples::<i16>();
        assert_eq!(samples.map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
    }
}
