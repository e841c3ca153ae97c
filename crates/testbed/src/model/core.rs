//! The conversation as a state machine: client events and time in, server events out. No I/O.

mod items;
mod listening;
mod responding;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::behaviour::{Behaviour, Disturbance, Opening};
use super::conversation::Conversation;
use super::error::WireError;
use super::input::{InputBuffer, Segment};
use super::model_name::RealtimeModel;
use super::params::Param;
use super::record::Note;
use super::response::Response;
use super::session::{Session, Spoken};
use super::speech::Speaker;
use super::usage::Tokens;

/// What a client may send before `session.created`. Real clients wait for it.
const MAX_EARLY_EVENTS: usize = 1_000;

/// What the shell has to do.
#[derive(Debug)]
pub(super) enum Output {
    Event(Value),
    /// No event, and not even JSON perhaps.
    Text(String),
    Binary(Vec<u8>),
    /// Close with this code; nothing comes after.
    Close(u16),
    Note(Note),
}

/// Who connects, to what.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// The number of the connection: it makes ids unique.
    pub(super) connection: usize,
    pub(super) model: String,
    pub(super) expires_at_unix_s: u64,
}

#[derive(Debug)]
pub(super) struct Core {
    behaviour: Behaviour,
    speaker: Arc<Speaker>,
    connection: usize,
    ids: u64,
    session: Session,
    conversation: Conversation,
    input: InputBuffer,
    /// The item that the audio now coming in will become.
    speech_item: Option<String>,
    responses: Vec<Response>,
    created: usize,
    spoken: Spoken,
    /// What the last response read: the vendor has it cached.
    last_context: Tokens,
    agenda: Vec<(Instant, Due)>,
    /// Events that came before the session was open.
    early: Option<VecDeque<Value>>,
    outputs: VecDeque<Output>,
}

/// What is to happen at a time, besides responses.
#[derive(Debug)]
enum Due {
    Open,
    Transcribe { item_id: String, segment: Segment },
    End,
    Idle,
}

impl Core {
    pub(super) fn new(
        opened: &Opened,
        behaviour: Behaviour,
        speaker: Arc<Speaker>,
        now: Instant,
    ) -> Self {
        let model = RealtimeModel::new(&opened.model, behaviour.temperature);
        let session_id = format!("sess_{:06}", opened.connection);
        let agenda = match &behaviour.opening {
            Opening::Mute => Vec::new(),
            Opening::Delayed(delay) => vec![(now + *delay, Due::Open)],
            _ => vec![(now, Due::Open)],
        };
        let mut core = Self {
            connection: opened.connection,
            ids: 0,
            session: Session::new(&session_id, model, opened.expires_at_unix_s),
            conversation: Conversation::default(),
            input: InputBuffer::new(),
            speech_item: None,
            responses: Vec::new(),
            created: 0,
            spoken: Spoken::NotYet,
            last_context: Tokens::default(),
            agenda,
            early: Some(VecDeque::new()),
            outputs: VecDeque::new(),
            behaviour,
            speaker,
        };
        if let Some(end) = &core.behaviour.end {
            core.agenda.push((now + end.after, Due::End));
        }
        core.tick(now);
        core
    }

    pub(super) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let agenda = self.agenda.iter().map(|(due, _)| *due);
        agenda
            .chain(self.responses.iter().filter_map(Response::next_due))
            .min()
    }

    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(at) = self.agenda.iter().position(|(due, _)| *due <= now) {
            let (_, due) = self.agenda.remove(at);
            self.due(due, now);
        }
        let mut index = 0;
        while index < self.responses.len() {
            match self.responses[index].advance(now) {
                // A response that is done then leaves its place to the next.
                Some(emissions) => self.emit(index, emissions, now),
                None => index += 1,
            }
        }
    }

    fn due(&mut self, due: Due, now: Instant) {
        match due {
            Due::Open => self.open(now),
            Due::Transcribe { item_id, segment } => self.transcribe(&item_id, &segment),
            Due::End => self.end_session(),
            Due::Idle => self.idle(now),
        }
    }

    fn open(&mut self, now: Instant) {
        if let Opening::Failed(code) = &self.behaviour.opening {
            let error = WireError::of_server(code);
            self.refuse(&error, None);
            return self.outputs.push_back(Output::Close(1_000));
        }
        self.disturb();
        let session = self.session.value().clone();
        self.note(Note::Updated(session.clone()));
        self.send(json!({ "type": "session.created", "session": session }));
        for event in self.early.take().into_iter().flatten() {
            self.process(now, &event);
        }
    }

    fn end_session(&mut self) {
        let Some(end) = self.behaviour.end.clone() else {
            return;
        };
        if let Some(code) = &end.announced_as {
            self.refuse(&WireError::of_server(code), None);
        }
        self.outputs.push_back(Output::Close(end.close_code));
    }

    /// A frame of text from the client.
    pub(super) fn handle_text(&mut self, now: Instant, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(event) => self.handle(now, &event),
            Err(error) => {
                let message = format!("We could not parse the JSON body of your event: {error}");
                self.refuse(&WireError::invalid("invalid_json", message), None);
            }
        }
    }

    pub(super) fn handle(&mut self, now: Instant, event: &Value) {
        if event["type"] != "input_audio_buffer.append" {
            self.note(Note::Received(event.clone()));
        }
        match &mut self.early {
            Some(early) if early.len() >= MAX_EARLY_EVENTS => {}
            Some(early) => early.push_back(event.clone()),
            None => self.process(now, event),
        }
    }

    fn process(&mut self, now: Instant, event: &Value) {
        if let Err(error) = self.try_handle(now, &Param::new("event", event)) {
            self.refuse(&error, event["event_id"].as_str());
        }
        self.tick(now);
    }

    fn try_handle(&mut self, now: Instant, event: &Param<'_>) -> Result<(), WireError> {
        let kind = event
            .get("type")?
            .ok_or_else(|| WireError::missing("type"))?;
        match kind.string()? {
            "session.update" => self.update_session(event),
            "input_audio_buffer.append" => self.append(event, now),
            "input_audio_buffer.commit" => self.commit_by_client(now),
            "input_audio_buffer.clear" => {
                self.clear();
                Ok(())
            }
            "conversation.item.create" => self.create_item(event),
            "conversation.item.retrieve" => self.retrieve_item(event),
            "conversation.item.delete" => self.delete_item(event),
            "conversation.item.truncate" => self.truncate(event),
            "response.create" => self.create_response(event, now),
            "response.cancel" => self.cancel(event, now),
            other => Err(WireError::wrong_value(
                "type",
                format!("Invalid value: '{other}'."),
            )),
        }
    }

    fn update_session(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let Some(session) = event.get("session")? else {
            return Err(WireError::missing("session"));
        };
        self.session.update(session.value, self.spoken)?;
        let session = self.session.value().clone();
        self.note(Note::Updated(session.clone()));
        self.send(json!({ "type": "session.updated", "session": session }));
        Ok(())
    }

    /// Sends what nobody expects, if this is that kind of connection.
    fn disturb(&mut self) {
        match self.behaviour.disturbance {
            Disturbance::None => {}
            Disturbance::UnknownEvents => {
                self.send(
                    json!({ "type": "response.hologram.delta", "delta": { "x": [1, null] } }),
                );
                self.send(json!({ "type": "session.weather", "forecast": "fair" }));
            }
            Disturbance::Garbage => {
                for text in [
                    "{\"type\": \"response.done\", ",
                    "[]",
                    "null",
                    "\u{fffd}",
                    "",
                ] {
                    self.outputs.push_back(Output::Text(text.to_owned()));
                }
                self.outputs
                    .push_back(Output::Binary(vec![0, 159, 146, 150]));
            }
        }
    }

    /// Sends an error that is nobody's fault but the server's.
    pub(super) fn fail(&mut self, code: &str) {
        self.refuse(&WireError::of_server(code), None);
    }

    fn refuse(&mut self, error: &WireError, client_event_id: Option<&str>) {
        self.note(Note::Error(error.code.clone()));
        self.send(json!({ "type": "error", "error": error.body(client_event_id) }));
    }

    fn send(&mut self, mut event: Value) {
        event["event_id"] = self.new_id("event").into();
        self.outputs.push_back(Output::Event(event));
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn note_history(&mut self) {
        let history = self.conversation.history();
        self.note(Note::History(history));
    }

    fn new_id(&mut self, prefix: &str) -> String {
        next_id(&mut self.ids, self.connection, prefix)
    }
}

fn next_id(ids: &mut u64, connection: usize, prefix: &str) -> String {
    *ids += 1;
    format!("{prefix}_{connection:06}{:08}", *ids)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
