//! Reading one frame out of a row of spectra.

use std::collections::VecDeque;
use std::time::Duration;

use super::code::{Frame, HIGH_TONES, Header, LOW_TONES, MAX_FRAME_SYMBOLS, SYMBOL, Symbol};
use super::repair::{CHECK_BYTES, repair_one, repair_two};
use super::spectrum::{BLOCK, Spectrum};

pub(super) const BLOCKS_PER_SYMBOL: usize = blocks(SYMBOL);
/// A symbol is read from its middle: the first and last 5 ms belong to the ramps and to a start
/// that is not exact.
const WINDOW_BLOCKS: usize = BLOCKS_PER_SYMBOL - 2;
/// How far symbols may shift within a frame, to either side, from one to the next: a jitter buffer
/// inserts or drops 10 or 20 ms at a time.
const MAX_SHIFT_BLOCKS: usize = 4;
/// What a shift costs against staying: a shift must be clearly the better reading.
const SHIFT_PENALTY: f32 = 0.02;
/// A tone counts from this amplitude squared: 26 dB below what is spoken.
const MIN_POWER: f32 = 150.0 * 150.0;
/// How much of its group's energy the lower tone of a header must have. Speech and noise spread
/// theirs.
const MIN_PURITY: f32 = 0.5;
/// A frame whose last symbol is weaker than this beside its loudest was cut off, whatever its check
/// bytes could repair.
const MIN_LAST_TO_LOUDEST: f32 = 0.01;
/// Where a header is louder than this one block later, that is where it starts.
const CLEARER: f32 = 1.02;
/// Among so many of a frame's least clear symbols two are sought that are wrong.
const DOUBTFUL: usize = 3;

pub(super) const fn blocks(time: Duration) -> usize {
    (time.as_millis() / BLOCK.as_millis()) as usize
}

pub(super) enum Trial {
    NoFrame,
    /// There may be a frame, but not all of it is there yet.
    TooShort,
    Frame {
        frame: Frame,
        blocks: usize,
    },
}

/// Whether there may be a frame where no header can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    None,
    /// The frame before was over one gap ago.
    NextFrame,
}

/// Reads the frame that starts with the first of `spectra`, if there is one.
pub(super) fn try_frame(spectra: &VecDeque<Spectrum>, expectation: Expectation) -> Trial {
    let Some(first) = read_symbol(spectra, 0) else {
        return Trial::TooShort;
    };
    let is_header = first.looks_like_header();
    if !is_header && expectation == Expectation::None {
        return Trial::NoFrame;
    }
    if is_header && read_symbol(spectra, 1).is_some_and(|next| next.is_clearer_header_than(&first))
    {
        return Trial::NoFrame;
    }
    let heard = first.symbol.kind().map(|kind| Header {
        kind,
        bytes: first.symbol.high,
    });
    let read = read_symbols(spectra);
    // As it was heard, or of any other length: then the header itself is one of the two bytes that
    // may be wrong.
    let likely = heard.and_then(|header| Some((header, read.get(..header.frame_symbols())?)));
    if let Some(found) = likely.and_then(|(header, read)| repaired(Some(header.byte()), read)) {
        return found;
    }
    for bytes in 0..HIGH_TONES {
        let Some(read) = read.get(..bytes + 1 + CHECK_BYTES) else {
            return Trial::TooShort;
        };
        if let Some(found) = repaired(None, read).filter(|found| found.is_of_length(bytes)) {
            return found;
        }
    }
    Trial::NoFrame
}

impl Trial {
    fn is_of_length(&self, bytes: usize) -> bool {
        matches!(self, Self::Frame { frame, .. } if frame.bytes.len() == bytes)
    }
}

/// The frame of which these are all the symbols; its header is `header`, or must be found out.
fn repaired(header: Option<u8>, read: &[Reading]) -> Option<Trial> {
    let loudest = read
        .iter()
        .map(Reading::loudness)
        .fold(2.0 * MIN_POWER, f32::max);
    let last = read
        .last()
        .filter(|last| last.loudness() >= MIN_LAST_TO_LOUDEST * loudest)?;
    let message: Vec<u8> = std::iter::once(header.unwrap_or(0))
        .chain(read[1..].iter().map(Reading::byte_or_zero))
        .collect();
    let mut doubtful: Vec<usize> = (1..read.len()).collect();
    doubtful.sort_by(|&a, &b| read[a].clarity().total_cmp(&read[b].clarity()));
    doubtful.truncate(DOUBTFUL);
    let pairs: Vec<[usize; 2]> = match header {
        Some(_) => vec![
            [doubtful[0], doubtful[1]],
            [doubtful[0], doubtful[2]],
            [doubtful[1], doubtful[2]],
        ],
        None => vec![[0, doubtful[0]]],
    };
    let attempt = |repair: &dyn Fn(&mut [u8]) -> bool| {
        let mut message = message.clone();
        repair(&mut message).then_some(message)
    };
    let message = attempt(&|message| repair_one(message)).or_else(|| {
        pairs
            .into_iter()
            .find_map(|pair| attempt(&|message| repair_two(message, pair)))
    })?;
    let header =
        Header::from_byte(message[0]).filter(|header| header.frame_symbols() == read.len())?;
    let frame = Frame::from_message(header, &message)?;
    Some(Trial::Frame {
        frame,
        blocks: last.start + BLOCKS_PER_SYMBOL,
    })
}

/// All the symbols that a frame could have and that are there, its header first.
fn read_symbols(spectra: &VecDeque<Spectrum>) -> Vec<Reading> {
    let mut symbols: Vec<Reading> = read_symbol(spectra, 0).into_iter().collect();
    let mut at = 0;
    while symbols.len() < MAX_FRAME_SYMBOLS {
        at += BLOCKS_PER_SYMBOL;
        let score = |reading: &Reading| {
            reading.clarity() - SHIFT_PENALTY * reading.start.abs_diff(at) as f32
        };
        let best = (at - MAX_SHIFT_BLOCKS..=at + MAX_SHIFT_BLOCKS)
            .filter_map(|start| read_symbol(spectra, start))
            .max_by(|a, b| score(a).total_cmp(&score(b)));
        let Some(best) = best.filter(|_| spectra.len() > at + WINDOW_BLOCKS) else {
            break;
        };
        at = best.start;
        symbols.push(best);
    }
    symbols
}

/// The strongest tone of each group, and how it stands out.
#[derive(Debug)]
struct Reading {
    start: usize,
    symbol: Symbol,
    power: [f32; 2],
    purity: [f32; 2],
}

impl Reading {
    fn looks_like_header(&self) -> bool {
        self.symbol.kind().is_some() && self.power[0] >= MIN_POWER && self.purity[0] >= MIN_PURITY
    }

    fn is_clearer_header_than(&self, other: &Self) -> bool {
        self.looks_like_header() && self.loudness() > other.loudness() * CLEARER
    }

    fn loudness(&self) -> f32 {
        self.power.iter().sum()
    }

    fn byte_or_zero(&self) -> u8 {
        self.symbol.as_byte().unwrap_or(0)
    }

    fn clarity(&self) -> f32 {
        if self.symbol.kind().is_some() && self.start > 0 {
            0.0
        } else {
            self.purity.iter().product()
        }
    }
}

/// Reads the symbol that starts at block `start`, or `None` if the recording ends before.
fn read_symbol(spectra: &VecDeque<Spectrum>, start: usize) -> Option<Reading> {
    let window = start + 1..start + 1 + WINDOW_BLOCKS;
    if window.end > spectra.len() {
        return None;
    }
    let mut sum = Spectrum::SILENT;
    for spectrum in spectra.range(window) {
        sum += spectrum;
    }
    let powers = sum.powers(WINDOW_BLOCKS);
    let (low, high) = powers.split_at(LOW_TONES);
    let (low, high) = (strongest(low), strongest(high));
    Some(Reading {
        start,
        symbol: Symbol {
            low: low.tone,
            high: high.tone,
        },
        power: [low.power, high.power],
        purity: [low.purity, high.purity],
    })
}

struct Strongest {
    tone: usize,
    power: f32,
    purity: f32,
}

fn strongest(powers: &[f32]) -> Strongest {
    let total: f32 = powers.iter().sum();
    let (tone, power) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, 0.0));
    Strongest {
        tone,
        power,
        purity: if total > 0.0 { power / total } else { 0.0 },
    }
}
