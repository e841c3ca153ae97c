//! The codec against values: every event that we send, every event that we read.

mod reads;
mod sends;

use serde_json::{Value, json};

use crate::codec::{Codec as _, Output};
use crate::openai::OpenAi;
use crate::text::Cleaner;
use trunkline_domain::TurnDetection;

use crate::{Command, Event, SessionConfig, Transcriber};

/// A codec and what it said last.
struct Wire {
    codec: OpenAi,
}

impl Wire {
    fn new() -> Self {
        Self::to("api.openai.com", "gpt-realtime")
    }

    fn to(host: &str, model: &str) -> Self {
        Self {
            codec: OpenAi::new(host, model, Cleaner::new("key-of-acme-123".into())),
        }
    }

    /// What is sent for a command. A command has no events.
    fn send(&mut self, command: Command) -> Vec<Value> {
        let mut out = Output::default();
        self.codec.command(command, &mut out);
        assert!(out.events.is_empty() && out.end.is_none());
        values(&out)
    }

    fn read_text(&mut self, text: &str) -> Output {
        let mut out = Output::default();
        self.codec.text(text, &mut out);
        out
    }

    fn read_all(&mut self, value: &Value) -> Output {
        self.read_text(&value.to_string())
    }

    /// The events of a message that neither asks for anything nor ends the session.
    fn read(&mut self, value: &Value) -> Vec<Event> {
        let out = self.read_all(value);
        assert!(out.messages.is_empty(), "{:?}", out.messages);
        assert_eq!(out.end, None);
        out.events
    }

    /// A response begins.
    fn begin(&mut self, id: &str, metadata: &Value) -> Vec<Event> {
        self.read(&created(id, metadata))
    }

    fn audio(&mut self, response: &str, item: &str, samples: usize) -> Vec<Event> {
        self.read(&delta(response, item, samples))
    }
}

fn created(id: &str, metadata: &Value) -> Value {
    json!({
        "type": "response.created",
        "event_id": "event_1",
        "response": {
            "object": "realtime.response",
            "id": id,
            "status": "in_progress",
            "status_details": null,
            "output": [],
            "metadata": metadata,
            "usage": null,
        },
    })
}

fn delta(response: &str, item: &str, samples: usize) -> Value {
    let mut audio = String::new();
    crate::audio::encode(&vec![7; samples], &mut audio);
    json!({
        "type": "response.output_audio.delta",
        "event_id": "event_2",
        "response_id": response,
        "item_id": item,
        "output_index": 0,
        "content_index": 0,
        "delta": audio,
    })
}

fn complaint(code: &str, param: Option<&str>, event_id: Option<&str>) -> Value {
    json!({
        "type": "error",
        "event_id": "event_3",
        "error": {
            "type": "invalid_request_error",
            "code": code,
            "message": "No.",
            "param": param,
            "event_id": event_id,
        },
    })
}

fn values(out: &Output) -> Vec<Value> {
    out.messages
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

fn config() -> SessionConfig {
    SessionConfig {
        instructions: "You are Acme's receptionist.\nBe \"brief\".".to_owned(),
        voice: "marin".to_owned(),
        temperature: trunkline_domain::Temperature::new(0.7),
        turn_detection: TurnDetection::default(),
        noise_reduction: None,
        transcription: Some(Transcriber {
            model: "gpt-4o-mini-transcribe".to_owned(),
            language: None,
        }),
    }
}
