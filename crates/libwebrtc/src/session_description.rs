//! Session descriptions.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::{
    RtcError,
    sdp::{self, Session},
};

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

    /// What is no type is taken for a provisional answer, which every connection refuses: the SDK
    /// takes for given that the server's word is one, as with [`SessionDescription::parse`].
    fn from_str(sdp_type: &str) -> Result<Self, Self::Err> {
        Ok(match sdp_type {
            "offer" => Self::Offer,
            "answer" => Self::Answer,
            "rollback" => Self::Rollback,
            _ => Self::PrAnswer,
        })
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
    /// Empty where the text could not be read.
    session: Arc<Session>,
    error: Option<Arc<SdpParseError>>,
}

impl SessionDescription {
    /// Reads a description. One that cannot be read is refused by the connection that it is set
    /// on, with an error of [`InvalidSdp`](crate::RtcErrorType::InvalidSdp), and not here: the SDK
    /// takes it for given that what a server says can be read, and the panic would leave a room
    /// that neither works nor ends.
    ///
    /// # Errors
    /// None at present.
    pub fn parse(sdp: &str, sdp_type: SdpType) -> Result<Self, SdpParseError> {
        let read = match sdp_type {
            SdpType::Rollback => Ok(Session::default()),
            SdpType::Offer | SdpType::PrAnswer | SdpType::Answer => sdp::parse(sdp),
        };
        let (session, error) = match read {
            Ok(session) => (session, None),
            Err(error) => (Session::default(), Some(Arc::new(error))),
        };
        Ok(Self {
            sdp_type,
            text: sdp.into(),
            session: Arc::new(session),
            error,
        })
    }

    /// To be asked before anything is taken from the description.
    ///
    /// # Errors
    /// Where it could not be read.
    pub(crate) fn check_readable(&self) -> Result<(), RtcError> {
        match &self.error {
            Some(error) => Err(RtcError::invalid_sdp(error.to_string())),
            None => Ok(()),
        }
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
            error: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_a_description_that_says_so() {
        let garbage = SessionDescription::parse("garbage", SdpType::Answer).unwrap();
        let error = garbage.check_readable().unwrap_err();
        assert_eq!(error.error_type, crate::RtcErrorType::InvalidSdp);
        assert!(error.message.contains("v=0"), "{}", error.message);
        assert_eq!(garbage.to_string(), "garbage");
        let rollback = SessionDescription::parse("", SdpType::Rollback).unwrap();
        rollback.check_readable().unwrap();
    }

    #[test]
    fn types_are_read_and_an_unknown_one_is_one_that_is_refused() {
        for known in [
            SdpType::Offer,
            SdpType::PrAnswer,
            SdpType::Answer,
            SdpType::Rollback,
        ] {
            assert_eq!(known.to_string().parse(), Ok(known));
        }
        assert_eq!("answr".parse(), Ok(SdpType::PrAnswer));
    }
}
