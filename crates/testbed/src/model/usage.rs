//! Tokens, counted roughly as the vendor counts them.

use std::time::Duration;

use serde_json::{Value, json};

use super::item::{Body, Item};

/// About four characters of English are a token.
const CHARACTERS_PER_TOKEN: usize = 4;
/// The user's audio: a token for each 100 ms. Source: the vendor's guide to costs.
const HEARD_MS_PER_TOKEN: u128 = 100;
/// The model's audio: a token for each 50 ms. Source: as above.
const SPOKEN_MS_PER_TOKEN: u128 = 50;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) text: usize,
    pub(super) audio: usize,
}

impl Tokens {
    pub(super) fn of_text(text: &str) -> Self {
        Self {
            text: text.len().div_ceil(CHARACTERS_PER_TOKEN),
            audio: 0,
        }
    }

    pub(super) fn of_heard(lasted: Duration) -> Self {
        Self {
            text: 0,
            audio: lasted.as_millis().div_ceil(HEARD_MS_PER_TOKEN) as usize,
        }
    }

    pub(super) fn of_item(item: &Item) -> Self {
        match &item.body {
            Body::Text { text, .. } => Self::of_text(text),
            Body::Heard { lasted, .. } => Self::of_heard(*lasted),
            Body::Spoken(spoken) => Self {
                audio: spoken.lasts().as_millis().div_ceil(SPOKEN_MS_PER_TOKEN) as usize,
                ..Self::of_text(spoken.words())
            },
            Body::Call {
                name, arguments, ..
            } => Self::of_text(name) + Self::of_text(arguments),
            Body::CallOutput { output, .. } => Self::of_text(output),
        }
    }

    fn total(self) -> usize {
        self.text + self.audio
    }

    /// What both have: the part of a context that was cached the turn before.
    fn shared_with(self, other: Self) -> Self {
        Self {
            text: self.text.min(other.text),
            audio: self.audio.min(other.audio),
        }
    }
}

impl std::ops::Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            text: self.text + other.text,
            audio: self.audio + other.audio,
        }
    }
}

impl std::iter::Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(tokens: I) -> Self {
        tokens.fold(Self::default(), |sum, tokens| sum + tokens)
    }
}

/// What a response read, `before` of which the one before had read already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Context {
    pub(super) read: Tokens,
    pub(super) before: Tokens,
}

/// The `usage` of a response.
pub(super) fn usage(context: Context, written: Tokens) -> Value {
    let cached = context.read.shared_with(context.before);
    json!({
        "total_tokens": context.read.total() + written.total(),
        "input_tokens": context.read.total(),
        "output_tokens": written.total(),
        "input_token_details": {
            "text_tokens": context.read.text,
            "audio_tokens": context.read.audio,
            "image_tokens": 0,
            "cached_tokens": cached.total(),
            "cached_tokens_details": {
                "text_tokens": cached.text,
                "audio_tokens": cached.audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": { "text_tokens": written.text, "audio_tokens": written.audio },
    })
}
