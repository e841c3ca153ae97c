//! The model's voice: a text as audio, and how far the words have come at a time of it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::audio::Format;
use crate::voice;

/// The transcript runs ahead of the audio by this, as the vendor's does.
const TRANSCRIPT_AHEAD: Duration = Duration::from_millis(300);

/// Sentences kept. In a load test all calls are told the same few.
const MAX_KEPT: usize = 32;

/// Speaks, and remembers how it spoke: a sentence takes milliseconds to make.
#[derive(Debug, Default)]
pub(super) struct Speaker(Mutex<VecDeque<Speech>>);

impl Speaker {
    pub(super) fn speak(&self, text: &str, format: Format) -> Speech {
        let is_it = |speech: &&Speech| &*speech.text == text && speech.format == format;
        if let Some(known) = self.0.lock().iter().find(is_it) {
            return known.clone();
        }
        let speech = Speech::new(text, format);
        let mut kept = self.0.lock();
        kept.push_front(speech.clone());
        kept.truncate(MAX_KEPT);
        speech
    }
}

#[derive(Debug, Clone)]
pub(super) struct Speech {
    text: Arc<str>,
    format: Format,
    samples: Arc<[i16]>,
}

impl Speech {
    fn new(text: &str, format: Format) -> Self {
        Self {
            text: text.into(),
            format,
            samples: voice::encode(text, format.rate()).into(),
        }
    }

    /// The words that are over at this time of the audio.
    pub(super) fn words_by(&self, time: Duration) -> &str {
        voice::spoken_by(&self.text, time)
    }

    /// The transcript that has been sent when so much audio has.
    pub(super) fn transcript_by(&self, time: Duration) -> &str {
        if time.is_zero() {
            ""
        } else {
            self.words_by(time + TRANSCRIPT_AHEAD)
        }
    }

    /// The pieces of `length` that it is sent in.
    pub(super) fn chunks(&self, length: Duration) -> Vec<Range<usize>> {
        let samples = (length.as_secs_f64() * f64::from(self.format.rate())).max(1.0) as usize;
        let end = self.samples.len();
        (0..end)
            .step_by(samples)
            .map(|start| start..(start + samples).min(end))
            .collect()
    }

    pub(super) fn base64(&self, piece: Range<usize>) -> String {
        self.format.encode(&self.samples[piece])
    }

    pub(super) fn time_of(&self, samples: usize) -> Duration {
        Duration::from_secs_f64(samples as f64 / f64::from(self.format.rate()))
    }
}
