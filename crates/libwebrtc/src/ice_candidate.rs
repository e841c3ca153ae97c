//! An ICE candidate as signalling carries it.

use std::fmt;

use crate::{sdp, session_description::SdpParseError};

/// An ICE candidate with the section it belongs to.
pub struct IceCandidate {
    sdp_mid: String,
    sdp_mline_index: i32,
    candidate: String,
}

impl IceCandidate {
    /// Reads a candidate line (`candidate:…`, with or without `a=`).
    ///
    /// # Errors
    /// Where the line is not a candidate.
    pub fn parse(
        sdp_mid: &str,
        sdp_mline_index: i32,
        sdp: &str,
    ) -> Result<IceCandidate, SdpParseError> {
        let line = sdp.trim();
        sdp::candidate::check(line).map_err(|description| SdpParseError {
            line: line.to_owned(),
            description: description.to_owned(),
        })?;
        Ok(Self::new(sdp_mid, sdp_mline_index, line))
    }

    pub(crate) fn new(sdp_mid: &str, sdp_mline_index: i32, line: &str) -> Self {
        let candidate = line.strip_prefix("a=").unwrap_or(line).to_owned();
        Self {
            sdp_mid: sdp_mid.to_owned(),
            sdp_mline_index,
            candidate,
        }
    }

    /// The section's id.
    pub fn sdp_mid(&self) -> String {
        self.sdp_mid.clone()
    }

    /// The section's index.
    pub fn sdp_mline_index(&self) -> i32 {
        self.sdp_mline_index
    }

    /// The line, beginning with `candidate:`.
    pub fn candidate(&self) -> String {
        self.candidate.clone()
    }

    pub(crate) fn line(&self) -> &str {
        &self.candidate
    }
}

impl fmt::Display for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.candidate)
    }
}

impl fmt::Debug for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCandidate")
            .field("candidate", &self.candidate)
            .finish()
    }
}
