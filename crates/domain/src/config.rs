//! What a call is run with: prompt, model, voice, start message, and how the
//! conversation goes.
//!
//! A backend's answer and a tenant's defaults have the same JSON shape, a
//! [`CallConfigPatch`]: every field may be left out, and what is left out is
//! taken from the level below (answer over tenant's defaults over built-in).

mod action;
mod conversation;
mod fields;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::{Map, Value};

pub use action::{CallAction, TransferTarget};
pub use conversation::{
    ConversationLimits, Eagerness, FirstSpeaker, Language, NoiseReduction, Transcription,
    TurnDetection,
};

use conversation::{LimitsPatch, TranscriptionPatch};
use fields::{Fields, kind};

/// The largest answer that is read, in bytes.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;
/// The largest default configuration that is written, in bytes. The answers of a page
/// and the changes of a history hold many of them.
pub const MAX_DEFAULT_CONFIG_BYTES: usize = 64 * 1024;
/// The longest system prompt, in characters: about 16,000 tokens, which is what
/// the realtime models take as instructions.
pub const MAX_PROMPT_CHARS: usize = 64 * 1024;
/// The longest start message, in characters: four minutes of speech.
pub const MAX_START_MESSAGE_CHARS: usize = 4096;
/// The longest model or voice name, in characters.
pub const MAX_NAME_CHARS: usize = 128;
/// The longest `metadata`, in bytes of JSON.
pub const MAX_METADATA_BYTES: usize = 4 * 1024;

/// Why a configuration cannot be used. It names the field as the sender wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Longer than [`MAX_CONFIG_BYTES`].
    #[error("the configuration has {bytes} bytes; at most {MAX_CONFIG_BYTES} are read")]
    TooLarge {
        /// The length of the text.
        bytes: usize,
    },
    /// Not JSON, or JSON that is not an object.
    #[error("the configuration is not a JSON object: {problem}")]
    NotAnObject {
        /// What was found, without the text itself.
        problem: String,
    },
    /// One field is wrong.
    #[error("{field} {problem}")]
    Field {
        /// The field's name in the JSON.
        field: &'static str,
        /// What it must be.
        problem: String,
    },
}

/// A sampling temperature, 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Temperature(f64);

impl Temperature {
    /// `None` unless the value is from 0 to 2.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=2.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// A part of a configuration: what a backend answered, or a tenant's defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallConfigPatch {
    /// `systemPrompt`
    pub system_prompt: Option<String>,
    /// `model`
    pub model: Option<String>,
    /// `voice`
    pub voice: Option<String>,
    /// `temperature`
    pub temperature: Option<Temperature>,
    /// `startMessage`
    pub start_message: Option<String>,
    /// `firstSpeaker`
    pub first_speaker: Option<FirstSpeaker>,
    /// `greetingInterruptible`
    pub greeting_interruptible: Option<bool>,
    /// `language`
    pub language: Option<Language>,
    /// `turnDetection`
    pub turn_detection: Option<TurnDetection>,
    /// `noiseReduction`; the inner `None` is `"none"`.
    pub noise_reduction: Option<Option<NoiseReduction>>,
    transcription: TranscriptionPatch,
    limits: LimitsPatch,
    /// `action`
    pub action: Option<CallAction>,
    /// `metadata`
    pub metadata: Option<Map<String, Value>>,
    /// Fields that this version does not know, kept as they came; those within
    /// another field by their path, `turnDetection.mood` for instance.
    pub unknown: Map<String, Value>,
}

impl CallConfigPatch {
    /// The names of the fields that this version knows.
    pub const FIELDS: [&str; 14] = [
        "systemPrompt",
        "model",
        "voice",
        "temperature",
        "startMessage",
        "firstSpeaker",
        "greetingInterruptible",
        "language",
        "turnDetection",
        "noiseReduction",
        "transcription",
        "limits",
        "action",
        "metadata",
    ];

    /// Reads and checks the JSON text.
    ///
    /// # Errors
    /// When it is too large, not an object, or a known field has a wrong type,
    /// is empty where it may not be, or is out of its range.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidConfig> {
        if json.len() > MAX_CONFIG_BYTES {
            return Err(InvalidConfig::TooLarge { bytes: json.len() });
        }
        Self::from_value(value(json)?)
    }

    /// The same, with everything that is wrong.
    ///
    /// # Errors
    /// As [`CallConfigPatch::parse`], all of them.
    pub fn parse_all(json: &[u8]) -> Result<Self, Vec<InvalidConfig>> {
        if json.len() > MAX_CONFIG_BYTES {
            return Err(vec![InvalidConfig::TooLarge { bytes: json.len() }]);
        }
        Self::all_of_value(value(json).map_err(|problem| vec![problem])?)
    }

    /// Checks a JSON value.
    ///
    /// # Errors
    /// As [`CallConfigPatch::parse`].
    pub fn from_value(value: Value) -> Result<Self, InvalidConfig> {
        let Value::Object(fields) = value else {
            return Err(not_an_object(&value));
        };
        Self::read(fields)
    }

    /// The same with everything that is wrong.
    fn all_of_value(value: Value) -> Result<Self, Vec<InvalidConfig>> {
        let Value::Object(mut fields) = value else {
            return Err(vec![not_an_object(&value)]);
        };
        let mut problems = Vec::new();
        loop {
            match Self::read(fields.clone()) {
                Ok(patch) if problems.is_empty() => return Ok(patch),
                Ok(_) => return Err(problems),
                Err(problem) => {
                    // Without it the others are seen. One that is wrong is there.
                    let there = match &problem {
                        InvalidConfig::Field { field, .. } => {
                            let outermost = field.split('.').next().unwrap_or(field);
                            fields.remove(outermost)
                        }
                        InvalidConfig::TooLarge { .. } | InvalidConfig::NotAnObject { .. } => None,
                    };
                    problems.push(problem);
                    if there.is_none() {
                        return Err(problems);
                    }
                }
            }
        }
    }

    fn read(fields: Map<String, Value>) -> Result<Self, InvalidConfig> {
        let mut fields = Fields::new(fields);
        let patch = Self {
            system_prompt: fields.text("systemPrompt", 1..=MAX_PROMPT_CHARS)?,
            model: fields.text("model", 1..=MAX_NAME_CHARS)?,
            voice: fields.text("voice", 1..=MAX_NAME_CHARS)?,
            temperature: fields
                .number("temperature", 0.0..=2.0)?
                .and_then(Temperature::new),
            start_message: fields.text("startMessage", 0..=MAX_START_MESSAGE_CHARS)?,
            first_speaker: fields.choice("firstSpeaker", FirstSpeaker::NAMED)?,
            greeting_interruptible: fields.flag("greetingInterruptible")?,
            language: Language::take(&mut fields, "language")?,
            turn_detection: TurnDetection::take(&mut fields)?,
            noise_reduction: fields.choice("noiseReduction", NoiseReduction::NAMED)?,
            transcription: TranscriptionPatch::take(&mut fields)?,
            limits: LimitsPatch::take(&mut fields)?,
            action: CallAction::take(&mut fields)?,
            metadata: fields.map("metadata", MAX_METADATA_BYTES)?,
            unknown: Map::new(),
        };
        Ok(Self {
            unknown: fields.rest(),
            ..patch
        })
    }

    /// This patch over `base`.
    pub fn over(self, base: &CallConfig) -> CallConfig {
        let mut unknown = base.unknown.clone();
        unknown.extend(self.unknown);
        CallConfig {
            system_prompt: self
                .system_prompt
                .unwrap_or_else(|| base.system_prompt.clone()),
            model: self.model.unwrap_or_else(|| base.model.clone()),
            voice: self.voice.unwrap_or_else(|| base.voice.clone()),
            temperature: self.temperature.or(base.temperature),
            start_message: self
                .start_message
                .unwrap_or_else(|| base.start_message.clone()),
            first_speaker: self.first_speaker.or(base.first_speaker),
            greeting_interruptible: self
                .greeting_interruptible
                .unwrap_or(base.greeting_interruptible),
            language: self.language.or_else(|| base.language.clone()),
            turn_detection: self.turn_detection.unwrap_or(base.turn_detection),
            noise_reduction: self.noise_reduction.unwrap_or(base.noise_reduction),
            transcription: self.transcription.over(&base.transcription),
            limits: self.limits.over(base.limits),
            action: self.action.unwrap_or_else(|| base.action.clone()),
            metadata: self.metadata.unwrap_or_else(|| base.metadata.clone()),
            unknown,
        }
    }
}

/// The whole configuration of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallConfig {
    /// The instructions of the model. Never empty.
    pub system_prompt: String,
    /// The vendor's name of the model.
    pub model: String,
    /// The vendor's name of the voice.
    pub voice: String,
    /// Sent only to models that take it.
    pub temperature: Option<Temperature>,
    /// What the agent says first, word for word. Empty: it has no such sentence.
    pub start_message: String,
    /// Who speaks first, where it is said; see [`CallConfig::first_speaker`].
    pub first_speaker: Option<FirstSpeaker>,
    /// Whether the caller can break into the agent's first words.
    pub greeting_interruptible: bool,
    /// The language of the call. `None`: not known.
    pub language: Option<Language>,
    /// How the vendor finds out that the caller speaks, and is done.
    pub turn_detection: TurnDetection,
    /// What the vendor takes out of the caller's sound. `None`: nothing.
    pub noise_reduction: Option<NoiseReduction>,
    /// Whether what the caller says is written down.
    pub transcription: Transcription,
    /// How long the call may be, and how long the caller may be silent.
    pub limits: ConversationLimits,
    /// What is done with the call.
    pub action: CallAction,
    /// The backend's own notes.
    pub metadata: Map<String, Value>,
    /// Fields that this version does not know.
    pub unknown: Map<String, Value>,
}

impl CallConfig {
    /// Who speaks first: as it is said, else the agent where it has a sentence to say.
    pub fn first_speaker(&self) -> FirstSpeaker {
        self.first_speaker
            .unwrap_or(if self.start_message.is_empty() {
                FirstSpeaker::Caller
            } else {
                FirstSpeaker::Agent
            })
    }

    /// What holds where neither the backend nor the tenant says anything: a
    /// caller hears a sensible sentence even then.
    pub fn built_in() -> Self {
        Self {
            system_prompt: "You are a friendly, brief telephone assistant. Find out what the \
                            caller wants, offer to take a message with a name and a number, and \
                            say that somebody will call back. Never invent facts."
                .to_owned(),
            model: "gpt-realtime".to_owned(),
            voice: "marin".to_owned(),
            temperature: None,
            start_message: "Hello, thank you for calling. How can I help you?".to_owned(),
            first_speaker: None,
            greeting_interruptible: true,
            language: None,
            turn_detection: TurnDetection::default(),
            noise_reduction: None,
            transcription: Transcription::default(),
            limits: ConversationLimits::default(),
            action: CallAction::default(),
            metadata: Map::new(),
            unknown: Map::new(),
        }
    }
}

fn value(json: &[u8]) -> Result<Value, InvalidConfig> {
    serde_json::from_slice(json).map_err(|e| InvalidConfig::NotAnObject {
        problem: syntax_problem(json, &e),
    })
}

fn not_an_object(value: &Value) -> InvalidConfig {
    InvalidConfig::NotAnObject {
        problem: format!("it is {}", kind(value)),
    }
}

/// What is wrong with a text that is not JSON. A text of `serde_json` about syntax
/// holds nothing of what was read; to be sure, it is only recognised here.
fn syntax_problem(json: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match error.classify() {
        Category::Eof => "it breaks off",
        Category::Syntax if text.starts_with("recursion limit") => "it is nested too deeply",
        Category::Syntax if text.starts_with("number out of range") => {
            "a number in it is too large"
        }
        Category::Syntax if json.starts_with(&[0x1f, 0x8b]) => "it is compressed (gzip)",
        Category::Syntax if std::str::from_utf8(json).is_err() => "it is not UTF-8",
        Category::Syntax | Category::Data | Category::Io => "syntax error",
    };
    format!("{what} at line {}, column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_left_out_comes_from_the_level_below() {
        let base = CallConfig::built_in();
        let patch = CallConfigPatch::parse(br#"{"startMessage":" Hi. ","voice":null}"#).unwrap();
        let config = patch.over(&base);
        assert_eq!(config.start_message, "Hi.");
        assert_eq!(config.voice, base.voice);
        assert_eq!(config.system_prompt, base.system_prompt);
    }

    #[test]
    fn every_known_field_is_named_and_none_that_is_not() {
        let all = CallConfigPatch::FIELDS.map(|name| (name.to_owned(), Value::from("x")));
        let fields: Map<String, Value> = all.into_iter().collect();
        // Whatever is wrong with them, none is unknown.
        let known = match CallConfigPatch::all_of_value(Value::Object(fields)) {
            Ok(patch) => patch.unknown,
            Err(problems) => {
                assert!(problems.len() > 5, "{problems:?}");
                Map::new()
            }
        };
        assert_eq!(known, Map::new());
        let good = json!({"firstSpeaker": "agent", "greetingInterruptible": true,
            "language": "en", "noiseReduction": "none", "transcription": false,
            "limits": {}, "metadata": {}});
        let patch = CallConfigPatch::from_value(good.clone()).unwrap();
        assert_eq!(patch.unknown, Map::new());
        for name in good.as_object().unwrap().keys() {
            assert!(CallConfigPatch::FIELDS.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let wrong = br#"{"voice": 7, "temperature": 9, "limits": {"silenceSeconds": 1.5}}"#;
        let problems = CallConfigPatch::parse_all(wrong).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(CallConfigPatch::parse_all(b"[]").unwrap_err().len(), 1);
    }

    #[test]
    fn unknown_fields_are_kept() {
        let patch = CallConfigPatch::parse(br#"{"tools":[1],"later":{"a":1}}"#).unwrap();
        let config = patch.over(&CallConfig::built_in());
        assert_eq!(config.unknown["tools"], json!([1]));
        assert_eq!(config.unknown["later"], json!({"a": 1}));
    }

    #[test]
    fn an_empty_start_message_lets_the_caller_speak_first() {
        let patch = CallConfigPatch::parse(br#"{"startMessage":""}"#).unwrap();
        assert_eq!(patch.over(&CallConfig::built_in()).start_message, "");
    }

    #[test]
    fn an_error_names_the_field_and_what_it_must_be() {
        for (json, message) in [
            (
                r#"{"systemPrompt":"  "}"#,
                "systemPrompt must not be empty; leave it out to use the tenant's default",
            ),
            (
                r#"{"systemPrompt":7}"#,
                "systemPrompt must be a string, not a number",
            ),
            (
                r#"{"temperature":"warm"}"#,
                "temperature must be a number, not a string",
            ),
            (
                r#"{"temperature":2.5}"#,
                "temperature must be from 0 to 2, not 2.5",
            ),
            (r#"{"voice":["a"]}"#, "voice must be a string, not an array"),
            (
                "[]",
                "the configuration is not a JSON object: it is an array",
            ),
            (
                "{",
                "the configuration is not a JSON object: it breaks off at line 1, column 1",
            ),
        ] {
            assert_eq!(
                CallConfigPatch::parse(json.as_bytes())
                    .unwrap_err()
                    .to_string(),
                message
            );
        }
    }

    #[test]
    fn what_is_not_json_is_told_apart_without_its_text() {
        let problem = |json: &[u8]| CallConfigPatch::parse(json).unwrap_err().to_string();
        let nested = format!(r#"{{"x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        for (json, what) in [
            (nested.as_bytes(), "it is nested too deeply at line 1"),
            (
                br#"{"temperature": 1e999}"#,
                "a number in it is too large at line 1",
            ),
            (
                b"\x1f\x8b\x08\x00hidden",
                "it is compressed (gzip) at line 1",
            ),
            (b"{\"voice\": \"\xff\"}", "it is not UTF-8 at line 1"),
            (b"hidden", "syntax error at line 1, column 1"),
        ] {
            let problem = problem(json);
            assert!(problem.contains(what), "{problem}");
            assert!(!problem.contains("hidden"), "{problem}");
        }
    }

    #[test]
    fn an_oversized_text_is_refused_before_it_is_parsed() {
        let text = vec![b' '; MAX_CONFIG_BYTES + 1];
        let error = CallConfigPatch::parse(&text).unwrap_err();
        assert_eq!(
            error,
            InvalidConfig::TooLarge {
                bytes: MAX_CONFIG_BYTES + 1
            }
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_is_within_bounds(text in ".{0,200}") {
            if let Ok(patch) = CallConfigPatch::parse(text.as_bytes()) {
                let config = patch.over(&CallConfig::built_in());
                prop_assert!(!config.system_prompt.is_empty());
            }
        }

        #[test]
        fn only_temperatures_from_0_to_2_exist(value in proptest::num::f64::ANY) {
            prop_assert_eq!(Temperature::new(value).is_some(), (0.0..=2.0).contains(&value));
        }
    }
}
