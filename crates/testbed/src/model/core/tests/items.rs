//! The conversation and its items.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, GREETING, LONG};
use crate::model::behaviour::Behaviour;
use crate::model::record::Note;
use crate::model::turn::Reply;
use crate::voice;

#[test]
fn a_truncated_item_keeps_the_words_that_were_heard() {
    let mut client = Client::connect(Behaviour::default());
    client.greet().pass(LONG);
    let item_id = client.last("conversation.item.done")["item"]["id"].clone();
    let truncate = |end_ms: u64| {
        json!({
            "type": "conversation.item.truncate",
            "item_id": item_id, "content_index": 0, "audio_end_ms": end_ms, "event_id": "mine",
        })
    };
    let all_ms = client.audio().len() as u64 / 24;
    client.send(truncate(all_ms + 100));
    assert_eq!(client.error_code(), "invalid_value");
    assert_eq!(client.last("error")["error"]["event_id"], "mine");
    client.send(truncate(900));
    assert_eq!(
        client.last("conversation.item.truncated")["audio_end_ms"],
        900
    );
    let heard = voice::spoken_by(GREETING, Duration::from_millis(900));
    assert!(!heard.is_empty());
    let noted = client.notes.iter().find_map(|note| match note {
        Note::Truncated { words, .. } => Some(words.as_str()),
        _ => None,
    });
    assert_eq!(noted, Some(heard));
    client.send(json!({ "type": "conversation.item.retrieve", "item_id": item_id }));
    let retrieved = &client.last("conversation.item.retrieved")["item"];
    assert_eq!(retrieved["content"][0].get("transcript"), None);
    client.send(truncate(950));
    assert_eq!(
        client.all("conversation.item.truncated").len(),
        1,
        "what is cut does not grow"
    );
}

#[test]
fn only_what_the_model_said_and_what_exists_can_be_truncated() {
    let mut client = Client::connect(Behaviour::default());
    client.send(json!({
        "type": "conversation.item.create",
        "item": { "type": "message", "role": "user", "id": "mine",
            "content": [{ "type": "input_text", "text": "Hello" }] },
    }));
    for (item, code) in [
        ("mine", "invalid_value"),
        ("nobody's", "item_truncate_invalid_item_id"),
    ] {
        client.send(json!({
            "type": "conversation.item.truncate",
            "item_id": item, "content_index": 0, "audio_end_ms": 0,
        }));
        assert_eq!(client.error_code(), code);
    }
}

#[test]
fn a_conversation_replayed_as_text_is_remembered() {
    let mut client = Client::scripted(|turn| {
        let said: Vec<String> = turn.history.iter().map(|(_, text)| text.clone()).collect();
        Reply::say(said.join(" / "))
    });
    for (role, kind, text) in [
        ("user", "input_text", "I am Ada"),
        ("assistant", "output_text", "Hello Ada"),
    ] {
        client.send(json!({
            "type": "conversation.item.create",
            "item": { "type": "message", "role": role,
                "content": [{ "type": kind, "text": text }] },
        }));
    }
    client.send(json!({ "type": "response.create" })).pass(LONG);
    assert_eq!(client.spoken(), ["I am Ada / Hello Ada"]);
    let previous = &client.all("conversation.item.added")[1]["previous_item_id"];
    assert_eq!(
        previous,
        &client.all("conversation.item.added")[0]["item"]["id"]
    );
}

#[test]
fn items_are_put_where_they_belong_and_deleted() {
    let mut client = Client::connect(Behaviour::default());
    let item = |id: &str, previous: Value| {
        json!({
            "type": "conversation.item.create", "previous_item_id": previous,
            "item": { "type": "message", "role": "user", "id": id,
                "content": [{ "type": "input_text", "text": id }] },
        })
    };
    client
        .send(item("b", Value::Null))
        .send(item("a", json!("root")))
        .send(item("c", json!("b")));
    client.send(item("a", Value::Null));
    assert_eq!(client.error_code(), "item_create_duplicate_item_id");
    client.send(item("d", json!("x")));
    assert_eq!(client.error_code(), "item_create_invalid_previous_item_id");
    client.send(json!({ "type": "conversation.item.delete", "item_id": "b" }));
    client.send(json!({ "type": "conversation.item.delete", "item_id": "b" }));
    assert_eq!(client.error_code(), "item_delete_invalid_item_id");
    let history = client.notes.iter().rev().find_map(|note| match note {
        Note::History(history) => Some(history.clone()),
        _ => None,
    });
    let said: Vec<String> = history
        .into_iter()
        .flatten()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(said, ["a", "c"]);
}
