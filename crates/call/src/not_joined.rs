//! Why a room was not joined, in words that can be shown.

use std::error::Error;

use domain::{shorten, without_tokens};
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
        let told = without_repeats(error);
        Self(shorten(&without_tokens(&told), MAX_REASON_CHARS).into_owned())
    }
}

/// The error with its causes. Most of the SDK's say what their cause says already.
fn without_repeats(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !told.contains(&more) {
            told = format!("{told}: {more}");
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use livekit::rtc_engine::EngineError;

    use super::*;

    #[test]
    fn what_is_told_is_told_once() {
        let error = EngineError::Connection("away".into());
        let told = NotJoined::new(&RoomError::Engine(error)).to_string();
        assert_eq!(told, "engine: connection error: away");
    }

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
