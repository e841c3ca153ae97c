//! Items of a conversation, and their JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::WireError;
use super::params::Param;
use super::speech::Speech;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    User,
    /// The model.
    Assistant,
    /// The application.
    System,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Written by whomever.
    Text {
        role: Role,
        text: String,
    },
    /// Spoken by the user.
    Heard {
        text: String,
        lasted: Duration,
        transcript: Option<String>,
    },
    /// Spoken by the model, up to now.
    Spoken(Spoken),
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    CallOutput {
        call_id: String,
        output: String,
    },
}

/// How much of the model's speech is with the client, and counts as said.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    pub(super) speech: Speech,
    /// The audio that was sent.
    pub(super) sent: Duration,
    /// The audio that remains after a truncation.
    pub(super) truncated_at: Option<Duration>,
}

impl Spoken {
    pub(super) fn nothing_of(speech: Speech) -> Self {
        Self {
            speech,
            sent: Duration::ZERO,
            truncated_at: None,
        }
    }

    pub(super) fn lasts(&self) -> Duration {
        self.truncated_at.unwrap_or(self.sent)
    }

    /// The words that the user may have heard.
    pub(super) fn words(&self) -> &str {
        self.speech.words_by(self.lasts())
    }
}

impl Item {
    /// What was said or written, by whom, if it is a message.
    pub(super) fn message(&self) -> Option<(Role, &str)> {
        match &self.body {
            Body::Text { role, text } => Some((*role, text)),
            Body::Heard { text, .. } => Some((Role::User, text)),
            Body::Spoken(spoken) => Some((Role::Assistant, spoken.words())),
            Body::Call { .. } | Body::CallOutput { .. } => None,
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "object": "realtime.item",
            "type": self.kind(),
            "status": self.status.name(),
        });
        let message = |json: &mut Value, role: Role, content: Value| {
            json["role"] = role.name().into();
            // A message of the model that is not done shows no content yet.
            json["content"] = if self.status == Status::InProgress {
                json!([])
            } else {
                json!([content])
            };
        };
        match &self.body {
            Body::Text { role, text } => {
                let kind = if *role == Role::Assistant {
                    "output_text"
                } else {
                    "input_text"
                };
                message(&mut json, *role, json!({ "type": kind, "text": text }));
            }
            Body::Heard { transcript, .. } => {
                let content = json!({ "type": "input_audio", "transcript": transcript });
                message(&mut json, Role::User, content);
            }
            Body::Spoken(spoken) => {
                // After a truncation the transcript would tell what was not heard.
                let content = match spoken.truncated_at {
                    Some(_) => json!({ "type": "output_audio" }),
                    None => json!({
                        "type": "output_audio",
                        "transcript": spoken.speech.transcript_by(spoken.sent),
                    }),
                };
                message(&mut json, Role::Assistant, content);
            }
            Body::Call {
                call_id,
                name,
                arguments,
            } => {
                json["call_id"] = call_id.as_str().into();
                json["name"] = name.as_str().into();
                let done = self.status != Status::InProgress;
                json["arguments"] = if done { arguments.as_str() } else { "" }.into();
            }
            Body::CallOutput { call_id, output } => {
                json["call_id"] = call_id.as_str().into();
                json["output"] = output.as_str().into();
            }
        }
        json
    }

    fn kind(&self) -> &'static str {
        match &self.body {
            Body::Text { .. } | Body::Heard { .. } | Body::Spoken(_) => "message",
            Body::Call { .. } => "function_call",
            Body::CallOutput { .. } => "function_call_output",
        }
    }

    /// An item as a client writes it. Without an id of its own it gets `id`.
    pub(super) fn from_client(item: &Param<'_>, id: String) -> Result<Self, WireError> {
        let id = match item.get("id")? {
            Some(given) => given.string()?.to_owned(),
            None => id,
        };
        let text = |name: &str| Ok::<_, WireError>(item.require(name)?.string()?.to_owned());
        let kinds = ["message", "function_call", "function_call_output"];
        let body = match item.require("type")?.one_of(&kinds)? {
            "message" => {
                item.fields(&["id", "object", "type", "status", "role", "content"])?;
                message_body(item)?
            }
            "function_call" => {
                let known = [
                    "id",
                    "object",
                    "type",
                    "status",
                    "call_id",
                    "name",
                    "arguments",
                ];
                item.fields(&known)?;
                Body::Call {
                    call_id: text("call_id")?,
                    name: text("name")?,
                    arguments: text("arguments")?,
                }
            }
            _ => {
                item.fields(&["id", "object", "type", "status", "call_id", "output"])?;
                Body::CallOutput {
                    call_id: text("call_id")?,
                    output: text("output")?,
                }
            }
        };
        Ok(Self {
            id,
            status: Status::Completed,
            body,
        })
    }
}

fn message_body(item: &Param<'_>) -> Result<Body, WireError> {
    let role = match item
        .require("role")?
        .one_of(&["user", "assistant", "system"])?
    {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => Role::System,
    };
    // History is replayed as text; audio of the past has no words for us.
    let kind = if role == Role::Assistant {
        "output_text"
    } else {
        "input_text"
    };
    let mut texts = Vec::new();
    for part in item.require("content")?.array()? {
        part.require("type")?.one_of(&[kind])?;
        texts.push(part.require("text")?.string()?);
    }
    Ok(Body::Text {
        role,
        text: texts.join(" "),
    })
}
