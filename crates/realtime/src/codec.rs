//! What a vendor's wire must be able to do.

use crate::{CloseReason, Command, Event};

/// Translates between one vendor's wire and ours. Pure: no socket, no clock.
pub(crate) trait Codec: Send {
    /// Turns a command into the vendor's messages.
    fn command(&mut self, command: Command, out: &mut Output);

    /// Reads a message of the vendor's.
    fn text(&mut self, text: &str, out: &mut Output);
}

/// What a codec wants done, in order.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// To the vendor.
    pub(crate) messages: Vec<String>,
    /// To the call.
    pub(crate) events: Vec<Event>,
    /// The vendor said that the session has begun.
    pub(crate) begun: Begun,
    /// The session cannot go on.
    pub(crate) end: Option<CloseReason>,
}

/// Whether the vendor said that the session has begun.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Not in this message.
    #[default]
    No,
    /// Now.
    Yes,
}
