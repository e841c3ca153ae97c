//! What a session is told to do.

use std::time::Duration;

use crate::{ItemId, SessionConfig};

/// What a session is told to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Set or change the configuration. Answered by [`crate::Event::Ready`] or
    /// [`crate::Event::Refused`].
    Configure(SessionConfig),
    /// What the caller's line gave: 24 kHz mono. It goes out as it comes, one
    /// message per command: give 20 to 40 ms, which is what a frame costs in
    /// latency. Dropped, and counted, when the socket does not keep up.
    AppendAudio(Vec<i16>),
    /// Say exactly these words. Recognised by the `purpose` in
    /// [`crate::Event::ResponseStarted`].
    Greet {
        /// The words.
        text: String,
    },
    /// Answer now, without waiting for the caller's turn to end.
    Respond,
    /// Say something now that these instructions ask for. For this one answer they
    /// take the place of the session's.
    Prompt {
        /// Whole by themselves: the vendor puts the session's aside.
        instructions: String,
    },
    /// Take these lines as part of the conversation, in this order, without answering:
    /// what was said in a session before, or what came by another way than the line.
    Remember(Vec<Line>),
    /// End the response that is under way or asked for. Its audio that is still
    /// on the way is swallowed. Nothing happens when there is none.
    CancelResponse,
    /// The caller heard only the beginning of an item: make the conversation say
    /// so. More than was received counts as all of it, nothing at all removes the
    /// item, and an item without audio is left alone.
    Truncate {
        /// The item, from [`crate::Event::Audio`].
        item: ItemId,
        /// How much of its audio came out at the caller's side.
        heard: Duration,
    },
    /// Forget the audio that was appended and is not yet part of a turn.
    ClearInput,
}

/// Something that belongs to the conversation, in writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose it is.
    pub role: Role,
    /// The words.
    pub text: String,
}

/// Who a line is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    Caller,
    /// The agent.
    Agent,
    /// Whoever runs the call.
    System,
}
