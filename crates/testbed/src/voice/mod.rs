//! Audio that sounds like speech and carries its words, so that a test proves *which sentence* was
//! heard.
//!
//! A sentence is a row of words, each a burst of two simultaneous tones over a voiced murmur. One
//! pair of tones is one byte; a word has a header, its bytes and check bytes, and the sentence ends
//! with a checksum of its own. All of it lies between 500 and 3,350 Hz, so that it passes Opus at
//! speech bitrates, G.711 and any sample rate from 8 kHz. What was cut off, damaged or lost is not
//! heard; what is heard was said:
//!
//! - a word counts only if all of it was there and its check bytes hold;
//! - a sentence is complete only if its beginning, its end and every word between were heard.

mod burst;
mod checksum;
mod code;
mod decode;
mod frame_reader;
mod likeness;
mod murmur;
mod repair;
mod sentences;
mod spectrum;
#[cfg(test)]
mod tests;

pub use burst::encode;
pub use code::spoken_by;
pub use decode::{Decoder, Heard, decode};
pub use likeness::is_sentence;
pub use murmur::murmur;

/// How loud all of it is: the root mean square of −20 dBFS in 16-bit samples, the level telephony
/// aims speech at. Voice-activity detectors take it for speech.
const SPEECH_LEVEL: f32 = 3277.0;
