//! What a session is configured with.

use std::time::Duration;

use trunkline_domain::{CallConfig, Temperature};

/// A small transcription model of the vendor; see
/// [`SessionConfig::transcription`].
pub const DEFAULT_TRANSCRIPTION_MODEL: &str = "gpt-transcribe";

/// What a session is configured with. The model is not here: it is chosen when
/// the socket is opened, and cannot be changed afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionConfig {
    /// The system prompt.
    pub instructions: String,
    /// The vendor's name of the voice. Cannot be changed after the first audio.
    pub voice: String,
    /// Sent only to models that take it; else it is named in
    /// [`crate::Event::Ready`].
    pub temperature: Option<Temperature>,
    /// When the vendor finds that the caller speaks.
    pub turn_detection: TurnDetection,
    /// The model that writes down what the caller says. `None`: no
    /// [`crate::Event::CallerTranscript`] will come.
    pub transcription: Option<String>,
}

impl SessionConfig {
    /// The session for a call's configuration, with default turn detection and
    /// no transcription of the caller.
    pub fn for_call(config: &CallConfig) -> Self {
        Self {
            instructions: config.system_prompt.clone(),
            voice: config.voice.clone(),
            temperature: config.temperature,
            turn_detection: TurnDetection::default(),
            transcription: None,
        }
    }
}

/// Voice activity detection at the vendor's side. The vendor begins a response
/// when the caller stops speaking, and cancels the running one when the caller
/// begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnDetection {
    /// How sure the detector must be, 0 to 1. Higher for noisy lines.
    pub threshold: f64,
    /// How much audio before the detected start belongs to the turn.
    pub prefix_padding: Duration,
    /// How much silence ends a turn.
    pub silence_duration: Duration,
}

impl Default for TurnDetection {
    /// The vendor's own defaults for `server_vad`.
    fn default() -> Self {
        Self {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(300),
            silence_duration: Duration::from_millis(500),
        }
    }
}
