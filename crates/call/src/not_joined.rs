//! Why a room was not joined, in words that can be shown.

use domain::{chain, shorten, without_tokens};
use livekit::RoomError;
use trunkline_domain as domain;

/// As much of a refusal as is told: whoever answers there wrote it.
const MAX_REASON_CHARS: usize = 500;

/// The SDK's error without the token that asked to be let in: LiveKit repeats what it refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotJoined(String);

impl NotJoined {
    pub(crate) fn new(error: &RoomError) -> Self {
        let told = chain(error);
        Self(shorten(&without_tokens(&told), MAX_REASON_CHARS).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_livekit_says_of_a_token_is_told_without_it() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXkifQ.c2lnbmF0dXJl";
        let refusal = format!("invalid token: {token}, error: {}", "x".repeat(10_000));
        let told = NotJoined::new(&RoomError::Internal(refusal));
        let told = format!("{told} {told:?}");
        assert!(told.contains("invalid token: [token], error: x"), "{told}");
        assert!(!told.contains("eyJ"), "{told}");
        assert!(told.len() < 2_000, "{told}");
    }
}
