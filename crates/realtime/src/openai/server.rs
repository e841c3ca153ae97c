//! The events that we read, as they are on the wire. Fields that we do not use
//! are not named, so that a change of them is no trouble.

use std::borrow::Cow;

use serde::Deserialize;

use super::error::WireError;
use crate::Usage;

/// The part that all events have.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
}

/// `error`
#[derive(Debug, Deserialize)]
pub(super) struct ErrorEvent {
    pub(super) error: WireError,
}

/// `input_audio_buffer.speech_started`
#[derive(Debug, Deserialize)]
pub(super) struct SpeechStarted {
    pub(super) audio_start_ms: u64,
}

/// `input_audio_buffer.speech_stopped`
#[derive(Debug, Deserialize)]
pub(super) struct SpeechStopped {
    pub(super) audio_end_ms: u64,
}

/// `response.created`, `response.done`
#[derive(Debug, Deserialize)]
pub(super) struct ResponseEvent {
    pub(super) response: Response,
}

#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) id: String,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) status_details: Option<StatusDetails>,
    #[serde(default)]
    pub(super) metadata: Option<Metadata>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusDetails {
    pub(super) reason: Option<String>,
    pub(super) error: Option<WireError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) purpose: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    input_token_details: Option<InputTokens>,
    output_token_details: Option<OutputTokens>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputTokens {
    text_tokens: Option<u64>,
    audio_tokens: Option<u64>,
    cached_tokens_details: Option<OutputTokens>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputTokens {
    text_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let input = wire.input_token_details.unwrap_or_default();
        let cached = input.cached_tokens_details.unwrap_or_default();
        let output = wire.output_token_details.unwrap_or_default();
        Self {
            input_text: input.text_tokens.unwrap_or_default(),
            input_audio: input.audio_tokens.unwrap_or_default(),
            cached_text: cached.text_tokens.unwrap_or_default(),
            cached_audio: cached.audio_tokens.unwrap_or_default(),
            output_text: output.text_tokens.unwrap_or_default(),
            output_audio: output.audio_tokens.unwrap_or_default(),
        }
    }
}

/// `response.output_audio.delta`
#[derive(Debug, Deserialize)]
pub(super) struct AudioDelta<'a> {
    #[serde(borrow)]
    pub(super) response_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) item_id: Cow<'a, str>,
    #[serde(default)]
    pub(super) content_index: u32,
    /// Base64. Borrowed, because base64 needs no escapes.
    #[serde(borrow)]
    pub(super) delta: Cow<'a, str>,
}

/// `response.output_audio.done`
#[derive(Debug, Deserialize)]
pub(super) struct AudioDone {
    pub(super) response_id: String,
    pub(super) item_id: String,
}

/// `response.output_audio_transcript.delta` and `.done`
#[derive(Debug, Deserialize)]
pub(super) struct AgentTranscript {
    pub(super) response_id: String,
    pub(super) item_id: String,
    #[serde(alias = "transcript")]
    pub(super) delta: String,
}

/// `conversation.item.input_audio_transcription.delta` and `.completed`
#[derive(Debug, Deserialize)]
pub(super) struct CallerTranscript {
    pub(super) item_id: String,
    #[serde(alias = "transcript")]
    pub(super) delta: String,
}

/// `conversation.item.input_audio_transcription.failed`
#[derive(Debug, Deserialize)]
pub(super) struct TranscriptionFailed {
    #[serde(default)]
    pub(super) error: WireError,
}
