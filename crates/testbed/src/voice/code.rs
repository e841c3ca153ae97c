//! The code: which tones stand for which symbol, and how a sentence becomes frames of symbols.

use std::time::Duration;

use super::checksum::crc16;
use super::repair::{CHECK_BYTES, check_bytes};

/// One symbol is one byte. Forty milliseconds a byte, with the overhead of a word, make 12 to 16
/// characters a second, which is how fast people speak; and a lost packet of 20 ms leaves half of
/// the symbol standing.
pub(super) const SYMBOL: Duration = Duration::from_millis(40);
/// The silence between words: it makes bursts of them, as speech has.
pub(super) const GAP: Duration = Duration::from_millis(20);

/// The first of two tones: sixteen for the upper half of a byte, the rest for [`Kind`]s.
pub(super) const LOW_TONES: usize = 16 + Kind::ALL.len();
/// The second of two tones: the lower half of a byte, or the length in a header.
pub(super) const HIGH_TONES: usize = 16;
pub(super) const TONES: usize = LOW_TONES + HIGH_TONES;
/// Above the first formant of the murmur beneath, below the 3.4 kHz at which telephony ends.
pub(super) const LOWEST_HZ: usize = 500;
/// A multiple of 25 Hz, at which the decoder's waves repeat; wide enough for its window of 30 ms to
/// part the tones.
pub(super) const SPACING_HZ: usize = 75;

/// A frame's bytes are counted by one tone of [`HIGH_TONES`].
const MAX_FRAME_BYTES: usize = HIGH_TONES - 1;
/// The header and the check bytes.
const FRAME_OVERHEAD: usize = 1 + CHECK_BYTES;
pub(super) const MAX_FRAME_SYMBOLS: usize = MAX_FRAME_BYTES + FRAME_OVERHEAD;

/// What a frame is to its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    First,
    /// The word goes on in the next frame, being longer than [`MAX_FRAME_BYTES`].
    WordHead,
    FirstHead,
    /// The word began in the frame before.
    Middle,
    Tail,
    /// No word: the checksum of the whole sentence.
    End,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Word,
        Self::First,
        Self::WordHead,
        Self::FirstHead,
        Self::Middle,
        Self::Tail,
        Self::End,
    ];

    pub(super) fn begins_sentence(self) -> bool {
        matches!(self, Self::First | Self::FirstHead)
    }

    pub(super) fn continues_word(self) -> bool {
        matches!(self, Self::Middle | Self::Tail)
    }

    pub(super) fn ends_word(self) -> bool {
        matches!(self, Self::Word | Self::First | Self::Tail)
    }
}

/// Two tones at once, by their number within their group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) low: usize,
    pub(super) high: usize,
}

impl Symbol {
    fn byte(byte: u8) -> Self {
        Self {
            low: usize::from(byte >> 4),
            high: usize::from(byte & 0x0f),
        }
    }

    pub(super) fn as_byte(self) -> Option<u8> {
        (self.low < 16)
            .then(|| (self.low << 4 | self.high).try_into().ok())
            .flatten()
    }

    /// What a header says by its lower tone; its upper one counts the bytes.
    pub(super) fn kind(self) -> Option<Kind> {
        Kind::ALL.get(self.low.checked_sub(16)?).copied()
    }

    /// The frequencies of both tones.
    pub(super) fn hz(self) -> [usize; 2] {
        [tone_hz(self.low), tone_hz(LOW_TONES + self.high)]
    }
}

pub(super) fn tone_hz(tone: usize) -> usize {
    LOWEST_HZ + SPACING_HZ * tone
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) bytes: usize,
}

impl Header {
    fn symbol(self) -> Symbol {
        Symbol {
            low: 16 + self.kind as usize,
            high: self.bytes,
        }
    }

    /// The header as the check bytes cover it: never zero, or silence would be a valid frame.
    pub(super) fn byte(self) -> u8 {
        (self.kind as u8 + 1) << 4 | self.bytes as u8
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        let kind = *Kind::ALL.get(usize::from(byte >> 4).checked_sub(1)?)?;
        Some(Self {
            kind,
            bytes: usize::from(byte & 0x0f),
        })
    }

    pub(super) fn frame_symbols(self) -> usize {
        self.bytes + FRAME_OVERHEAD
    }
}

/// A word, a part of a long word, or the end of the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    pub(super) fn symbols(&self) -> Vec<Symbol> {
        let header = Header {
            kind: self.kind,
            bytes: self.bytes.len(),
        };
        let message: Vec<u8> = std::iter::once(header.byte())
            .chain(self.bytes.iter().copied())
            .collect();
        let payload = message[1..]
            .iter()
            .copied()
            .chain(check_bytes(&message))
            .map(Symbol::byte);
        std::iter::once(header.symbol()).chain(payload).collect()
    }

    /// The frame that was sent as `message`, of which the header is as given and the check bytes
    /// hold.
    pub(super) fn from_message(header: Header, message: &[u8]) -> Option<Self> {
        let bytes = message.get(1..=header.bytes)?.to_vec();
        (message[0] == header.byte()).then_some(Self {
            kind: header.kind,
            bytes,
        })
    }

    fn lasts(&self) -> Duration {
        SYMBOL * u32::try_from(self.bytes.len() + FRAME_OVERHEAD).unwrap_or(u32::MAX)
    }
}

pub(super) fn sentence_checksum(sentence: &str) -> [u8; 2] {
    crc16(sentence.bytes()).to_be_bytes()
}

/// The frames of a sentence. Words are what single spaces separate; all other text is kept as it
/// is.
pub(super) fn frames(sentence: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    for (word_index, word) in sentence.split(' ').enumerate() {
        let mut parts: Vec<&[u8]> = word.as_bytes().chunks(MAX_FRAME_BYTES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let last = parts.len() - 1;
        for (index, part) in parts.into_iter().enumerate() {
            let kind = match (index == 0, index == last) {
                (true, true) if word_index == 0 => Kind::First,
                (true, true) => Kind::Word,
                (true, false) if word_index == 0 => Kind::FirstHead,
                (true, false) => Kind::WordHead,
                (false, false) => Kind::Middle,
                (false, true) => Kind::Tail,
            };
            frames.push(Frame {
                kind,
                bytes: part.to_vec(),
            });
        }
    }
    frames.push(Frame {
        kind: Kind::End,
        bytes: sentence_checksum(sentence).to_vec(),
    });
    frames
}

/// What has been said of `sentence` once the first `after` of [`encode`](super::encode)'s audio has
/// been played: all words that are over by then.
#[must_use]
pub fn spoken_by(sentence: &str, after: Duration) -> &str {
    let mut word_ends = sentence
        .match_indices(' ')
        .map(|(at, _)| at)
        .chain([sentence.len()]);
    let (mut clock, mut said) = (Duration::ZERO, 0);
    for frame in frames(sentence) {
        clock += frame.lasts();
        if clock > after {
            break;
        }
        clock += GAP;
        if frame.kind.ends_word() {
            said = word_ends.next().unwrap_or(said);
        }
    }
    sentence.get(..said).unwrap_or(sentence)
}
