//! What a session is configured with.

use trunkline_domain::{CallConfig, Language, NoiseReduction, Temperature, TurnDetection};

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
    /// How the vendor finds that the caller speaks. It begins a response when the caller
    /// stops, and cancels the running one when the caller begins.
    pub turn_detection: TurnDetection,
    /// What the vendor takes out of the caller's sound.
    pub noise_reduction: Option<NoiseReduction>,
    /// Who writes down what the caller says. `None`: no
    /// [`crate::Event::CallerTranscript`] will come.
    pub transcription: Option<Transcriber>,
}

/// A model that writes down what the caller says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcriber {
    /// The vendor's name of the model.
    pub model: String,
    /// The language that is expected, as ISO 639. `None`: the model finds out.
    pub language: Option<String>,
}

impl SessionConfig {
    /// The session for a call's configuration.
    pub fn for_call(config: &CallConfig) -> Self {
        let transcription = &config.transcription;
        let model = transcription.model.as_deref();
        Self {
            instructions: config.system_prompt.clone(),
            voice: config.voice.clone(),
            temperature: config.temperature,
            turn_detection: config.turn_detection,
            noise_reduction: config.noise_reduction,
            transcription: transcription.enabled.then(|| Transcriber {
                model: model.unwrap_or(DEFAULT_TRANSCRIPTION_MODEL).to_owned(),
                language: config.language.as_ref().map(Language::primary),
            }),
        }
    }
}
