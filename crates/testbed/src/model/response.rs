//! A response under way: what it will send, and when.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::audio::Format;
use super::behaviour::{Behaviour, ResponseFault};
use super::error::WireError;
use super::item::{Body, Item, Role, Spoken, Status};
use super::speech::Speaker;
use super::turn::Reply;
use super::usage::{Context, Tokens, usage};

/// What a response was asked to be.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: String,
    /// `None` for a response that is not written to the conversation.
    pub(super) conversation_id: Option<String>,
    pub(super) metadata: Value,
    pub(super) modality: Modality,
    pub(super) format: Format,
    pub(super) voice: Value,
    pub(super) max_output_tokens: Value,
    pub(super) context: Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modality {
    Audio,
    Text,
}

/// What a response makes happen.
#[derive(Debug)]
pub(super) enum Emission {
    Event(Value),
    /// An item was begun: it belongs into the conversation.
    ItemAdded(Item),
    /// An item is finished, or will never be.
    ItemDone(Item),
    /// So much of an item's audio has been sent.
    Sent {
        item_id: String,
        sent: Duration,
    },
    /// The connection breaks.
    Close {
        code: u16,
    },
    Done {
        status: &'static str,
    },
}

/// Why a response ends before its time.
#[derive(Debug, Clone)]
pub(super) enum Cut {
    /// The user spoke.
    TurnDetected,
    /// The client said so.
    ClientCancelled,
    /// It failed, with this code.
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Response {
    request: Request,
    items: Vec<Item>,
    /// The items that were announced, by their ids.
    begun: Vec<String>,
    plan: VecDeque<(Instant, Step)>,
    written: Tokens,
    /// When its first audio goes out, and how much was sent.
    first_audio: Option<Instant>,
    audio_sent: Duration,
}

/// One thing to send; the number is that of the item.
#[derive(Debug)]
enum Step {
    Begin(usize),
    /// Audio, with the words that come before it on the wire.
    Audio(usize, Range<usize>),
    Text(usize, String),
    Arguments(usize),
    End(usize),
    Fail(String),
    Close(u16),
    Finish,
}

impl Response {
    /// Plans the whole of `reply`. `new_id` makes ids of a prefix.
    pub(super) fn new(
        request: Request,
        reply: &Reply,
        behaviour: &Behaviour,
        speaker: &Speaker,
        now: Instant,
        mut new_id: impl FnMut(&str) -> String,
    ) -> Self {
        let words = reply.words.iter().map(|words| match request.modality {
            Modality::Audio => {
                Body::Spoken(Spoken::nothing_of(speaker.speak(words, request.format)))
            }
            Modality::Text => Body::Text {
                role: Role::Assistant,
                text: words.clone(),
            },
        });
        let calls = reply.calls.iter().map(|call| Body::Call {
            call_id: String::new(),
            name: call.name.clone(),
            arguments: call.arguments.to_string(),
        });
        let mut items: Vec<Item> = words
            .chain(calls)
            .map(|body| Item {
                id: new_id("item"),
                status: Status::InProgress,
                body,
            })
            .collect();
        for item in &mut items {
            if let Body::Call { call_id, .. } = &mut item.body {
                *call_id = new_id("call");
            }
        }
        let plan = plan(&items, reply.fault.as_ref(), behaviour, now);
        Self {
            request,
            items,
            begun: Vec::new(),
            plan,
            written: Tokens::default(),
            first_audio: None,
            audio_sent: Duration::ZERO,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.request.id
    }

    pub(super) fn is_in_conversation(&self) -> bool {
        self.request.conversation_id.is_some()
    }

    pub(super) fn audio_sent(&self) -> Duration {
        self.audio_sent
    }

    /// When its audio will have been heard, played without a pause.
    pub(super) fn played_at(&self) -> Option<Instant> {
        Some(self.first_audio? + self.audio_sent)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.plan.front().map(|(due, _)| *due)
    }

    pub(super) fn created(&self) -> Value {
        json!({ "type": "response.created", "response": self.json("in_progress", &Value::Null) })
    }

    /// The next step, if it is due.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Vec<Emission>> {
        let (_, step) = self.plan.pop_front_if(|(due, _)| *due <= now)?;
        Some(match step {
            Step::Begin(index) => self.begin(index),
            Step::Audio(index, piece) => self.send_audio(index, piece, now),
            Step::Text(index, delta) => {
                vec![self.content(
                    "response.output_text.delta",
                    index,
                    json!({ "delta": delta }),
                )]
            }
            Step::Arguments(index) => self.send_arguments(index),
            Step::End(index) => self.end(index, Status::Completed),
            Step::Fail(code) => self.cut(&Cut::Failed(code)),
            Step::Close(code) => vec![Emission::Close { code }],
            Step::Finish => self.finish("completed", &Value::Null),
        })
    }

    /// Ends the response before its time.
    pub(super) fn cut(&mut self, cut: &Cut) -> Vec<Emission> {
        self.plan.clear();
        let begun = |item: &Item| item.status == Status::InProgress && self.has_begun(item);
        let open: Vec<usize> = (0..self.items.len())
            .filter(|&at| begun(&self.items[at]))
            .collect();
        let mut emissions: Vec<Emission> = open
            .into_iter()
            .flat_map(|index| self.end(index, Status::Incomplete))
            .collect();
        let (status, details) = match cut {
            Cut::TurnDetected => ("cancelled", json!({ "reason": "turn_detected" })),
            Cut::ClientCancelled => ("cancelled", json!({ "reason": "client_cancelled" })),
            Cut::Failed(code) => {
                let error = WireError::of_server(code);
                let error =
                    json!({ "type": error.kind, "code": error.code, "message": error.message });
                ("failed", json!({ "error": error }))
            }
        };
        emissions.extend(self.finish(status, &details));
        emissions
    }

    fn has_begun(&self, item: &Item) -> bool {
        self.begun.iter().any(|id| id == &item.id)
    }

    fn begin(&mut self, index: usize) -> Vec<Emission> {
        let item = self.items[index].clone();
        self.begun.push(item.id.clone());
        let part = self.part_kind(index).map(|part| {
            self.content(
                "response.content_part.added",
                index,
                json!({ "part": part }),
            )
        });
        let added = self.event(
            "response.output_item.added",
            index,
            json!({ "item": item.json() }),
        );
        [added, Emission::ItemAdded(item)]
            .into_iter()
            .chain(part)
            .collect()
    }

    /// The content part of a message that has no content yet.
    fn part_kind(&self, index: usize) -> Option<Value> {
        match &self.items[index].body {
            Body::Spoken(_) => Some(json!({ "type": "audio", "transcript": "" })),
            Body::Text { .. } => Some(json!({ "type": "text", "text": "" })),
            _ => None,
        }
    }

    fn send_audio(&mut self, index: usize, piece: Range<usize>, now: Instant) -> Vec<Emission> {
        let Body::Spoken(spoken) = &mut self.items[index].body else {
            return Vec::new();
        };
        let speech = spoken.speech.clone();
        let (before, sent) = (spoken.sent, speech.time_of(piece.end));
        spoken.sent = sent;
        self.first_audio.get_or_insert(now);
        self.audio_sent += sent.saturating_sub(before);
        let words = &speech.transcript_by(sent)[speech.transcript_by(before).len()..];
        let item_id = self.items[index].id.clone();
        let audio = json!({ "delta": speech.base64(piece) });
        let mut emissions = Vec::new();
        if !words.is_empty() {
            let words = json!({ "delta": words });
            emissions.push(self.content("response.output_audio_transcript.delta", index, words));
        }
        emissions.push(self.content("response.output_audio.delta", index, audio));
        emissions.push(Emission::Sent { item_id, sent });
        emissions
    }

    fn send_arguments(&mut self, index: usize) -> Vec<Emission> {
        let Body::Call {
            call_id, arguments, ..
        } = &self.items[index].body
        else {
            return Vec::new();
        };
        // Two deltas at least, where there is anything to divide.
        let middle = arguments.floor_char_boundary(arguments.len() / 2);
        let (head, tail) = arguments.split_at(middle);
        let deltas = [head, tail].into_iter().filter(|delta| !delta.is_empty());
        deltas
            .map(|delta| {
                let fields = json!({ "call_id": call_id, "delta": delta });
                self.event("response.function_call_arguments.delta", index, fields)
            })
            .collect()
    }

    /// Closes an item: all of its `done` events.
    fn end(&mut self, index: usize, status: Status) -> Vec<Emission> {
        self.items[index].status = status;
        let item = self.items[index].clone();
        let mut emissions = Vec::new();
        match &item.body {
            Body::Spoken(spoken) => {
                let transcript = spoken.speech.transcript_by(spoken.sent);
                let part = json!({ "part": { "type": "audio", "transcript": transcript } });
                let said = json!({ "transcript": transcript });
                emissions.push(self.content("response.output_audio.done", index, json!({})));
                emissions.push(self.content("response.output_audio_transcript.done", index, said));
                emissions.push(self.content("response.content_part.done", index, part));
            }
            Body::Text { text, .. } => {
                let part = json!({ "part": { "type": "text", "text": text } });
                let said = json!({ "text": text });
                emissions.push(self.content("response.output_text.done", index, said));
                emissions.push(self.content("response.content_part.done", index, part));
            }
            Body::Call {
                call_id,
                name,
                arguments,
            } => {
                let call = json!({ "call_id": call_id, "name": name, "arguments": arguments });
                emissions.push(self.event("response.function_call_arguments.done", index, call));
            }
            Body::Heard { .. } | Body::CallOutput { .. } => {}
        }
        self.written = self.written + Tokens::of_item(&item);
        let json = json!({ "item": item.json() });
        emissions.push(self.event("response.output_item.done", index, json));
        emissions.push(Emission::ItemDone(item));
        emissions
    }

    fn finish(&mut self, status: &'static str, details: &Value) -> Vec<Emission> {
        let mut status_details = details.clone();
        if !details.is_null() {
            status_details["type"] = status.into();
        }
        let mut response = self.json(status, &status_details);
        response["usage"] = usage(self.request.context, self.written);
        vec![
            Emission::Event(json!({ "type": "response.done", "response": response })),
            Emission::Event(json!({
                "type": "rate_limits.updated",
                "rate_limits": [
                    { "name": "requests", "limit": 5_000, "remaining": 4_999, "reset_seconds": 0.012 },
                    { "name": "tokens", "limit": 400_000, "remaining": 399_000, "reset_seconds": 0.15 },
                ],
            })),
            Emission::Done { status },
        ]
    }

    fn json(&self, status: &str, details: &Value) -> Value {
        let request = &self.request;
        let modality = match request.modality {
            Modality::Audio => "audio",
            Modality::Text => "text",
        };
        let begun = self.items.iter().filter(|item| self.has_begun(item));
        let output: Vec<Value> = if status == "in_progress" {
            Vec::new()
        } else {
            begun.map(Item::json).collect()
        };
        json!({
            "object": "realtime.response",
            "id": request.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": request.conversation_id,
            "output_modalities": [modality],
            "max_output_tokens": request.max_output_tokens,
            "audio": { "output": { "format": request.format.json(), "voice": request.voice } },
            "usage": null,
            "metadata": request.metadata,
        })
    }

    /// An event about an item: one that carries it, or else names it.
    fn event(&self, kind: &str, index: usize, fields: Value) -> Emission {
        Emission::Event(self.fields(kind, index, fields))
    }

    /// An event about the one part that messages have.
    fn content(&self, kind: &str, index: usize, fields: Value) -> Emission {
        let mut event = self.fields(kind, index, fields);
        event["content_index"] = 0.into();
        Emission::Event(event)
    }

    fn fields(&self, kind: &str, index: usize, mut event: Value) -> Value {
        event["type"] = kind.into();
        event["response_id"] = self.request.id.as_str().into();
        event["output_index"] = index.into();
        if event.get("item").is_none() {
            event["item_id"] = self.items[index].id.as_str().into();
        }
        event
    }
}

/// When each step is due: audio at its pace, everything else as soon as it can.
fn plan(
    items: &[Item],
    fault: Option<&ResponseFault>,
    behaviour: &Behaviour,
    now: Instant,
) -> VecDeque<(Instant, Step)> {
    let mut plan = VecDeque::new();
    let mut clock = now + behaviour.think_time;
    let mut spoken = Duration::ZERO;
    for (index, item) in items.iter().enumerate() {
        plan.push_back((clock, Step::Begin(index)));
        if let (0, Some(ResponseFault::SlowStart(delay))) = (index, fault) {
            clock += *delay;
        }
        match &item.body {
            Body::Spoken(message) => {
                for piece in message.speech.chunks(behaviour.chunk) {
                    if let Some(step) = breaking_after(fault, spoken) {
                        plan.extend(step.map(|step| (clock, step)));
                        return plan;
                    }
                    let lasts = message.speech.time_of(piece.len());
                    plan.push_back((clock, Step::Audio(index, piece)));
                    clock += lasts.div_f64(behaviour.speed);
                    spoken += lasts;
                }
            }
            Body::Text { text, .. } => {
                let words = text.split_inclusive(' ');
                plan.extend(words.map(|word| (clock, Step::Text(index, word.to_owned()))));
            }
            _ => plan.push_back((clock, Step::Arguments(index))),
        }
        plan.push_back((clock, Step::End(index)));
    }
    match breaking_after(fault, Duration::MAX) {
        Some(step) => plan.extend(step.map(|step| (clock, step))),
        None => plan.push_back((clock, Step::Finish)),
    }
    plan
}

/// Whether the fault strikes when this much was spoken, and what it then sends.
fn breaking_after(fault: Option<&ResponseFault>, spoken: Duration) -> Option<Option<Step>> {
    match fault? {
        ResponseFault::Failed { code, after } if spoken >= *after => {
            Some(Some(Step::Fail(code.clone())))
        }
        ResponseFault::Closed { code, after } if spoken >= *after => Some(Some(Step::Close(*code))),
        ResponseFault::Stalled { after } if spoken >= *after => Some(None),
        _ => None,
    }
}
