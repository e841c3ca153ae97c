//! What a `response.create` asks for.

use serde_json::Value;

use super::audio::Format;
use super::conversation::Conversation;
use super::error::WireError;
use super::item::{Body, Item, Role};
use super::params::Param;
use super::response::{Modality, Request};
use super::session::{Session, check_generation, check_voice};
use super::turn::Turn;
use super::usage::Context;

const FIELDS: [&str; 12] = [
    "audio",
    "conversation",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "output_modalities",
    "parallel_tool_calls",
    "prompt",
    "reasoning",
    "tool_choice",
    "tools",
];

/// What is asked of a response. Where nothing is, the session's configuration holds.
#[derive(Debug, Default)]
pub(super) struct Asked {
    instructions: Option<String>,
    metadata: Value,
    modality: Option<Value>,
    format: Option<Value>,
    voice: Option<Value>,
    max_output_tokens: Option<Value>,
    tools: Option<Value>,
    destination: Destination,
    /// The context to use instead of the conversation.
    pub(super) input: Option<Vec<Item>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Destination {
    #[default]
    Conversation,
    Nowhere,
}

/// Reads the `response` of a `response.create`.
pub(super) fn read(
    response: &Param<'_>,
    conversation: &Conversation,
    session: &Session,
) -> Result<Asked, WireError> {
    let response = Param::new("response", response.value);
    let mut asked = Asked::default();
    let known: Vec<&str> = FIELDS.into_iter().chain(["temperature"]).collect();
    for (name, field) in response.fields(&known)? {
        check_generation(name, &field)?;
        match name {
            "temperature" => session.model().check_temperature(&field)?,
            "instructions" => asked.instructions = Some(field.string()?.to_owned()),
            "metadata" => asked.metadata = metadata(&field)?,
            "output_modalities" => asked.modality = Some(field.value[0].clone()),
            "max_output_tokens" => asked.max_output_tokens = Some(field.value.clone()),
            "tools" => asked.tools = Some(field.value.clone()),
            "conversation" if field.one_of(&["auto", "none"])? == "none" => {
                asked.destination = Destination::Nowhere;
            }
            "audio" => read_audio(&field, &mut asked)?,
            "input" => asked.input = Some(read_input(&field, conversation)?),
            _ => {}
        }
    }
    Ok(asked)
}

fn metadata(metadata: &Param<'_>) -> Result<Value, WireError> {
    if metadata.value.is_null() {
        return Ok(Value::Null);
    }
    let pairs = metadata.object()?;
    if pairs.len() > 16 {
        let message = "Invalid 'response.metadata': too many properties. Expected 16 at most.";
        return Err(WireError::wrong_value(&metadata.path, message));
    }
    for (name, value) in pairs {
        let path = format!("{}.{name}", metadata.path);
        let value = Param::new(&path, value);
        if name.len() > 64 || value.string()?.len() > 512 {
            return Err(WireError::wrong_value(
                &path,
                "The name or the value is too long.",
            ));
        }
    }
    Ok(metadata.value.clone())
}

fn read_audio(audio: &Param<'_>, asked: &mut Asked) -> Result<(), WireError> {
    for (_, output) in audio.fields(&["output"])? {
        for (name, field) in output.fields(&["format", "voice"])? {
            if name == "format" {
                Format::check(&field)?;
                asked.format = Some(field.value.clone());
            } else {
                check_voice(&field)?;
                asked.voice = Some(field.value.clone());
            }
        }
    }
    Ok(())
}

fn read_input(input: &Param<'_>, conversation: &Conversation) -> Result<Vec<Item>, WireError> {
    let item = |item: Param<'_>| {
        if item.value["type"] == "item_reference" {
            return conversation.get(item.require("id")?.string()?).cloned();
        }
        Item::from_client(&item, String::new())
    };
    input.array()?.into_iter().map(item).collect()
}

impl Asked {
    pub(super) fn is_in_conversation(&self) -> bool {
        self.destination == Destination::Conversation
    }

    pub(super) fn into_request(
        self,
        id: String,
        conversation_id: String,
        session: &Session,
        context: Context,
    ) -> Request {
        let default = session.value();
        let modality = self
            .modality
            .as_ref()
            .unwrap_or(&default["output_modalities"][0]);
        let output = &default["audio"]["output"];
        Request {
            id,
            conversation_id: self.is_in_conversation().then_some(conversation_id),
            modality: if modality == "text" {
                Modality::Text
            } else {
                Modality::Audio
            },
            format: self
                .format
                .as_ref()
                .map_or_else(|| session.output_format(), Format::of),
            voice: self.voice.unwrap_or_else(|| output["voice"].clone()),
            max_output_tokens: self
                .max_output_tokens
                .unwrap_or_else(|| default["max_output_tokens"].clone()),
            metadata: self.metadata,
            context,
        }
    }
}

/// What the script is asked.
pub(super) fn turn(asked: &Asked, items: &[Item], session: &Session, number: usize) -> Turn {
    let tools = asked.tools.as_ref().unwrap_or(&session.value()["tools"]);
    let since_reply = items
        .iter()
        .rev()
        .take_while(|item| !matches!(item.message(), Some((Role::Assistant, _))));
    let mut user: Vec<&str> = since_reply
        .filter_map(Item::message)
        .filter(|(role, text)| *role == Role::User && !text.is_empty())
        .map(|(_, text)| text)
        .collect();
    user.reverse();
    let history = items.iter().filter_map(Item::message);
    Turn {
        number,
        model: session.model().name().to_owned(),
        voice: session.voice(),
        instructions: session.instructions().to_owned(),
        response_instructions: asked.instructions.clone(),
        metadata: asked.metadata.clone(),
        user: user.join(" "),
        history: history
            .map(|(role, text)| (role, text.to_owned()))
            .collect(),
        function_output: match items.last().map(|item| &item.body) {
            Some(Body::CallOutput { output, .. }) => Some(output.clone()),
            _ => None,
        },
        functions: tools
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
            .collect(),
    }
}
