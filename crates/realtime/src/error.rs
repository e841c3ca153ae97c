//! What goes wrong with a model, and what to do next.

use std::fmt;
use std::time::Duration;

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// A new session at the same place is worth trying at once.
    Reconnect,
    /// The vendor is overloaded or out of order: a pause first. A call that is
    /// under way takes its next rung instead.
    Later,
    /// Nothing helps until a person changes something: a key, a plan, a name.
    Person,
}

/// Which kind of trouble a vendor reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The key is wrong, or may not do this.
    Credentials,
    /// The account's money or plan is used up.
    Quota,
    /// Too much at once, for us or for all.
    Overload,
    /// The vendor failed.
    Server,
    /// The session is as old as it may get.
    Expired,
    /// What we asked for does not exist or is not allowed: a model, a voice, a field.
    Invalid,
    /// Something that is not of the wire we speak.
    Garbage,
    /// None of these.
    Other,
}

impl Trouble {
    /// For metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Quota => "quota",
            Self::Overload => "overload",
            Self::Server => "server",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Garbage => "garbage",
            Self::Other => "other",
        }
    }

    /// What to do after it.
    pub fn recovery(self) -> Recovery {
        match self {
            Self::Credentials | Self::Quota | Self::Invalid => Recovery::Person,
            Self::Overload | Self::Server => Recovery::Later,
            Self::Expired | Self::Garbage | Self::Other => Recovery::Reconnect,
        }
    }
}

/// A vendor's complaint. The texts are bounded, without control characters and
/// without keys: they may be logged and kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct VendorError {
    /// Which kind.
    pub trouble: Trouble,
    /// The vendor's code, for instance `insufficient_quota`. May be empty.
    pub code: String,
    /// Which field of ours it is about. May be empty.
    pub param: String,
    /// The vendor's words. May be empty.
    pub message: String,
}

impl VendorError {
    /// What to do after it.
    pub fn recovery(&self) -> Recovery {
        self.trouble.recovery()
    }
}

impl fmt::Display for VendorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.trouble.as_label())?;
        for (name, text) in [("", &self.code), ("about ", &self.param)] {
            if !text.is_empty() {
                write!(f, ", {name}{text}")?;
            }
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// Why no session could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint's address or key cannot be used at all.
    #[error("the endpoint cannot be used: {problem}")]
    Endpoint {
        /// What is wrong; it holds no secret.
        problem: &'static str,
    },
    /// No connection, or it broke before the session began.
    #[error("no connection to the model")]
    Unreachable(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The vendor answered, and said no.
    #[error("the vendor refused the session{}", .status.map_or(String::new(), |s| format!(" with HTTP {s}")))]
    Refused {
        /// The HTTP status; `None` when the refusal came over the open socket.
        status: Option<u16>,
        /// The refusal.
        #[source]
        error: VendorError,
    },
    /// The vendor closed the socket before the session began.
    #[error("the vendor closed the socket before the session began")]
    Closed(#[source] CloseReason),
    /// It took too long.
    #[error("no session within {} ms", .after.as_millis())]
    TimedOut {
        /// How long we waited.
        after: Duration,
    },
}

impl ConnectError {
    /// What to do after it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Endpoint { .. } => Recovery::Person,
            Self::Unreachable(_) | Self::TimedOut { .. } => Recovery::Reconnect,
            Self::Refused { error, .. } => error.recovery(),
            Self::Closed(reason) => reason.recovery(),
        }
    }

    /// For metrics and logs.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "endpoint",
            Self::Unreachable(_) => "unreachable",
            Self::Refused { error, .. } => error.trouble.as_label(),
            Self::Closed(_) => "closed",
            Self::TimedOut { .. } => "timeout",
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed by us")]
    Requested,
    /// The vendor closed the socket.
    #[error("closed by the vendor{}{}", .code.map_or(String::new(), |c| format!(" with code {c}")), after_colon(.text))]
    Peer {
        /// The close code; `None` when there was none.
        code: Option<u16>,
        /// The vendor's words, safe to log.
        text: String,
    },
    /// The vendor reported something that no session survives.
    #[error("ended by the vendor's error")]
    Vendor(#[source] VendorError),
    /// The connection broke.
    #[error("the connection broke: {problem}")]
    Lost {
        /// What the socket said.
        problem: String,
    },
    /// Neither an answer to our pings nor anything else came.
    #[error("the vendor fell silent")]
    Silent,
    /// What we sent was not taken.
    #[error("the vendor stopped reading")]
    Stuck,
    /// A command did not fit into the queue.
    #[error("more commands than the session could send")]
    Overflow,
    /// Nobody took the events.
    #[error("nobody took the session's events")]
    Unheard,
    /// A fault of ours.
    #[error("a fault in the session's task")]
    Crashed,
}

fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

impl CloseReason {
    /// What to do after it.
    pub fn recovery(&self) -> Recovery {
        match self {
            // 1008: policy, which is how a vendor refuses without an HTTP status.
            Self::Peer {
                code: Some(1008), ..
            } => Recovery::Person,
            // 1011: server error; 1013: try again later.
            Self::Peer {
                code: Some(1011 | 1013),
                ..
            } => Recovery::Later,
            Self::Vendor(error) => error.recovery(),
            Self::Requested
            | Self::Peer { .. }
            | Self::Lost { .. }
            | Self::Silent
            | Self::Stuck
            | Self::Overflow
            | Self::Unheard
            | Self::Crashed => Recovery::Reconnect,
        }
    }

    /// For metrics and logs.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Peer { .. } => "peer",
            Self::Vendor(error) => error.trouble.as_label(),
            Self::Lost { .. } => "lost",
            Self::Silent => "silent",
            Self::Stuck => "stuck",
            Self::Overflow => "overflow",
            Self::Unheard => "unheard",
            Self::Crashed => "crashed",
        }
    }
}

/// Why a command was not taken. [`crate::Event::Closed`] follows, or has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The session is over.
    #[error("the session is over")]
    Closed,
    /// The queue is full of commands, and the session ends of it.
    #[error("the session does not keep up with its commands")]
    Overflow,
}
