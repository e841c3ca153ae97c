//! Words put together into sentences.

use std::time::Duration;

use super::Heard;
use super::code::{Frame, Kind, sentence_checksum};

/// After a longer silence an unfinished sentence is not continued: the words belong to another.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// The longest sentence that is put together. What is said beyond it is a new one.
const MAX_SENTENCE_BYTES: usize = 16 * 1024;

/// Puts words together into sentences.
#[derive(Debug, Default, Clone)]
pub(super) struct Sentences {
    done: Vec<Heard>,
    open: Option<Open>,
}

/// A sentence of which the end has not been heard yet.
#[derive(Debug, Clone)]
struct Open {
    heard: Heard,
    words: usize,
    /// The parts of a long word, up to now; `None` if one was missed.
    word: Option<Vec<u8>>,
    began: bool,
}

impl Sentences {
    pub(super) fn heard(&self) -> Vec<Heard> {
        let open = self
            .open
            .as_ref()
            .filter(|open| open.words > 0)
            .map(|open| open.heard.clone());
        self.done.iter().cloned().chain(open).collect()
    }

    pub(super) fn push(&mut self, frame: Frame, at: Duration, until: Duration) {
        if frame.kind == Kind::End {
            return self.end(&frame.bytes);
        }
        let goes_on = !frame.kind.begins_sentence()
            && self.open.as_ref().is_some_and(|open| {
                at.saturating_sub(open.heard.until) <= MAX_PAUSE
                    && open.heard.text.len() < MAX_SENTENCE_BYTES
            });
        if !goes_on {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| Open {
            heard: Heard {
                text: String::new(),
                at,
                until: at,
                complete: false,
            },
            words: 0,
            word: None,
            began: frame.kind.begins_sentence(),
        });
        if !frame.kind.continues_word() {
            open.word = Some(Vec::new());
        }
        if let Some(word) = &mut open.word {
            word.extend_from_slice(&frame.bytes);
        }
        if frame.kind.ends_word() {
            open.add_word();
        }
        open.heard.until = until;
    }

    fn end(&mut self, checksum: &[u8]) {
        if let Some(open) = &mut self.open {
            open.heard.complete = open.began && sentence_checksum(&open.heard.text) == checksum;
        }
        self.close();
    }

    fn close(&mut self) {
        self.done.extend(
            self.open
                .take()
                .filter(|open| open.words > 0)
                .map(|open| open.heard),
        );
    }
}

impl Open {
    fn add_word(&mut self) {
        let Some(word) = self
            .word
            .take()
            .and_then(|bytes| String::from_utf8(bytes).ok())
        else {
            return;
        };
        if self.words > 0 {
            self.heard.text.push(' ');
        }
        self.heard.text.push_str(&word);
        self.words += 1;
    }
}
