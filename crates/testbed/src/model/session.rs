//! The configuration of a session: what `session.update` may say, and what it comes to.

use std::time::Duration;

use serde_json::{Value, json};

use super::audio::Format;
use super::error::WireError;
use super::model_name::RealtimeModel;
use super::params::Param;

const FIELDS: [&str; 15] = [
    "type",
    "model",
    "instructions",
    "output_modalities",
    "audio",
    "include",
    "max_output_tokens",
    "parallel_tool_calls",
    "prompt",
    "reasoning",
    "tool_choice",
    "tools",
    "tracing",
    "truncation",
    "temperature",
];
const VOICES: [&str; 10] = [
    "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar",
];
/// The vendor's default for both kinds of turn detection.
const DEFAULT_SILENCE_MS: u64 = 500;
const DEFAULT_PREFIX_MS: u64 = 300;

/// The effective configuration, in the shape of `session.updated`.
#[derive(Debug, Clone)]
pub(super) struct Session {
    value: Value,
    model: RealtimeModel,
}

/// Whether the model has spoken yet. Its voice is fixed from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    NotYet,
    Already,
}

/// How turns are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TurnDetection {
    /// From 0 (everything is speech) to 1.
    pub(super) threshold: f64,
    pub(super) prefix_padding: Duration,
    pub(super) silence: Duration,
    pub(super) create_response: bool,
    pub(super) interrupt_response: bool,
    pub(super) idle_timeout: Option<Duration>,
}

impl Session {
    pub(super) fn new(id: &str, model: RealtimeModel, expires_at_unix_s: u64) -> Self {
        let value = json!({
            "type": "realtime",
            "object": "realtime.session",
            "id": id,
            "model": model.name(),
            "output_modalities": ["audio"],
            "instructions": "Your knowledge cutoff is 2023-10. You are a helpful AI.",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": null,
            "truncation": "auto",
            "prompt": null,
            "expires_at": expires_at_unix_s,
            "audio": {
                "input": {
                    "format": { "type": "audio/pcm", "rate": 24_000 },
                    "transcription": null,
                    "noise_reduction": null,
                    "turn_detection": with_defaults(&json!({ "type": "server_vad" })),
                },
                "output": {
                    "format": { "type": "audio/pcm", "rate": 24_000 },
                    "voice": "alloy",
                    "speed": 1.0,
                },
            },
            "include": null,
        });
        Self { value, model }
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    pub(super) fn model(&self) -> &RealtimeModel {
        &self.model
    }

    pub(super) fn instructions(&self) -> &str {
        self.value["instructions"].as_str().unwrap_or_default()
    }

    pub(super) fn voice(&self) -> String {
        let voice = &self.value["audio"]["output"]["voice"];
        voice
            .as_str()
            .or_else(|| voice["id"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn input_format(&self) -> Format {
        Format::of(&self.value["audio"]["input"]["format"])
    }

    pub(super) fn output_format(&self) -> Format {
        Format::of(&self.value["audio"]["output"]["format"])
    }

    pub(super) fn transcription_model(&self) -> Option<&str> {
        let transcription = &self.value["audio"]["input"]["transcription"];
        transcription
            .is_object()
            .then(|| transcription["model"].as_str().unwrap_or("whisper-1"))
    }

    pub(super) fn turn_detection(&self) -> Option<TurnDetection> {
        let value = &self.value["audio"]["input"]["turn_detection"];
        let millis = |name: &str| value[name].as_u64().map(Duration::from_millis);
        // Semantic detection is simulated by patience: the eager wait less long.
        let silence = match value["eagerness"].as_str() {
            Some("high") => Some(Duration::from_millis(300)),
            Some("low") => Some(Duration::from_millis(1_000)),
            _ => millis("silence_duration_ms"),
        };
        value.is_object().then(|| TurnDetection {
            threshold: value["threshold"].as_f64().unwrap_or(0.5),
            prefix_padding: millis("prefix_padding_ms")
                .unwrap_or(Duration::from_millis(DEFAULT_PREFIX_MS)),
            silence: silence.unwrap_or(Duration::from_millis(DEFAULT_SILENCE_MS)),
            create_response: value["create_response"].as_bool().unwrap_or(true),
            interrupt_response: value["interrupt_response"].as_bool().unwrap_or(true),
            idle_timeout: millis("idle_timeout_ms"),
        })
    }

    /// Applies the `session` of a `session.update`: all of it, or nothing.
    pub(super) fn update(&mut self, update: &Value, spoken: Spoken) -> Result<(), WireError> {
        let update = Param::new("session", update);
        self.check(&update, spoken)?;
        for (name, field) in update.fields(&FIELDS)? {
            match name {
                "audio" => self.merge_audio(&field)?,
                _ => self.value[name] = field.value.clone(),
            }
        }
        Ok(())
    }

    fn merge_audio(&mut self, audio: &Param<'_>) -> Result<(), WireError> {
        for (direction, fields) in audio.fields(&["input", "output"])? {
            for (name, value) in fields.object()? {
                self.value["audio"][direction][name] = match name.as_str() {
                    "turn_detection" if value.is_object() => with_defaults(value),
                    _ => value.clone(),
                };
            }
        }
        Ok(())
    }

    fn check(&self, update: &Param<'_>, spoken: Spoken) -> Result<(), WireError> {
        update.require("type")?.one_of(&["realtime"])?;
        for (name, field) in update.fields(&FIELDS)? {
            match name {
                "model" if field.string()? != self.model.name() => {
                    let message = "The model of a session cannot be changed.";
                    return Err(WireError::wrong_value(&field.path, message));
                }
                "temperature" => self.model.check_temperature(&field)?,
                "audio" => self.check_audio(&field, spoken)?,
                _ => check_generation(name, &field)?,
            }
        }
        Ok(())
    }

    fn check_audio(&self, audio: &Param<'_>, spoken: Spoken) -> Result<(), WireError> {
        for (direction, fields) in audio.fields(&["input", "output"])? {
            if direction == "input" {
                check_input(&fields)?;
            } else {
                self.check_output(&fields, spoken)?;
            }
        }
        Ok(())
    }

    fn check_output(&self, output: &Param<'_>, spoken: Spoken) -> Result<(), WireError> {
        for (name, field) in output.fields(&["format", "voice", "speed"])? {
            match name {
                "format" => Format::check(&field)?,
                "speed" => {
                    field.number(0.25..=1.5)?;
                }
                _ => {
                    check_voice(&field)?;
                    let changed = *field.value != self.value["audio"]["output"]["voice"];
                    if changed && spoken == Spoken::Already {
                        return Err(WireError::invalid(
                            "cannot_update_voice",
                            "Cannot update a conversation's voice if assistant audio is present.",
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The fields that a session and a single response have in common.
pub(super) fn check_generation(name: &str, field: &Param<'_>) -> Result<(), WireError> {
    match name {
        "instructions" => drop(field.string()?),
        "output_modalities" => {
            let modalities = field.array()?;
            for modality in &modalities {
                modality.one_of(&["audio", "text"])?;
            }
            if modalities.len() != 1 {
                let message =
                    "Invalid modalities: supported combinations are: ['text'] and ['audio'].";
                return Err(WireError::wrong_value(&field.path, message));
            }
        }
        "max_output_tokens" if field.value != "inf" => drop(field.integer(1..=4_096)?),
        "parallel_tool_calls" => drop(field.boolean()?),
        "tools" => {
            for tool in field.array()? {
                let required = match tool.require("type")?.one_of(&["function", "mcp"])? {
                    "function" => "name",
                    _ => "server_label",
                };
                tool.require(required)?.string()?;
            }
        }
        "tool_choice" if field.value.is_string() => {
            field.one_of(&["auto", "none", "required"])?;
        }
        "tool_choice" => drop(field.object()?),
        _ => {}
    }
    Ok(())
}

pub(super) fn check_voice(voice: &Param<'_>) -> Result<(), WireError> {
    if voice.value.is_object() {
        return voice.require("id")?.string().map(drop);
    }
    voice.one_of(&VOICES).map(drop)
}

fn check_input(input: &Param<'_>) -> Result<(), WireError> {
    let known = [
        "format",
        "noise_reduction",
        "transcription",
        "turn_detection",
    ];
    for (name, field) in input.fields(&known)? {
        match name {
            "format" => Format::check(&field)?,
            _ if field.value.is_null() => {}
            "noise_reduction" => {
                for (name, field) in field.fields(&["type", "strength"])? {
                    if name == "type" {
                        field.one_of(&["near_field", "far_field"])?;
                    }
                }
            }
            "transcription" => {
                let known = [
                    "model",
                    "language",
                    "languages",
                    "prompt",
                    "keywords",
                    "delay",
                ];
                for (name, field) in field.fields(&known)? {
                    if matches!(name, "model" | "language" | "prompt") {
                        field.string()?;
                    }
                }
            }
            _ => check_turn_detection(&field)?,
        }
    }
    Ok(())
}

fn check_turn_detection(detection: &Param<'_>) -> Result<(), WireError> {
    let known: &[&str] = match detection
        .require("type")?
        .one_of(&["server_vad", "semantic_vad"])?
    {
        "server_vad" => &[
            "type",
            "threshold",
            "prefix_padding_ms",
            "silence_duration_ms",
            "create_response",
            "interrupt_response",
            "idle_timeout_ms",
        ],
        _ => &["type", "eagerness", "create_response", "interrupt_response"],
    };
    for (name, field) in detection.fields(known)? {
        match name {
            "threshold" => drop(field.number(0.0..=1.0)?),
            "prefix_padding_ms" | "silence_duration_ms" => drop(field.integer(0..=10_000)?),
            "idle_timeout_ms" if !field.value.is_null() => drop(field.integer(5_000..=30_000)?),
            "create_response" | "interrupt_response" => drop(field.boolean()?),
            "eagerness" => drop(field.one_of(&["low", "medium", "high", "auto"])?),
            _ => {}
        }
    }
    Ok(())
}

fn with_defaults(detection: &Value) -> Value {
    let mut full = if detection["type"] == "semantic_vad" {
        json!({ "type": "semantic_vad", "eagerness": "auto" })
    } else {
        json!({
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": DEFAULT_PREFIX_MS,
            "silence_duration_ms": DEFAULT_SILENCE_MS,
            "idle_timeout_ms": null,
        })
    };
    full["create_response"] = true.into();
    full["interrupt_response"] = true.into();
    for (name, value) in detection.as_object().into_iter().flatten() {
        full[name] = value.clone();
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Temperature;

    fn session(model: &str) -> Session {
        Session::new("sess_1", RealtimeModel::new(model, Temperature::ByModel), 0)
    }

    fn refusal(update: Value) -> (String, Option<String>) {
        let error = session("gpt-realtime")
            .update(&update, Spoken::NotYet)
            .expect_err("a refusal");
        (error.code, error.param)
    }

    fn at(code: &str, param: &str) -> (String, Option<String>) {
        (code.to_owned(), Some(param.to_owned()))
    }

    #[test]
    fn an_update_changes_what_it_names_and_leaves_the_rest() {
        let mut session = session("gpt-realtime");
        let update = json!({
            "type": "realtime",
            "instructions": "Be brief.",
            "audio": {
                "input": { "turn_detection": { "type": "server_vad", "silence_duration_ms": 200 } },
                "output": { "voice": "cedar" },
            },
        });
        session.update(&update, Spoken::NotYet).expect("an update");
        assert_eq!(session.instructions(), "Be brief.");
        assert_eq!(session.voice(), "cedar");
        let detection = session.turn_detection().expect("turn detection");
        assert_eq!(detection.silence, Duration::from_millis(200));
        assert_eq!(detection.prefix_padding, Duration::from_millis(300));
        assert_eq!(session.value()["audio"]["output"]["speed"], 1.0);
    }

    #[test]
    fn what_the_vendor_does_not_know_is_refused_by_name() {
        let with = |field: &str, value: Value| json!({ "type": "realtime", field: value });
        assert_eq!(
            refusal(json!({})),
            at("missing_required_parameter", "session.type")
        );
        assert_eq!(
            refusal(with("temperature", json!(0.8))),
            at("unknown_parameter", "session.temperature")
        );
        assert_eq!(
            refusal(with("voice", json!("alloy"))),
            at("unknown_parameter", "session.voice")
        );
        assert_eq!(
            refusal(with("audio", json!({ "output": { "voice": "nobody" } }))),
            at("invalid_value", "session.audio.output.voice")
        );
        assert_eq!(
            refusal(with(
                "audio",
                json!({ "input": { "format": { "type": "audio/pcm", "rate": 8_000 } } })
            )),
            at("invalid_value", "session.audio.input.format.rate")
        );
        assert_eq!(
            refusal(with("instructions", json!(7))),
            at("invalid_type", "session.instructions")
        );
        assert_eq!(
            refusal(with("output_modalities", json!(["text", "audio"]))),
            at("invalid_value", "session.output_modalities")
        );
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let mut session = session("gpt-realtime");
        let before = session.value().clone();
        let update = json!({ "type": "realtime", "instructions": "New", "temperature": 0.8 });
        session
            .update(&update, Spoken::NotYet)
            .expect_err("a refusal");
        assert_eq!(session.value(), &before);
    }

    #[test]
    fn older_models_take_a_temperature() {
        let mut session = session("gpt-4o-realtime-preview");
        let update = json!({ "type": "realtime", "temperature": 0.8 });
        session.update(&update, Spoken::NotYet).expect("an update");
        assert_eq!(session.value()["temperature"], 0.8);
    }

    #[test]
    fn the_voice_is_fixed_once_it_was_heard() {
        let mut session = session("gpt-realtime");
        let update =
            |voice| json!({ "type": "realtime", "audio": { "output": { "voice": voice } } });
        let error = session
            .update(&update("cedar"), Spoken::Already)
            .expect_err("a refusal");
        assert_eq!(error.code, "cannot_update_voice");
        session
            .update(&update("alloy"), Spoken::Already)
            .expect("no change is no change");
    }

    #[test]
    fn turn_detection_is_switched_off_by_null() {
        let mut session = session("gpt-realtime");
        let update =
            json!({ "type": "realtime", "audio": { "input": { "turn_detection": null } } });
        session.update(&update, Spoken::NotYet).expect("an update");
        assert_eq!(session.turn_detection(), None);
    }
}
