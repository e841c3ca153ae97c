//! Session descriptions.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::sdp::{self, Session};

/// What a description is for.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SdpType {
    /// Opens a negotiation.
    Offer,
    /// Answers it for now.
    PrAnswer,
    /// Answers it.
    Answer,
    /// Takes back an offer.
    Rollback,
}

impl FromStr for SdpType {
    type Err = &'static str;

    fn from_str(sdp_type: &str) -> Result<Self, Self::Err> {
        match sdp_type {
            "offer" => Ok(Self::Offer),
            "pranswer" => Ok(Self::PrAnswer),
            "answer" => Ok(Self::Answer),
            "rollback" => Ok(Self::Rollback),
            _ => Err("invalid SdpType"),
        }
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::PrAnswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        })
    }
}

/// Why a text is not a session description or not a candidate.
#[derive(Clone, Error, Debug)]
#[error("Failed to parse sdp: {line} - {description}")]
pub struct SdpParseError {
    /// The line at fault.
    pub line: String,
    /// What is wrong with it.
    pub description: String,
}

/// A session description. It keeps the text it was read from.
#[derive(Clone)]
pub struct SessionDescription {
    sdp_type: SdpType,
    text: Arc<str>,
    session: Arc<Session>,
}

impl SessionDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// Where `sdp` is not a session description.
    pub fn parse(sdp: &str, sdp_type: SdpType) -> Result<Self, SdpParseError> {
        let session = match sdp_type {
            SdpType::Rollback => Session::default(),
            SdpType::Offer | SdpType::PrAnswer | SdpType::Answer => sdp::parse(sdp)?,
        };
        Ok(Self {
            sdp_type,
            text: sdp.into(),
            session: Arc::new(session),
        })
    }

    /// What the description is for.
    pub fn sdp_type(&self) -> SdpType {
        self.sdp_type
    }

    pub(crate) fn from_session(session: Session, sdp_type: SdpType) -> Self {
        Self {
            sdp_type,
            text: session.to_string().into(),
            session: Arc::new(session),
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("sdp_type", &self.sdp_type)
            .finish()
    }
}
