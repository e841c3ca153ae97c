//! What happened in a session, for tests to look at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::Value;

use super::item::Role;

/// Events kept of one session, audio not counted. A call of an hour has some thousands.
const MAX_EVENTS: usize = 20_000;

/// One connection to the model, from its opening on.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// Its number among all connections, from 0.
    pub number: usize,
    /// The model that was asked for.
    pub model: String,
    /// The key it was opened with.
    pub bearer: SecretString,
    /// When the socket was open.
    pub opened_at: Instant,
    /// The effective configuration, as `session.updated` tells it.
    pub session: Value,
    /// How often it was updated.
    pub updates: usize,
    /// What the client sent, `input_audio_buffer.append` excepted.
    pub events: Vec<Arc<ReceivedEvent>>,
    /// How much audio was appended.
    pub audio_received: Duration,
    /// How often the user was heard to begin to speak.
    pub speech_starts: usize,
    /// What the user said, turn by turn.
    pub heard: Vec<String>,
    /// The responses, in the order of their creation.
    pub responses: Vec<ResponseRecord>,
    /// The truncations that were accepted.
    pub truncations: Vec<TruncationRecord>,
    /// The codes of the errors that were sent.
    pub errors: Vec<String>,
    /// The conversation, as the model remembers it: without the words that were truncated.
    pub history: Vec<(Role, String)>,
    /// How it ended, if it has.
    pub closed: Option<Closing>,
}

/// An event of the client.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    /// When it was read.
    pub at: Instant,
    /// All of it.
    pub value: Value,
}

impl ReceivedEvent {
    /// Its type, or nothing if it has none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.value["type"].as_str().unwrap_or_default()
    }
}

/// A response of the model.
#[derive(Debug, Clone)]
pub struct ResponseRecord {
    /// Its id on the wire.
    pub id: String,
    /// The words that it says, or would have said.
    pub words: String,
    /// The metadata it was created with.
    pub metadata: Value,
    /// When `response.created` was sent.
    pub created_at: Instant,
    /// When the first audio was sent.
    pub first_audio_at: Option<Instant>,
    /// How much audio was sent.
    pub audio_sent: Duration,
    /// How it goes.
    pub state: ResponseState,
}

/// How a response goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseState {
    /// It is under way, or stalled.
    InProgress,
    /// All of it was sent.
    Completed,
    /// It was cancelled, by the client or by the user's speech.
    Cancelled,
    /// It failed.
    Failed,
}

/// A truncation of what the model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruncationRecord {
    /// The item.
    pub item_id: String,
    /// Where its audio ends now.
    pub audio_end: Duration,
    /// The words that are over by then.
    pub words: String,
    /// When the client asked for it.
    pub at: Instant,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// The client closed it, with this code if it gave one.
    ByClient(Option<u16>),
    /// The model closed it, with this code.
    ByModel(u16),
    /// It broke without a word.
    Broken,
}

/// A condition was not met in time.
#[derive(Debug, thiserror::Error)]
#[error("the model did not see {what} within {limit:?}; it saw: {seen}")]
pub struct NotSeen {
    pub(super) what: String,
    pub(super) limit: Duration,
    pub(super) seen: String,
}

/// A change of a [`SessionRecord`].
#[derive(Debug)]
pub(super) enum Note {
    Received(Value),
    AudioReceived(Duration),
    Updated(Value),
    SpeechStarted,
    Heard(String),
    ResponseCreated {
        id: String,
        words: String,
        metadata: Value,
    },
    AudioSent {
        response_id: String,
        sent: Duration,
    },
    ResponseEnded {
        id: String,
        status: &'static str,
    },
    Truncated {
        item_id: String,
        audio_end: Duration,
        words: String,
    },
    Error(String),
    History(Vec<(Role, String)>),
}

impl Note {
    /// Whether a test may wait for it. Audio comes too often for that.
    pub(super) fn wakes(&self) -> bool {
        !matches!(self, Self::AudioReceived(_))
    }
}

impl SessionRecord {
    pub(super) fn new(number: usize, model: String, bearer: SecretString, now: Instant) -> Self {
        Self {
            number,
            model,
            bearer,
            opened_at: now,
            session: Value::Null,
            updates: 0,
            events: Vec::new(),
            audio_received: Duration::ZERO,
            speech_starts: 0,
            heard: Vec::new(),
            responses: Vec::new(),
            truncations: Vec::new(),
            errors: Vec::new(),
            history: Vec::new(),
            closed: None,
        }
    }

    /// The events of one type.
    pub fn events_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Arc<ReceivedEvent>> {
        self.events.iter().filter(move |event| event.kind() == kind)
    }

    pub(super) fn apply(&mut self, note: Note, at: Instant) {
        match note {
            Note::Received(value) if self.events.len() < MAX_EVENTS => {
                self.events.push(Arc::new(ReceivedEvent { at, value }));
            }
            Note::Received(_) => {}
            Note::AudioReceived(duration) => self.audio_received = duration,
            Note::Updated(session) => {
                self.updates += usize::from(!self.session.is_null());
                self.session = session;
            }
            Note::SpeechStarted => self.speech_starts += 1,
            Note::Heard(text) => self.heard.push(text),
            Note::ResponseCreated {
                id,
                words,
                metadata,
            } => self.responses.push(ResponseRecord {
                id,
                words,
                metadata,
                created_at: at,
                first_audio_at: None,
                audio_sent: Duration::ZERO,
                state: ResponseState::InProgress,
            }),
            Note::AudioSent { response_id, sent } => {
                if let Some(response) = self.response_mut(&response_id) {
                    response.first_audio_at.get_or_insert(at);
                    response.audio_sent = sent;
                }
            }
            Note::ResponseEnded { id, status } => {
                if let Some(response) = self.response_mut(&id) {
                    response.state = match status {
                        "completed" => ResponseState::Completed,
                        "cancelled" => ResponseState::Cancelled,
                        _ => ResponseState::Failed,
                    };
                }
            }
            Note::Truncated {
                item_id,
                audio_end,
                words,
            } => {
                self.truncations.push(TruncationRecord {
                    item_id,
                    audio_end,
                    words,
                    at,
                });
            }
            Note::Error(code) => self.errors.push(code),
            Note::History(history) => self.history = history,
        }
    }

    fn response_mut(&mut self, id: &str) -> Option<&mut ResponseRecord> {
        self.responses
            .iter_mut()
            .rev()
            .find(|response| response.id == id)
    }

    /// A line for the story of a test that failed.
    pub(super) fn summary(&self) -> String {
        let said: Vec<_> = self
            .responses
            .iter()
            .map(|response| (&response.words, response.state))
            .collect();
        let events: Vec<_> = self
            .events
            .iter()
            .rev()
            .take(8)
            .map(|event| event.kind())
            .collect();
        format!(
            "session {} ({}): heard {:?} in {:?} of audio, said {said:?}, errors {:?}, last events \
             {events:?}, closed {:?}",
            self.number, self.model, self.heard, self.audio_received, self.errors, self.closed
        )
    }
}
