//! Listening: the input audio buffer, and turns made of what was said in it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Core, Due, millis};
use crate::model::conversation::Place;
use crate::model::error::WireError;
use crate::model::input::{InputEvent, Segment};
use crate::model::item::{Body, Item, Status};
use crate::model::params::Param;
use crate::model::record::Note;
use crate::model::request::Asked;
use crate::model::response::{Cut, Response};
use crate::model::usage::Tokens;

impl Core {
    pub(super) fn append(&mut self, event: &Param<'_>, now: Instant) -> Result<(), WireError> {
        let samples = self
            .session
            .input_format()
            .decode(&event.require("audio")?)?;
        for input in self.input.append(&samples, self.session.turn_detection()) {
            match input {
                InputEvent::Started { at } => self.speech_started(at, now),
                InputEvent::Stopped { at, segment } => self.speech_stopped(at, segment, now),
            }
        }
        self.note(Note::AudioReceived(self.input.received()));
        Ok(())
    }

    pub(super) fn speech_started(&mut self, at: Duration, now: Instant) {
        self.agenda.retain(|(_, due)| !matches!(due, Due::Idle));
        let item_id = self.new_id("item");
        self.note(Note::SpeechStarted);
        self.send(json!({
            "type": "input_audio_buffer.speech_started",
            "audio_start_ms": millis(at),
            "item_id": item_id,
        }));
        self.speech_item = Some(item_id);
        let interrupts = self
            .session
            .turn_detection()
            .is_some_and(|detection| detection.interrupt_response);
        if interrupts {
            while let Some(index) = self.responses.iter().position(Response::is_in_conversation) {
                let emissions = self.responses[index].cut(&Cut::TurnDetected);
                self.emit(index, emissions, now);
            }
        }
    }

    pub(super) fn speech_stopped(&mut self, at: Duration, segment: Segment, now: Instant) {
        self.send(json!({
            "type": "input_audio_buffer.speech_stopped",
            "audio_end_ms": millis(at),
            "item_id": self.speech_item,
        }));
        self.commit(segment, now);
        if self
            .session
            .turn_detection()
            .is_some_and(|detection| detection.create_response)
            && let Err(error) = self.respond(Asked::default(), now)
        {
            self.refuse(&error, None);
        }
    }

    pub(super) fn commit_by_client(&mut self, now: Instant) -> Result<(), WireError> {
        let segment = self.input.commit()?;
        self.commit(segment, now);
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.input.clear();
        self.speech_item = None;
        self.send(json!({ "type": "input_audio_buffer.cleared" }));
    }

    /// Makes an item of what was said.
    pub(super) fn commit(&mut self, segment: Segment, now: Instant) {
        let id = match self.speech_item.take() {
            Some(id) => id,
            None => self.new_id("item"),
        };
        self.note(Note::Heard(segment.text.clone()));
        self.send(json!({
            "type": "input_audio_buffer.committed",
            "previous_item_id": self.conversation.last_id(),
            "item_id": id,
        }));
        let body = Body::Heard {
            text: segment.text.clone(),
            lasted: segment.lasted,
            transcript: None,
        };
        let item = Item {
            id: id.clone(),
            status: Status::Completed,
            body,
        };
        // The id is new, and the place is the end: there is nothing to refuse.
        if self.add_item(item, Place::End).is_ok() && self.session.transcription_model().is_some() {
            let due = now + self.behaviour.transcription_delay;
            self.agenda.push((
                due,
                Due::Transcribe {
                    item_id: id,
                    segment,
                },
            ));
        }
    }

    pub(super) fn transcribe(&mut self, item_id: &str, segment: &Segment) {
        let Some(item) = self.conversation.get_mut(item_id) else {
            return;
        };
        if let Body::Heard { transcript, .. } = &mut item.body {
            *transcript = Some(segment.text.clone());
        }
        let event = |kind: &str| {
            json!({
                "type": format!("conversation.item.input_audio_transcription.{kind}"),
                "item_id": item_id,
                "content_index": 0,
            })
        };
        for word in segment.text.split_inclusive(' ') {
            let mut delta = event("delta");
            delta["delta"] = word.into();
            self.send(delta);
        }
        let (heard, written) = (
            Tokens::of_heard(segment.lasted),
            Tokens::of_text(&segment.text),
        );
        let mut completed = event("completed");
        completed["transcript"] = segment.text.as_str().into();
        completed["usage"] = if self.session.transcription_model() == Some("whisper-1") {
            json!({ "type": "duration", "seconds": segment.lasted.as_secs_f64().round() })
        } else {
            json!({
                "type": "tokens",
                "total_tokens": heard.audio + written.text,
                "input_tokens": heard.audio,
                "input_token_details": { "text_tokens": 0, "audio_tokens": heard.audio },
                "output_tokens": written.text,
            })
        };
        self.send(completed);
    }

    /// Should the user stay silent for long after `played`, the model takes the word.
    pub(super) fn await_user(&mut self, played: Instant) {
        let timeout = self
            .session
            .turn_detection()
            .and_then(|detection| detection.idle_timeout);
        self.agenda.retain(|(_, due)| !matches!(due, Due::Idle));
        self.agenda
            .extend(timeout.map(|timeout| (played + timeout, Due::Idle)));
    }

    pub(super) fn idle(&mut self, now: Instant) {
        if self.responses.iter().any(Response::is_in_conversation) || self.speech_item.is_some() {
            return;
        }
        let Ok(segment) = self.input.commit() else {
            return;
        };
        let id = self.new_id("item");
        let end = self.input.received();
        self.send(json!({
            "type": "input_audio_buffer.timeout_triggered",
            "audio_start_ms": millis(end.saturating_sub(segment.lasted)),
            "audio_end_ms": millis(end),
            "item_id": id,
        }));
        self.speech_item = Some(id);
        self.commit(segment, now);
        if let Err(error) = self.respond(Asked::default(), now) {
            self.refuse(&error, None);
        }
    }
}
