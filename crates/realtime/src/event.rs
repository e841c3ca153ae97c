//! What a session tells.

use std::time::Duration;

use crate::{CloseReason, ItemId, ResponseId, VendorError};

/// What a session tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The configuration holds. Comes once for each [`crate::Command::Configure`]
    /// that was not overtaken by another.
    Ready {
        /// Parts of the configuration that the vendor or the model does not take,
        /// by the names that a backend gives them: `temperature`, `voice`,
        /// `transcription`.
        dropped: Vec<&'static str>,
    },
    /// The configuration was refused as a whole, and the session has the one
    /// that it had before.
    Refused(VendorError),
    /// The caller began to speak.
    SpeechStarted {
        /// Position in the audio that was appended, from the session's start.
        at: Duration,
    },
    /// The caller's turn ended; a response follows by itself.
    SpeechStopped {
        /// Position in the audio that was appended, from the session's start.
        at: Duration,
    },
    /// The model began to answer.
    ResponseStarted {
        /// Which answer.
        id: ResponseId,
        /// What for.
        purpose: Purpose,
    },
    /// A response that was asked for will not begin: another one is under way, or
    /// the vendor did not like the request.
    NotStarted {
        /// What for.
        purpose: Purpose,
        /// The refusal.
        error: VendorError,
    },
    /// The next piece of the agent's speech. Comes faster than it is spoken.
    Audio {
        /// Which answer.
        response: ResponseId,
        /// Which item.
        item: ItemId,
        /// 24 kHz mono, never empty.
        pcm: Vec<i16>,
    },
    /// All audio of an item has come.
    AudioDone {
        /// Which answer.
        response: ResponseId,
        /// Which item.
        item: ItemId,
    },
    /// What the agent says, in writing. Comes before the sound of it is played.
    AgentTranscript {
        /// Which item.
        item: ItemId,
        /// The words.
        text: Transcript,
    },
    /// What the caller said, in writing, as far as another model understood it.
    CallerTranscript {
        /// Which item.
        item: ItemId,
        /// The words.
        text: Transcript,
    },
    /// An answer is over. No audio of it follows.
    ResponseDone {
        /// Which answer.
        id: ResponseId,
        /// How it ended.
        status: ResponseStatus,
        /// What it cost.
        usage: Usage,
    },
    /// Something went wrong and the session goes on.
    Warning(VendorError),
    /// The session is over. Always the last event; asking again gives it again.
    Closed(CloseReason),
}

/// What a response was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// [`crate::Command::Greet`].
    Greeting,
    /// [`crate::Command::Respond`], or a turn of the caller's that ended.
    Turn,
}

/// A piece of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transcript {
    /// The next few characters.
    Delta(String),
    /// The whole.
    Final(String),
}

/// How a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseStatus {
    /// The model said all that it wanted.
    Completed,
    /// We cancelled it, or the caller's speech did.
    Cancelled,
    /// The model had to stop: `max_output_tokens`, `content_filter`.
    Incomplete {
        /// The vendor's word for it.
        reason: String,
    },
    /// The vendor failed.
    Failed(VendorError),
}

/// Tokens of one response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Text that was read, cached text included.
    pub input_text: u64,
    /// Audio that was read, cached audio included.
    pub input_audio: u64,
    /// The part of `input_text` that cost less.
    pub cached_text: u64,
    /// The part of `input_audio` that cost less.
    pub cached_audio: u64,
    /// Text that was written, the transcript included.
    pub output_text: u64,
    /// Audio that was spoken.
    pub output_audio: u64,
}
