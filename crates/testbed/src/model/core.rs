//! The conversation as a state machine: client events and time in, server events out. No I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::behaviour::{Behaviour, Disturbance, Opening, ResponseFault};
use super::conversation::{Conversation, Place};
use super::error::WireError;
use super::input::{InputBuffer, InputEvent, Segment};
use super::item::{Body, Item, Status};
use super::model_name::RealtimeModel;
use super::params::Param;
use super::record::Note;
use super::request::{self, Asked};
use super::response::{Cut, Emission, Response};
use super::session::{Session, Spoken};
use super::turn::{Reply, Turn};
use super::usage::{Context, Tokens};

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
    pub(super) fn new(opened: &Opened, behaviour: Behaviour, now: Instant) -> Self {
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
            "input_audio_buffer.commit" => {
                let segment = self.input.commit()?;
                self.commit(segment, now);
                Ok(())
            }
            "input_audio_buffer.clear" => {
                self.input.clear();
                self.speech_item = None;
                self.send(json!({ "type": "input_audio_buffer.cleared" }));
                Ok(())
            }
            "conversation.item.create" => self.create_item(event),
            "conversation.item.retrieve" => {
                let item = self
                    .conversation
                    .get(event.require("item_id")?.string()?)?
                    .json();
                self.send(json!({ "type": "conversation.item.retrieved", "item": item }));
                Ok(())
            }
            "conversation.item.delete" => {
                let id = event.require("item_id")?.string()?;
                self.conversation.delete(id)?;
                self.send(json!({ "type": "conversation.item.deleted", "item_id": id }));
                self.note_history();
                Ok(())
            }
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

    fn append(&mut self, event: &Param<'_>, now: Instant) -> Result<(), WireError> {
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

    fn speech_started(&mut self, at: Duration, now: Instant) {
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

    fn speech_stopped(&mut self, at: Duration, segment: Segment, now: Instant) {
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

    /// Makes an item of what was said.
    fn commit(&mut self, segment: Segment, now: Instant) {
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

    fn transcribe(&mut self, item_id: &str, segment: &Segment) {
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

    fn create_item(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let id = self.new_id("item");
        let item = match event.get("item")? {
            Some(item) => Item::from_client(&Param::new("item", item.value), id)?,
            None => return Err(WireError::missing("item")),
        };
        let previous = event
            .get("previous_item_id")?
            .filter(|previous| !previous.value.is_null());
        match previous.map(|previous| previous.string()).transpose()? {
            None => self.add_item(item, Place::End),
            Some("root") => self.add_item(item, Place::Root),
            Some(id) => self.add_item(item, Place::After(id)),
        }
    }

    fn add_item(&mut self, item: Item, place: Place<'_>) -> Result<(), WireError> {
        let json = item.json();
        let previous = self.conversation.insert(item, place)?;
        for kind in ["added", "done"] {
            self.send(json!({
                "type": format!("conversation.item.{kind}"),
                "previous_item_id": previous,
                "item": json,
            }));
        }
        self.note_history();
        Ok(())
    }

    fn truncate(&mut self, event: &Param<'_>) -> Result<(), WireError> {
        let field = |name: &str| event.get(name)?.ok_or_else(|| WireError::missing(name));
        let (item_id, content_index) = (field("item_id")?, field("content_index")?);
        let end_ms = field("audio_end_ms")?.integer(0..=u64::from(u32::MAX))?;
        let (item_id, content_index) = (
            item_id.string()?,
            content_index.integer(0..=u64::from(u32::MAX))?,
        );
        let audio_end = Duration::from_millis(end_ms);
        let words = self
            .conversation
            .truncate(item_id, content_index, audio_end)?;
        self.send(json!({
            "type": "conversation.item.truncated",
            "item_id": item_id,
            "content_index": content_index,
            "audio_end_ms": end_ms,
        }));
        self.note(Note::Truncated {
            item_id: item_id.to_owned(),
            audio_end,
            words,
        });
        self.note_history();
        Ok(())
    }

    fn create_response(&mut self, event: &Param<'_>, now: Instant) -> Result<(), WireError> {
        let asked = match event.get("response")? {
            Some(response) => request::read(&response, &self.conversation, &self.session)?,
            None => Asked::default(),
        };
        self.respond(asked, now)
    }

    fn respond(&mut self, asked: Asked, now: Instant) -> Result<(), WireError> {
        if asked.is_in_conversation()
            && let Some(active) = self
                .responses
                .iter()
                .find(|other| other.is_in_conversation())
        {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the \
                 response is finished before creating a new one.",
                active.id()
            );
            return Err(WireError::invalid(
                "conversation_already_has_active_response",
                message,
            ));
        }
        let items = asked.input.as_deref().unwrap_or(self.conversation.items());
        let turn = request::turn(&asked, items, &self.session, self.created);
        let read: Tokens = items.iter().map(Tokens::of_item).sum::<Tokens>()
            + Tokens::of_text(
                turn.response_instructions
                    .as_ref()
                    .unwrap_or(&turn.instructions),
            );
        let reply = self.behaviour.script.answer(&turn);
        match &reply.fault {
            Some(ResponseFault::Ignored) => return Ok(()),
            Some(ResponseFault::Refused(code)) => return Err(WireError::of_server(code)),
            _ => {}
        }
        let context = Context {
            read,
            before: std::mem::replace(&mut self.last_context, read),
        };
        self.start(asked, &turn, &reply, context, now);
        Ok(())
    }

    fn start(&mut self, asked: Asked, turn: &Turn, reply: &Reply, context: Context, now: Instant) {
        self.disturb();
        self.created += 1;
        let request = asked.into_request(
            self.new_id("resp"),
            format!("conv_{:06}", self.connection),
            &self.session,
            context,
        );
        let (connection, ids) = (self.connection, &mut self.ids);
        let new_id = |prefix: &str| next_id(ids, connection, prefix);
        let response = Response::new(request, reply, &self.behaviour, now, new_id);
        self.note(Note::ResponseCreated {
            id: response.id().to_owned(),
            words: reply.words.clone().unwrap_or_default(),
            metadata: turn.metadata.clone(),
        });
        self.send(response.created());
        self.responses.push(response);
    }

    fn cancel(&mut self, event: &Param<'_>, now: Instant) -> Result<(), WireError> {
        let id = event
            .get("response_id")?
            .map(|id| id.string())
            .transpose()?;
        let index = self.responses.iter().position(|response| match id {
            Some(id) => response.id() == id,
            None => response.is_in_conversation(),
        });
        let Some(index) = index else {
            let message = "Cancellation failed: no active response found";
            return Err(WireError::invalid("response_cancel_not_active", message));
        };
        let emissions = self.responses[index].cut(&Cut::ClientCancelled);
        self.emit(index, emissions, now);
        Ok(())
    }

    /// Does what a response makes happen.
    fn emit(&mut self, index: usize, emissions: Vec<Emission>, now: Instant) {
        let in_conversation = self.responses[index].is_in_conversation();
        let response_id = self.responses[index].id().to_owned();
        for emission in emissions {
            match emission {
                Emission::Event(event) => self.send(event),
                Emission::ItemAdded(item) if in_conversation => {
                    let json = item.json();
                    // Ids that we make are new, and the end is always there.
                    let previous = self.conversation.insert(item, Place::End).ok().flatten();
                    self.send(json!({
                        "type": "conversation.item.added",
                        "previous_item_id": previous,
                        "item": json,
                    }));
                }
                Emission::ItemDone(item) if in_conversation => self.item_done(item),
                Emission::ItemAdded(_) | Emission::ItemDone(_) => {}
                Emission::Sent { item_id, sent } => {
                    self.spoken = Spoken::Already;
                    if let Some(Body::Spoken(spoken)) = self
                        .conversation
                        .get_mut(&item_id)
                        .map(|item| &mut item.body)
                    {
                        spoken.sent = sent;
                    }
                    let sent = self.responses[index].audio_sent();
                    self.note(Note::AudioSent {
                        response_id: response_id.clone(),
                        sent,
                    });
                }
                Emission::Close { code } => {
                    self.responses.remove(index);
                    return self.outputs.push_back(Output::Close(code));
                }
                Emission::Done { status } => {
                    let response = self.responses.remove(index);
                    self.note(Note::ResponseEnded {
                        id: response_id.clone(),
                        status,
                    });
                    self.note_history();
                    self.await_user(response.played_at().unwrap_or(now).max(now));
                }
            }
        }
    }

    fn item_done(&mut self, mut item: Item) {
        let Some(kept) = self.conversation.get_mut(&item.id) else {
            return;
        };
        // It may have been truncated while it was still being sent.
        if let (Body::Spoken(done), Body::Spoken(kept)) = (&mut item.body, &kept.body) {
            done.truncated_at = kept.truncated_at;
        }
        *kept = item;
        let json = kept.json();
        let at = self
            .conversation
            .items()
            .iter()
            .position(|item| json["id"] == item.id.as_str());
        let previous = at
            .and_then(|at| at.checked_sub(1))
            .map(|before| self.conversation.items()[before].id.clone());
        self.send(json!({
            "type": "conversation.item.done",
            "previous_item_id": previous,
            "item": json,
        }));
    }

    /// Should the user stay silent for long after `played`, the model takes the word.
    fn await_user(&mut self, played: Instant) {
        let timeout = self
            .session
            .turn_detection()
            .and_then(|detection| detection.idle_timeout);
        self.agenda.retain(|(_, due)| !matches!(due, Due::Idle));
        self.agenda
            .extend(timeout.map(|timeout| (played + timeout, Due::Idle)));
    }

    fn idle(&mut self, now: Instant) {
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
