//! Hearing: frames are sought in the tones of a recording.
//!
//! A frame may start at any block. Where a header's tones stand out, or where the frame before
//! promises one, the frame is read on trial; the check bytes decide.

use std::collections::VecDeque;
use std::time::Duration;

use super::code::{GAP, MAX_FRAME_SYMBOLS};
use super::frame_reader::{BLOCKS_PER_SYMBOL, Expectation, Trial, blocks, try_frame};
use super::sentences::Sentences;
use super::spectrum::{BLOCK, Blocks, Spectrum};

/// Enough blocks for any frame, shifted symbols included, with as much again to read them rarely.
const READ_AHEAD_BLOCKS: usize = 4 * MAX_FRAME_SYMBOLS * BLOCKS_PER_SYMBOL;

/// A frame is still read when this much of its end is missing: codecs delay, and hand out whole
/// packets only.
const TOLERATED_BLOCKS: usize = 2;

/// A sentence that was heard, or the part of it that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The words that were heard whole, with a space between.
    pub text: String,
    /// When its first word began, counted from the first sample.
    pub at: Duration,
    /// When its last word was over.
    pub until: Duration,
    /// Whether it was heard from the beginning to the end, with nothing missing between.
    pub complete: bool,
}

/// All that is said in a recording of `rate` samples a second.
///
/// # Panics
/// If `rate` is not a multiple of 8 kHz.
#[must_use]
pub fn decode(pcm: &[i16], rate: u32) -> Vec<Heard> {
    let mut decoder = Decoder::new(rate);
    decoder.push(pcm);
    decoder.heard()
}

/// Listens to a stream.
#[derive(Debug)]
pub struct Decoder {
    blocks: Blocks,
    search: Search,
}

impl Decoder {
    /// A decoder for a stream of `rate` samples a second.
    ///
    /// # Panics
    /// If `rate` is not a multiple of 8 kHz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            blocks: Blocks::new(rate),
            search: Search::default(),
        }
    }

    /// Listens to the next samples of the stream.
    pub fn push(&mut self, pcm: &[i16]) {
        for &sample in pcm {
            if let Some(spectrum) = self.blocks.push(sample) {
                self.search.spectra.push_back(spectrum);
                if self.search.spectra.len() >= READ_AHEAD_BLOCKS {
                    self.search.read(AtEnd::MoreToCome);
                }
            }
        }
        self.search.read(AtEnd::MoreToCome);
    }

    /// All sentences up to now; the last may still go on.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        let mut search = self.search.clone();
        search.spectra.extend([Spectrum::SILENT; TOLERATED_BLOCKS]);
        search.read(AtEnd::Over);
        search.sentences.heard()
    }
}

/// What to make of a frame of which the end is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    MoreToCome,
    Over,
}

/// The search for frames, from the first block that has not been read.
#[derive(Debug, Clone, Default)]
struct Search {
    spectra: VecDeque<Spectrum>,
    position: usize,
    /// Where the next frame of a sentence must start.
    expected: Option<usize>,
    sentences: Sentences,
}

impl Search {
    fn read(&mut self, at_end: AtEnd) {
        while self.spectra.len() >= BLOCKS_PER_SYMBOL - 1 {
            let expectation = if self.expected == Some(self.position) {
                Expectation::NextFrame
            } else {
                Expectation::None
            };
            let consumed = match try_frame(&self.spectra, expectation) {
                Trial::TooShort if at_end == AtEnd::MoreToCome => return,
                Trial::NoFrame | Trial::TooShort => 1,
                Trial::Frame {
                    frame,
                    blocks: length,
                } => {
                    let end = self.position + length;
                    self.sentences
                        .push(frame, block_time(self.position), block_time(end));
                    self.expected = Some(end + blocks(GAP));
                    // The search goes on a little before the end, should the frame have been found
                    // late.
                    length - 2
                }
            };
            self.spectra.drain(..consumed);
            self.position += consumed;
        }
    }
}

fn block_time(block: usize) -> Duration {
    BLOCK * u32::try_from(block).unwrap_or(u32::MAX)
}
