//! How a conversation goes: who begins, when a turn ends, how long silence may be.

use std::time::Duration;

use serde_json::Value;

use super::fields::{Fields, wrong, wrong_kind};
use super::{InvalidConfig, MAX_NAME_CHARS};

/// The longest call that can be asked for, in seconds: a day, as in the tenant's record.
const MAX_DURATION_S: u32 = 24 * 60 * 60;
/// The longest silence that can be allowed, in seconds. Beyond it nobody is there.
const MAX_SILENCE_S: u32 = 300;
/// How often the caller can be asked at most whether anybody is there.
const MAX_SILENCE_PROMPTS: u32 = 10;
/// The longest language tag, in characters. Source: RFC 5646, section 4.4.1.
const MAX_LANGUAGE_CHARS: usize = 35;

/// Who speaks first once the phone is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSpeaker {
    /// The agent: its start message, or a greeting of its own where it has none.
    Agent,
    /// The caller. A start message is said when nobody spoke for some seconds.
    Caller,
}

impl FirstSpeaker {
    pub(super) const NAMED: &[(&str, Self)] = &[("agent", Self::Agent), ("caller", Self::Caller)];
}

/// A language by its tag of BCP 47, `de` or `pt-BR` for instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Language(String);

impl Language {
    /// `None` unless the text has the form of a tag.
    pub fn new(tag: &str) -> Option<Self> {
        let mut parts = tag.split('-');
        let primary = parts.next().unwrap_or_default();
        let is_tag = tag.len() <= MAX_LANGUAGE_CHARS
            && (2..=3).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_alphabetic())
            && parts.all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            });
        is_tag.then(|| Self(tag.to_owned()))
    }

    /// The whole tag, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language without script and region, in lower case: `pt` of `pt-BR`.
    pub fn primary(&self) -> String {
        let primary = self.0.split('-').next().unwrap_or_default();
        primary.to_ascii_lowercase()
    }

    pub(super) fn take(
        fields: &mut Fields,
        path: &'static str,
    ) -> Result<Option<Self>, InvalidConfig> {
        let Some(tag) = fields.text(path, 1..=MAX_LANGUAGE_CHARS)? else {
            return Ok(None);
        };
        let problem = "must be a language tag such as \"en\" or \"pt-BR\"";
        Self::new(&tag)
            .map(Some)
            .ok_or_else(|| wrong(path, problem))
    }
}

/// How the vendor finds out that the caller speaks, and that a turn is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TurnDetection {
    /// By loudness: a pause ends a turn.
    Server {
        /// How sure the detector must be, 0 to 1. Higher for noisy lines.
        threshold: f64,
        /// How much audio before the detected start belongs to the turn.
        prefix_padding: Duration,
        /// How much silence ends a turn.
        silence_duration: Duration,
    },
    /// By meaning: a turn ends when the sentence does.
    Semantic {
        /// How soon the model takes its turn.
        eagerness: Eagerness,
    },
}

/// How soon a model takes its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eagerness {
    /// Lets the caller take time.
    Low,
    /// In between.
    Medium,
    /// As soon as it can be.
    High,
    /// As the vendor thinks best.
    Auto,
}

impl Eagerness {
    const NAMED: &[(&str, Self)] = &[
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("auto", Self::Auto),
    ];

    /// As vendors and backends write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Auto => "auto",
        }
    }
}

impl Default for TurnDetection {
    /// OpenAI's own defaults for `server_vad`.
    fn default() -> Self {
        Self::Server {
            threshold: 0.5,
            prefix_padding: Duration::from_millis(300),
            silence_duration: Duration::from_millis(500),
        }
    }
}

#[derive(Clone, Copy)]
enum DetectionKind {
    Server,
    Semantic,
}

impl TurnDetection {
    const PATH: &str = "turnDetection";

    /// What of it is left out has the default's value, not the level below's: the parts
    /// of a detection belong together.
    pub(super) fn take(fields: &mut Fields) -> Result<Option<Self>, InvalidConfig> {
        const KINDS: &[(&str, DetectionKind)] = &[
            ("server_vad", DetectionKind::Server),
            ("semantic_vad", DetectionKind::Semantic),
        ];
        let Some(mut inner) = fields.object(Self::PATH)? else {
            return Ok(None);
        };
        let kind = inner
            .choice("turnDetection.type", KINDS)?
            .ok_or_else(|| wrong("turnDetection.type", "is missing"))?;
        let detection = match kind {
            DetectionKind::Server => {
                let millis = |ms: u32| Duration::from_millis(ms.into());
                let threshold = inner.number("turnDetection.threshold", 0.0..=1.0)?;
                let prefix = inner.integer("turnDetection.prefixPaddingMs", 0..=2_000)?;
                let silence = inner.integer("turnDetection.silenceDurationMs", 100..=5_000)?;
                Self::Server {
                    threshold: threshold.unwrap_or(0.5),
                    prefix_padding: millis(prefix.unwrap_or(300)),
                    silence_duration: millis(silence.unwrap_or(500)),
                }
            }
            DetectionKind::Semantic => Self::Semantic {
                eagerness: inner
                    .choice("turnDetection.eagerness", Eagerness::NAMED)?
                    .unwrap_or(Eagerness::Auto),
            },
        };
        fields.done(Self::PATH, inner);
        Ok(Some(detection))
    }
}

/// What the vendor takes out of the caller's sound before it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseReduction {
    /// For a microphone at the mouth: a handset, a headset.
    NearField,
    /// For one that is further away: a speakerphone, a car.
    FarField,
}

impl NoiseReduction {
    pub(super) const NAMED: &[(&str, Option<Self>)] = &[
        ("near_field", Some(Self::NearField)),
        ("far_field", Some(Self::FarField)),
        ("none", None),
    ];

    /// As vendors and backends write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NearField => "near_field",
            Self::FarField => "far_field",
        }
    }
}

/// Whether and by which model what the caller says is written down. A conversation that
/// has to begin anew, because the model's connection was lost, remembers what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcription {
    /// Whether at all.
    pub enabled: bool,
    /// The vendor's name of the model. `None`: the vendor's usual one.
    pub model: Option<String>,
}

impl Default for Transcription {
    fn default() -> Self {
        Self {
            enabled: true,
            model: None,
        }
    }
}

/// `transcription`: `true`, `false`, or an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TranscriptionPatch {
    enabled: Option<bool>,
    model: Option<String>,
}

impl TranscriptionPatch {
    const PATH: &str = "transcription";

    pub(super) fn take(fields: &mut Fields) -> Result<Self, InvalidConfig> {
        match fields.take(Self::PATH) {
            None => Ok(Self::default()),
            Some(Value::Bool(enabled)) => Ok(Self {
                enabled: Some(enabled),
                model: None,
            }),
            Some(Value::Object(inner)) => {
                let mut inner = Fields::new(inner);
                let model = inner.text("transcription.model", 1..=MAX_NAME_CHARS)?;
                fields.done(Self::PATH, inner);
                Ok(Self {
                    enabled: Some(true),
                    model,
                })
            }
            Some(other) => Err(wrong_kind(Self::PATH, "true, false or an object", &other)),
        }
    }

    pub(super) fn over(self, base: &Transcription) -> Transcription {
        Transcription {
            enabled: self.enabled.unwrap_or(base.enabled),
            model: self.model.or_else(|| base.model.clone()),
        }
    }
}

/// How long a call may be, and how long its caller may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationLimits {
    /// From the answer; the tenant's own limit holds as well. `None`: no other limit.
    pub max_duration: Option<Duration>,
    /// How long nobody may speak before the agent asks whether anybody is there.
    pub silence: Duration,
    /// How often it asks before it says goodbye. 0: it says goodbye at once.
    pub silence_prompts: u32,
}

impl Default for ConversationLimits {
    fn default() -> Self {
        Self {
            max_duration: None,
            // People look for a number or a pen for some ten seconds.
            silence: Duration::from_secs(15),
            silence_prompts: 2,
        }
    }
}

/// `limits`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct LimitsPatch {
    max_duration: Option<Duration>,
    silence: Option<Duration>,
    silence_prompts: Option<u32>,
}

impl LimitsPatch {
    const PATH: &str = "limits";

    pub(super) fn take(fields: &mut Fields) -> Result<Self, InvalidConfig> {
        let Some(mut inner) = fields.object(Self::PATH)? else {
            return Ok(Self::default());
        };
        let seconds = |s: u32| Duration::from_secs(s.into());
        let patch = Self {
            max_duration: inner
                .integer("limits.maxDurationSeconds", 1..=MAX_DURATION_S)?
                .map(seconds),
            silence: inner
                .integer("limits.silenceSeconds", 2..=MAX_SILENCE_S)?
                .map(seconds),
            silence_prompts: inner.integer("limits.silencePrompts", 0..=MAX_SILENCE_PROMPTS)?,
        };
        fields.done(Self::PATH, inner);
        Ok(patch)
    }

    pub(super) fn over(self, base: ConversationLimits) -> ConversationLimits {
        ConversationLimits {
            max_duration: self.max_duration.or(base.max_duration),
            silence: self.silence.unwrap_or(base.silence),
            silence_prompts: self.silence_prompts.unwrap_or(base.silence_prompts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CallConfig, CallConfigPatch};
    use super::*;

    fn config(json: &str) -> CallConfig {
        let patch = CallConfigPatch::parse(json.as_bytes()).unwrap();
        patch.over(&CallConfig::built_in())
    }

    fn problem(json: &str) -> String {
        CallConfigPatch::parse(json.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_agent_speaks_first_where_it_has_a_sentence_to_say() {
        assert_eq!(config("{}").first_speaker(), FirstSpeaker::Agent);
        let silent = config(r#"{"startMessage": ""}"#);
        assert_eq!(silent.first_speaker(), FirstSpeaker::Caller);
        let own_words = config(r#"{"startMessage": "", "firstSpeaker": "agent"}"#);
        assert_eq!(own_words.first_speaker(), FirstSpeaker::Agent);
    }

    #[test]
    fn each_part_of_the_conversation_is_read() {
        let config = config(
            r#"{
                "firstSpeaker": "caller",
                "greetingInterruptible": false,
                "language": "pt-BR",
                "turnDetection": {"type": "semantic_vad", "eagerness": "low"},
                "noiseReduction": "far_field",
                "transcription": {"model": "scribe"},
                "limits": {"maxDurationSeconds": 600, "silenceSeconds": 8, "silencePrompts": 0}
            }"#,
        );
        assert_eq!(config.first_speaker(), FirstSpeaker::Caller);
        assert!(!config.greeting_interruptible);
        assert_eq!(config.language.unwrap().primary(), "pt");
        let low = Eagerness::Low;
        assert_eq!(
            config.turn_detection,
            TurnDetection::Semantic { eagerness: low }
        );
        assert_eq!(config.noise_reduction, Some(NoiseReduction::FarField));
        assert_eq!(config.transcription.model.as_deref(), Some("scribe"));
        assert_eq!(config.limits.max_duration, Some(Duration::from_secs(600)));
        assert_eq!(config.limits.silence, Duration::from_secs(8));
        assert_eq!(config.limits.silence_prompts, 0);
        assert!(config.unknown.is_empty());
    }

    #[test]
    fn what_is_left_out_of_the_limits_comes_from_the_level_below() {
        let base = config(r#"{"limits": {"silenceSeconds": 8, "silencePrompts": 1}}"#);
        let patch = CallConfigPatch::parse(br#"{"limits": {"silencePrompts": 3}}"#).unwrap();
        let limits = patch.over(&base).limits;
        assert_eq!(limits.silence, Duration::from_secs(8));
        assert_eq!(limits.silence_prompts, 3);
    }

    #[test]
    fn transcription_can_be_switched_off_and_on_again() {
        let off = config(r#"{"transcription": false}"#);
        assert!(!off.transcription.enabled);
        let on = CallConfigPatch::parse(br#"{"transcription": true}"#).unwrap();
        assert!(on.over(&off).transcription.enabled);
    }

    #[test]
    fn an_unknown_field_within_another_is_kept_by_its_path() {
        let config = config(r#"{"limits": {"mood": 1}, "turnDetection": {"type": "server_vad"}}"#);
        assert_eq!(config.unknown["limits.mood"], 1);
        assert_eq!(config.turn_detection, TurnDetection::default());
    }

    #[test]
    fn an_error_names_the_field_within_the_field() {
        for (json, message) in [
            (
                r#"{"firstSpeaker": "robot"}"#,
                r#"firstSpeaker must be one of "agent", "caller""#,
            ),
            (r#"{"turnDetection": {}}"#, "turnDetection.type is missing"),
            (
                r#"{"turnDetection": {"type": "server_vad", "threshold": 2}}"#,
                "turnDetection.threshold must be from 0 to 1, not 2",
            ),
            (
                r#"{"limits": {"silenceSeconds": 1.5}}"#,
                "limits.silenceSeconds must be a whole number from 2 to 300, not 1.5",
            ),
            (
                r#"{"limits": []}"#,
                "limits must be an object, not an array",
            ),
            (
                r#"{"language": "english please"}"#,
                r#"language must be a language tag such as "en" or "pt-BR""#,
            ),
            (
                r#"{"transcription": "yes"}"#,
                "transcription must be true, false or an object, not a string",
            ),
            (
                r#"{"greetingInterruptible": 1}"#,
                "greetingInterruptible must be true or false, not a number",
            ),
        ] {
            assert_eq!(problem(json), message);
        }
    }
}
