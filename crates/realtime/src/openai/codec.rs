//! The codec: what the session knows, and how it changes with each event.
//!
//! No audio of a response that was cancelled or is done gets through, whatever
//! the vendor still sends of it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;

use crate::codec::{Begun, Codec, Output};
use crate::text::Cleaner;
use crate::{
    CloseReason, Command, Event, ItemId, Purpose, ResponseId, ResponseStatus, SAMPLE_RATE,
    Transcript, Usage, VendorError, audio,
};

use super::client::{self, ClientEvent, Item, Metadata, PurposeTag, Response};
use super::configuring::{AudioCame, Configuring, Refusal, TakesTemperature};
use super::error::{Severity, WireError};
use super::items::{Cut, Items};
use super::server;

/// Responses whose late audio is swallowed. One is under way at a time; some
/// more may still be on the wire.
const MAX_SILENCED: usize = 8;
/// Responses that were asked for and have not begun. A call asks for one at a time.
const MAX_REQUESTED: usize = 8;
/// The longest audio that goes out in one message, in samples: 1 s.
const MAX_APPEND_SAMPLES: usize = SAMPLE_RATE as usize;

/// Numbers the events that we send, so that the vendor's complaints can be told apart.
#[derive(Debug, Default)]
pub(super) struct Ids {
    last: u64,
}

impl Ids {
    pub(super) fn next(&mut self) -> String {
        self.last += 1;
        format!("tl_{}", self.last)
    }
}

/// A response that was asked for and has not begun.
#[derive(Debug)]
struct Requested {
    event_id: String,
    tag: PurposeTag,
    /// To be cancelled as it begins.
    cancelled: bool,
    /// The caller spoke since, so the vendor may begin another response first.
    rivalled: bool,
}

/// One session's codec.
#[derive(Debug)]
pub(crate) struct OpenAi {
    cleaner: Cleaner,
    ids: Ids,
    configuring: Configuring,
    requested: VecDeque<Requested>,
    running: Option<ResponseId>,
    silenced: VecDeque<ResponseId>,
    items: Items,
}

impl OpenAi {
    /// `host` is the endpoint's.
    pub(crate) fn new(host: &str, model: &str, cleaner: Cleaner) -> Self {
        Self {
            cleaner,
            ids: Ids::default(),
            configuring: Configuring::new(takes_temperature(host, model)),
            requested: VecDeque::new(),
            running: None,
            silenced: VecDeque::new(),
            items: Items::default(),
        }
    }

    fn request(&mut self, tag: PurposeTag, instructions: Option<&str>, out: &mut Output) {
        let event_id = self.ids.next();
        out.messages.push(
            ClientEvent::ResponseCreate {
                event_id: &event_id,
                response: Response {
                    instructions,
                    metadata: Metadata { purpose: tag },
                },
            }
            .to_text(),
        );
        if self.requested.len() == MAX_REQUESTED {
            self.requested.pop_front();
        }
        self.requested.push_back(Requested {
            event_id,
            tag,
            cancelled: false,
            rivalled: false,
        });
    }

    fn cancel(&mut self, out: &mut Output) {
        for request in &mut self.requested {
            request.cancelled = true;
        }
        if let Some(id) = self.running.clone() {
            self.cancel_running(&id, out);
        }
    }

    /// Once for each response: a second time there is nothing to cancel.
    fn cancel_running(&mut self, id: &ResponseId, out: &mut Output) {
        if self.silenced.contains(id) {
            return;
        }
        out.messages.push(
            ClientEvent::ResponseCancel {
                event_id: &self.ids.next(),
                response_id: id.as_str(),
            }
            .to_text(),
        );
        self.silence(id);
    }

    fn silence(&mut self, id: &ResponseId) {
        if self.silenced.contains(id) {
            return;
        }
        if self.silenced.len() == MAX_SILENCED {
            self.silenced.pop_front();
        }
        self.silenced.push_back(id.clone());
    }

    fn truncate(&mut self, item: &ItemId, heard: Duration, out: &mut Output) {
        let Some(cut) = self.items.cut(item, heard) else {
            return;
        };
        let event_id = &self.ids.next();
        let item_id = item.as_str();
        let event = match cut {
            Cut::Delete => ClientEvent::Delete { event_id, item_id },
            Cut::At {
                content_index,
                audio_end_ms,
            } => ClientEvent::Truncate {
                event_id,
                item_id,
                content_index,
                audio_end_ms,
            },
        };
        out.messages.push(event.to_text());
    }

    fn read(&mut self, kind: &str, text: &str, out: &mut Output) -> Result<(), String> {
        match kind {
            "session.created" => out.begun = Begun::Yes,
            "session.updated" => {
                if let Some(dropped) = self.configuring.updated() {
                    out.events.push(Event::Ready { dropped });
                }
            }
            "input_audio_buffer.speech_started" => {
                let event: server::SpeechStarted = parse(text)?;
                for request in &mut self.requested {
                    request.rivalled = true;
                }
                out.events.push(Event::SpeechStarted {
                    at: Duration::from_millis(event.audio_start_ms),
                });
            }
            "input_audio_buffer.speech_stopped" => {
                let event: server::SpeechStopped = parse(text)?;
                out.events.push(Event::SpeechStopped {
                    at: Duration::from_millis(event.audio_end_ms),
                });
            }
            "response.created" => self.response_created(parse(text)?, out)?,
            "response.done" => self.response_done(parse(text)?, out)?,
            // The second name of each is that of the beta, which some servers keep.
            "response.output_audio.delta" | "response.audio.delta" => {
                self.audio_delta(&parse(text)?, out)?;
            }
            "response.output_audio.done" | "response.audio.done" => {
                let event: server::AudioDone = parse(text)?;
                let response = response_id(&event.response_id)?;
                let item = item_id(&event.item_id)?;
                if !self.silenced.contains(&response) {
                    out.events.push(Event::AudioDone { response, item });
                }
            }
            "response.output_audio_transcript.delta" | "response.audio_transcript.delta" => {
                self.agent_transcript(parse(text)?, Transcript::Delta, out)?;
            }
            "response.output_audio_transcript.done" | "response.audio_transcript.done" => {
                self.agent_transcript(parse(text)?, Transcript::Final, out)?;
            }
            "conversation.item.input_audio_transcription.delta" => {
                caller_transcript(parse(text)?, Transcript::Delta, out)?;
            }
            "conversation.item.input_audio_transcription.completed" => {
                caller_transcript(parse(text)?, Transcript::Final, out)?;
            }
            "conversation.item.input_audio_transcription.failed" => {
                let event: server::TranscriptionFailed = parse(text)?;
                let error = event.error.to_vendor_error(&self.cleaner);
                out.events.push(Event::Warning(error));
            }
            "error" => self.error(&parse::<server::ErrorEvent>(text)?.error, out),
            _ => tracing::trace!(kind = self.cleaner.code(kind), "event without use"),
        }
        Ok(())
    }

    fn response_created(
        &mut self,
        event: server::ResponseEvent,
        out: &mut Output,
    ) -> Result<(), String> {
        let id = response_id(&event.response.id)?;
        let tag = event.response.metadata.and_then(|m| m.purpose);
        let request = self
            .requested
            .iter()
            .position(|request| match &tag {
                Some(tag) => request.tag.as_str() == tag,
                // A server that does not return metadata, or a turn of the caller's.
                None => !request.rivalled,
            })
            .and_then(|at| self.requested.remove(at));
        let greeting = match (&tag, &request) {
            (Some(tag), _) => tag == PurposeTag::Greeting.as_str(),
            (None, Some(request)) => request.tag == PurposeTag::Greeting,
            (None, None) => false,
        };
        out.events.push(Event::ResponseStarted {
            id: id.clone(),
            purpose: if greeting {
                Purpose::Greeting
            } else {
                Purpose::Turn
            },
        });
        self.running = Some(id.clone());
        if request.is_some_and(|r| r.cancelled) {
            self.cancel_running(&id, out);
        }
        Ok(())
    }

    fn response_done(
        &mut self,
        event: server::ResponseEvent,
        out: &mut Output,
    ) -> Result<(), String> {
        let response = event.response;
        let id = response_id(&response.id)?;
        self.running.take_if(|running| *running == id);
        self.silence(&id);
        let details = response.status_details.unwrap_or_default();
        let mut fatal = None;
        let status = match response.status.as_deref() {
            Some("completed") | None => ResponseStatus::Completed,
            Some("cancelled") => ResponseStatus::Cancelled,
            Some("failed") => {
                let wire = details.error.unwrap_or_default();
                let error = wire.to_vendor_error(&self.cleaner);
                if wire.severity() == Severity::Fatal {
                    fatal = Some(error.clone());
                }
                ResponseStatus::Failed(error)
            }
            Some(other) => ResponseStatus::Incomplete {
                reason: self
                    .cleaner
                    .code(details.reason.as_deref().unwrap_or(other)),
            },
        };
        out.events.push(Event::ResponseDone {
            id,
            status,
            usage: response.usage.map_or_else(Usage::default, Usage::from),
        });
        out.end = fatal.map(CloseReason::Vendor);
        Ok(())
    }

    fn audio_delta(
        &mut self,
        event: &server::AudioDelta<'_>,
        out: &mut Output,
    ) -> Result<(), String> {
        let response = response_id(&event.response_id)?;
        let item = item_id(&event.item_id)?;
        let pcm = audio::decode(&event.delta).map_err(|e| e.to_string())?;
        if pcm.is_empty() {
            return Ok(());
        }
        // What is swallowed counts too: it is what the vendor knows it sent.
        self.items
            .received(&item, event.content_index, pcm.len() as u64);
        if !self.silenced.contains(&response) {
            out.events.push(Event::Audio {
                response,
                item,
                pcm,
            });
        }
        Ok(())
    }

    fn agent_transcript(
        &mut self,
        event: server::AgentTranscript,
        text: fn(String) -> Transcript,
        out: &mut Output,
    ) -> Result<(), String> {
        let response = response_id(&event.response_id)?;
        let item = item_id(&event.item_id)?;
        if !self.silenced.contains(&response) {
            out.events.push(Event::AgentTranscript {
                item,
                text: text(event.delta),
            });
        }
        Ok(())
    }

    fn error(&mut self, wire: &WireError, out: &mut Output) {
        let error = wire.to_vendor_error(&self.cleaner);
        match wire.severity() {
            Severity::Harmless => tracing::trace!(%error, "harmless error"),
            Severity::Fatal => out.end = Some(CloseReason::Vendor(error)),
            Severity::Warning => match self.configuring.refused(wire, &mut self.ids) {
                Refusal::SendAgain(message) => {
                    tracing::debug!(%error, "configuring again without the refused field");
                    out.messages.push(message);
                }
                Refusal::Final => out.events.push(Event::Refused(error)),
                Refusal::Overtaken => out.events.push(Event::Warning(error)),
                Refusal::NotAboutThis => out.events.push(self.not_started(wire, error)),
            },
        }
    }

    /// An error that is not about the configuration.
    fn not_started(&mut self, wire: &WireError, error: VendorError) -> Event {
        let refused = self
            .requested
            .iter()
            .position(|request| match &wire.event_id {
                Some(id) => request.event_id == *id,
                None => wire.code.as_deref() == Some("conversation_already_has_active_response"),
            });
        match refused.and_then(|at| self.requested.remove(at)) {
            Some(request) => Event::NotStarted {
                purpose: match request.tag {
                    PurposeTag::Greeting => Purpose::Greeting,
                    PurposeTag::Turn => Purpose::Turn,
                },
                error,
            },
            None => Event::Warning(error),
        }
    }
}

impl Codec for OpenAi {
    fn command(&mut self, command: Command, out: &mut Output) {
        match command {
            Command::Configure(config) => {
                let audio_came = if self.items.any() {
                    AudioCame::Yes
                } else {
                    AudioCame::No
                };
                let message = self.configuring.begin(config, audio_came, &mut self.ids);
                out.messages.push(message);
            }
            Command::AppendAudio(pcm) => {
                let pieces = pcm.chunks(MAX_APPEND_SAMPLES).map(client::append);
                out.messages.extend(pieces);
            }
            Command::Greet { text } => {
                let instructions = client::say_exactly(&text);
                self.request(PurposeTag::Greeting, Some(&instructions), out);
            }
            Command::Respond => self.request(PurposeTag::Turn, None, out),
            Command::Prompt { instructions } => {
                self.request(PurposeTag::Turn, Some(&instructions), out);
            }
            Command::Remember(lines) => {
                for line in &lines {
                    let event_id = &self.ids.next();
                    let item = Item::new(line);
                    out.messages
                        .push(ClientEvent::ItemCreate { event_id, item }.to_text());
                }
            }
            Command::CancelResponse => self.cancel(out),
            Command::Truncate { item, heard } => self.truncate(&item, heard, out),
            Command::ClearInput => out.messages.push(
                ClientEvent::ClearInput {
                    event_id: &self.ids.next(),
                }
                .to_text(),
            ),
        }
    }

    fn text(&mut self, text: &str, out: &mut Output) {
        let read = parse::<server::Head<'_>>(text)
            .map_err(|problem| format!("a message without a type: {problem}"))
            .and_then(|head| {
                self.read(&head.kind, text, out)
                    .map_err(|problem| format!("{}: {problem}", head.kind))
            });
        if let Err(problem) = read {
            let error = self.cleaner.garbage(&problem);
            out.events.push(Event::Warning(error));
        }
    }
}

/// Whether the model takes a sampling temperature. The session of the vendor's
/// GA interface has none, whatever the model; other servers of that wire have
/// it, but for models that bear the GA family's name they may be as strict.
fn takes_temperature(host: &str, model: &str) -> TakesTemperature {
    let of = |domain: &str| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let vendor = of("openai.com") || of("openai.azure.com") || of("services.ai.azure.com");
    if vendor || model.starts_with("gpt-realtime") {
        TakesTemperature::No
    } else {
        TakesTemperature::Yes
    }
}

fn caller_transcript(
    event: server::CallerTranscript,
    text: fn(String) -> Transcript,
    out: &mut Output,
) -> Result<(), String> {
    out.events.push(Event::CallerTranscript {
        item: item_id(&event.item_id)?,
        text: text(event.delta),
    });
    Ok(())
}

/// The problem is told without the text: it may hold what the caller said.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    // A list would do for a structure otherwise.
    if !text.trim_start().starts_with('{') {
        return Err("not an object".to_owned());
    }
    serde_json::from_str(text).map_err(|e| {
        format!(
            "{:?} error at line {}, column {}",
            e.classify(),
            e.line(),
            e.column()
        )
    })
}

fn response_id(text: &str) -> Result<ResponseId, String> {
    ResponseId::read(text).ok_or_else(|| "a response id that is empty or too long".to_owned())
}

fn item_id(text: &str) -> Result<ItemId, String> {
    ItemId::read(text).ok_or_else(|| "an item id that is empty or too long".to_owned())
}
