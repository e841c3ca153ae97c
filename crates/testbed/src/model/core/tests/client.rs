//! A client of the conversation without a socket: time is a number here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::model::behaviour::Behaviour;
use crate::model::core::{Core, Opened, Output};
use crate::model::record::Note;
use crate::model::turn::{Reply, Script};
use crate::voice;

pub(super) const RATE: u32 = 24_000;
pub(super) const GREETING: &str = "Good morning, this is Alpha Dental.";

/// A client on the other end, and the clock that both live by.
pub(super) struct Client {
    pub(super) core: Core,
    pub(super) now: Instant,
    pub(super) events: Vec<Value>,
    pub(super) notes: Vec<Note>,
    pub(super) closed: Option<u16>,
}

impl Client {
    pub(super) fn connect(behaviour: Behaviour) -> Self {
        let now = Instant::now();
        let opened = Opened {
            connection: 0,
            model: "gpt-realtime".to_owned(),
            expires_at_unix_s: 0,
        };
        let core = Core::new(&opened, behaviour, Arc::default(), now);
        let mut client = Self {
            core,
            now,
            events: Vec::new(),
            notes: Vec::new(),
            closed: None,
        };
        client.drain();
        client
    }

    pub(super) fn scripted(
        answer: impl Fn(&crate::model::Turn) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::connect(Behaviour {
            script: Script::new(answer),
            ..Behaviour::default()
        })
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.core.next_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Note(note) => self.notes.push(note),
                Output::Close(code) => self.closed = Some(code),
                Output::Text(_) | Output::Binary(_) => {}
            }
        }
    }

    pub(super) fn send(&mut self, event: Value) -> &mut Self {
        self.core.handle(self.now, &event);
        self.drain();
        self
    }

    /// Lets time pass, and everything happen that is due in it.
    pub(super) fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(due) = self.core.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.core.tick(self.now);
            self.drain();
        }
        self.now = end;
        self
    }

    /// Streams audio in packets of 20 ms, in real time.
    pub(super) fn hear(&mut self, pcm: &[i16]) -> &mut Self {
        for packet in pcm.chunks(RATE as usize / 50) {
            let bytes: Vec<u8> = packet
                .iter()
                .flat_map(|sample| sample.to_le_bytes())
                .collect();
            self.send(json!({
                "type": "input_audio_buffer.append",
                "audio": BASE64_STANDARD.encode(bytes),
            }));
            self.pass(Duration::from_millis(20));
        }
        self
    }

    pub(super) fn hear_sentence(&mut self, sentence: &str) -> &mut Self {
        self.hear(&voice::encode(sentence, RATE))
            .hear(&silence(700))
    }

    pub(super) fn kinds(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| event["type"].as_str())
            .collect()
    }

    pub(super) fn all(&self, kind: &str) -> Vec<&Value> {
        self.events
            .iter()
            .filter(|event| event["type"] == kind)
            .collect()
    }

    pub(super) fn last(&self, kind: &str) -> &Value {
        self.all(kind)
            .last()
            .copied()
            .unwrap_or_else(|| panic!("no {kind} in {:?}", self.kinds()))
    }

    pub(super) fn error_code(&self) -> &str {
        self.last("error")["error"]["code"]
            .as_str()
            .unwrap_or_default()
    }

    pub(super) fn audio(&self) -> Vec<i16> {
        let delta = |event: &&Value| event["delta"].as_str().map(str::to_owned);
        self.all("response.output_audio.delta")
            .iter()
            .filter_map(delta)
            .flat_map(|delta| BASE64_STANDARD.decode(delta).expect("base64"))
            .collect::<Vec<u8>>()
            .chunks(2)
            .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
            .collect()
    }

    pub(super) fn spoken(&self) -> Vec<String> {
        voice::decode(&self.audio(), RATE)
            .into_iter()
            .map(|heard| heard.text)
            .collect()
    }

    pub(super) fn greet(&mut self) -> &mut Self {
        let order = format!("Say exactly the following, and nothing else: {GREETING:?}");
        self.send(json!({ "type": "response.create", "response": { "instructions": order } }))
    }
}

pub(super) fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * RATE as usize / 1_000]
}

pub(super) fn transcribing() -> Value {
    json!({
        "type": "session.update",
        "session": {
            "type": "realtime",
            "audio": { "input": { "transcription": { "model": "gpt-4o-mini-transcribe" } } },
        },
    })
}

pub(super) const LONG: Duration = Duration::from_secs(30);
