//! The one error type of the peer-connection API.

use thiserror::Error;

/// What kind of mistake or failure an [`RtcError`] is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RtcErrorType {
    /// The engine failed, or does not implement what was asked.
    Internal,
    /// A session description could not be read or applied.
    InvalidSdp,
    /// The call does not fit the state, e.g. the connection is closed.
    InvalidState,
}

/// An error of the peer-connection API.
#[derive(Error, Debug)]
#[error("an RtcError occurred: {error_type:?} - {message}")]
pub struct RtcError {
    /// What kind of error it is.
    pub error_type: RtcErrorType,
    /// For people.
    pub message: String,
}

impl RtcError {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::Internal,
            message: message.into(),
        }
    }

    pub(crate) fn invalid_sdp(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::InvalidSdp,
            message: message.into(),
        }
    }

    pub(crate) fn invalid_state(message: impl Into<String>) -> Self {
        Self {
            error_type: RtcErrorType::InvalidState,
            message: message.into(),
        }
    }
}
