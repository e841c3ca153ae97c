//! The speech that the benchmarks send: PCM from a file, over and over.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use livekit::webrtc::audio_frame::AudioFrame;
use trunkline_testbed::voice;

/// What is said where no file is given.
const SENTENCE: &str = "The quick brown fox jumps over the lazy dog while nobody listens.";

/// What is handed over at a time: a packet.
pub(crate) const FRAME_MS: u32 = 20;

/// How far the voices are apart: a second.
const FRAMES_BETWEEN_VOICES: usize = 50;

/// Speech of one rate, mono.
#[derive(Clone)]
pub(crate) struct Speech {
    pub(crate) rate: u32,
    pcm: Arc<[i16]>,
}

impl Speech {
    /// Reads a file of 16-bit little-endian samples.
    pub(crate) fn read(path: &Path, rate: u32) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the speech {}", path.display()))?;
        let pcm: Arc<[i16]> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|sample| i16::from_le_bytes(*sample))
            .collect();
        anyhow::ensure!(
            pcm.len() >= rate as usize,
            "there is not a second of speech in {}",
            path.display()
        );
        Ok(Self { rate, pcm })
    }

    /// The testbed's own voice, which needs no other program.
    pub(crate) fn synthetic(rate: u32) -> Self {
        Self {
            rate,
            pcm: voice::encode(SENTENCE, rate).into(),
        }
    }

    /// The samples.
    pub(crate) fn pcm(&self) -> &[i16] {
        &self.pcm
    }

    /// Frames for ever, beginning in a place of its own for each `voice`, so that not all say the
    /// same at the same time.
    pub(crate) fn place(&self, voice: usize) -> Place {
        let frames = self.pcm.len() / self.frame_samples();
        Place {
            speech: self.clone(),
            next: (voice * FRAMES_BETWEEN_VOICES) % frames,
        }
    }

    /// How many samples a frame has.
    pub(crate) fn frame_samples(&self) -> usize {
        (self.rate / 1_000 * FRAME_MS) as usize
    }
}

/// A place in a speech.
pub(crate) struct Place {
    speech: Speech,
    next: usize,
}

impl Place {
    /// The next frame. Lent, not copied: only the product's own allocations are to be counted.
    pub(crate) fn next_frame(&mut self) -> AudioFrame<'_> {
        let length = self.speech.frame_samples();
        let frames = self.speech.pcm.len() / length;
        let from = self.next * length;
        self.next = (self.next + 1) % frames;
        AudioFrame {
            data: self.speech.pcm[from..from + length].into(),
            sample_rate: self.speech.rate,
            num_channels: 1,
            samples_per_channel: length as u32,
        }
    }
}
