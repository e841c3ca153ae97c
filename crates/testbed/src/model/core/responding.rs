//! Responses: asking the script, and sending what it answers.

use std::time::Instant;

use serde_json::json;

use super::{Core, Output, next_id};
use crate::model::behaviour::ResponseFault;
use crate::model::conversation::Place;
use crate::model::error::WireError;
use crate::model::item::Body;
use crate::model::params::Param;
use crate::model::record::Note;
use crate::model::request::{self, Asked};
use crate::model::response::{Cut, Emission, Response};
use crate::model::session::Spoken;
use crate::model::turn::{Reply, Turn};
use crate::model::usage::{Context, Tokens};

impl Core {
    pub(super) fn create_response(
        &mut self,
        event: &Param<'_>,
        now: Instant,
    ) -> Result<(), WireError> {
        let asked = match event.get("response")? {
            Some(response) => request::read(&response, &self.conversation, &self.session)?,
            None => Asked::default(),
        };
        self.respond(asked, now)
    }

    pub(super) fn respond(&mut self, asked: Asked, now: Instant) -> Result<(), WireError> {
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

    pub(super) fn start(
        &mut self,
        asked: Asked,
        turn: &Turn,
        reply: &Reply,
        context: Context,
        now: Instant,
    ) {
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
        let response = Response::new(request, reply, &self.behaviour, &self.speaker, now, new_id);
        self.note(Note::ResponseCreated {
            id: response.id().to_owned(),
            words: reply.words.clone().unwrap_or_default(),
            metadata: turn.metadata.clone(),
        });
        self.send(response.created());
        self.responses.push(response);
    }

    pub(super) fn cancel(&mut self, event: &Param<'_>, now: Instant) -> Result<(), WireError> {
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
    pub(super) fn emit(&mut self, index: usize, emissions: Vec<Emission>, now: Instant) {
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
}
