//! How the model behaves on a connection, and misbehaves.

use std::time::Duration;

use super::turn::Script;

/// How a connection goes. The default is a model that works, and is quick.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// How the connection begins.
    pub opening: Opening,
    /// From the end of the user's turn to the first audio.
    pub think_time: Duration,
    /// From the end of the user's turn to its transcript.
    pub transcription_delay: Duration,
    /// How much audio each delta carries. The vendor's carry 100 to 200 ms.
    pub chunk: Duration,
    /// How much faster than real time the audio is sent. The vendor's comes at 5 to 10 times.
    pub speed: f64,
    /// Whether a session may set a temperature.
    pub temperature: Temperature,
    /// When the server ends the session by itself.
    pub end: Option<EndOfSession>,
    /// What is sent besides that no client expects.
    pub disturbance: Disturbance,
    /// What the model says.
    pub script: Script,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            opening: Opening::Normal,
            think_time: Duration::from_millis(5),
            transcription_delay: Duration::from_millis(5),
            chunk: Duration::from_millis(100),
            speed: 8.0,
            temperature: Temperature::ByModel,
            end: None,
            disturbance: Disturbance::None,
            script: Script::default(),
        }
    }
}

/// How a connection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// `session.created` at once.
    Normal,
    /// The upgrade is refused with this HTTP status.
    Refused(u16),
    /// The socket opens, and nothing is ever answered.
    Mute,
    /// `session.created` comes this much later; what the client sends before waits.
    Delayed(Duration),
    /// An `error` with this code instead of `session.created`, and the end.
    Failed(String),
}

/// Whether a session may set a temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temperature {
    /// As the vendor has it: the GA models take none, the preview models do.
    ByModel,
    /// As compatible servers have it.
    Taken,
}

/// The end of a session by the server, as at the vendor's limit of 60 minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOfSession {
    /// From the opening.
    pub after: Duration,
    /// The WebSocket's close code: 1001 at the limit.
    pub close_code: u16,
    /// The code of an `error` event before, if there is one: `session_expired`.
    pub announced_as: Option<String>,
}

/// What is sent besides that no client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Nothing.
    None,
    /// Events of types that do not exist yet, before each response and within.
    UnknownEvents,
    /// Frames that are no events at all: broken JSON, JSON of no object, binary.
    Garbage,
}

/// How a response goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseFault {
    /// It is asked for and never comes.
    Ignored,
    /// It is refused with an `error` of this code.
    Refused(String),
    /// Its first audio comes so much later.
    SlowStart(Duration),
    /// It ends as `failed` with this code, after so much audio.
    Failed {
        /// `server_error`, `rate_limit_exceeded`, `insufficient_quota`…
        code: String,
        /// Of audio sent.
        after: Duration,
    },
    /// It falls silent after so much audio, and never ends by itself.
    Stalled {
        /// Of audio sent.
        after: Duration,
    },
    /// The connection is closed after so much audio.
    Closed {
        /// The WebSocket's close code: 1011 for a failure of the server.
        code: u16,
        /// Of audio sent.
        after: Duration,
    },
}
