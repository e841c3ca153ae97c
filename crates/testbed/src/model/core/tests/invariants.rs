//! What holds whatever a client does.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::client::{Client, LONG, RATE};
use crate::model::behaviour::{Behaviour, ResponseFault};
use crate::model::turn::{Reply, Script};
use crate::voice;

#[derive(Debug, Clone)]
enum Act {
    Speak,
    BeSilent(u64),
    Wait(u64),
    Respond,
    RespondAside,
    Cancel,
    Commit,
    Clear,
    TruncateLast(u64),
    DeleteLast,
    Write,
    TurnDetection(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Speak),
        (0..900u64).prop_map(Act::BeSilent),
        (0..400u64).prop_map(Act::Wait),
        Just(Act::Respond),
        Just(Act::RespondAside),
        Just(Act::Cancel),
        Just(Act::Commit),
        Just(Act::Clear),
        (0..3_000u64).prop_map(Act::TruncateLast),
        Just(Act::DeleteLast),
        Just(Act::Write),
        any::<bool>().prop_map(Act::TurnDetection),
    ]
}

fn perform(client: &mut Client, act: &Act) {
    let last_item = client
        .all("conversation.item.added")
        .last()
        .map_or(Value::Null, |event| event["item"]["id"].clone());
    match act {
        Act::Speak => drop(client.hear(&voice::encode("yes", RATE))),
        Act::BeSilent(ms) => drop(client.hear(&vec![0; (*ms * 24) as usize])),
        Act::Wait(ms) => drop(client.pass(Duration::from_millis(*ms))),
        Act::Respond => drop(client.send(json!({ "type": "response.create" }))),
        Act::RespondAside => drop(client.send(json!({
            "type": "response.create", "response": { "conversation": "none" },
        }))),
        Act::Cancel => drop(client.send(json!({ "type": "response.cancel" }))),
        Act::Commit => drop(client.send(json!({ "type": "input_audio_buffer.commit" }))),
        Act::Clear => drop(client.send(json!({ "type": "input_audio_buffer.clear" }))),
        Act::TruncateLast(ms) => drop(client.send(json!({
            "type": "conversation.item.truncate",
            "item_id": last_item, "content_index": 0, "audio_end_ms": ms,
        }))),
        Act::DeleteLast => drop(client.send(json!({
            "type": "conversation.item.delete", "item_id": last_item,
        }))),
        Act::Write => drop(client.send(json!({
            "type": "conversation.item.create",
            "item": { "type": "message", "role": "user",
                "content": [{ "type": "input_text", "text": "hm" }] },
        }))),
        Act::TurnDetection(on) => {
            let detection = if *on {
                json!({ "type": "server_vad" })
            } else {
                Value::Null
            };
            client.send(json!({
                "type": "session.update",
                "session": { "type": "realtime",
                    "audio": { "input": { "turn_detection": detection } } },
            }));
        }
    }
}

/// Checks the whole stream of events as a strict client would.
fn check(events: &[Value]) {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let mut event_ids = HashSet::new();
    let mut items: HashSet<String> = HashSet::new();
    let mut open_responses: HashSet<String> = HashSet::new();
    let mut open_items: HashMap<String, String> = HashMap::new();
    for event in events {
        assert!(
            event_ids.insert(text(&event["event_id"])),
            "an id twice: {event}"
        );
        if let Some(previous) = event["previous_item_id"].as_str() {
            assert!(items.contains(previous), "after nothing: {event}");
        }
        if let Some(response) = event["response_id"].as_str() {
            assert!(
                open_responses.contains(response),
                "outside its response: {event}"
            );
        }
        match text(&event["type"]).as_str() {
            "conversation.item.added" => {
                assert!(
                    items.insert(text(&event["item"]["id"])),
                    "an item twice: {event}"
                );
            }
            "response.created" => {
                assert!(open_responses.insert(text(&event["response"]["id"])));
            }
            "response.output_item.added" => {
                let ids = (text(&event["item"]["id"]), text(&event["response_id"]));
                assert!(open_items.insert(ids.0, ids.1).is_none());
            }
            "response.output_audio.delta" => {
                assert!(open_items.contains_key(&text(&event["item_id"])), "{event}");
            }
            "response.output_item.done" => {
                assert!(
                    open_items.remove(&text(&event["item"]["id"])).is_some(),
                    "{event}"
                );
            }
            "response.done" => {
                let id = text(&event["response"]["id"]);
                assert!(open_responses.remove(&id), "done twice: {event}");
                assert!(
                    !open_items.values().any(|response| *response == id),
                    "left: {event}"
                );
                assert!(event["response"]["usage"]["total_tokens"].is_u64());
            }
            _ => {}
        }
    }
    assert!(open_responses.is_empty(), "never done: {open_responses:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_response_and_item_that_begins_ends_once_and_in_order(
        acts in prop::collection::vec(act(), 1..25), speed in 1.0f64..10.0,
    ) {
        let script = Script::new(|turn| match turn.number % 4 {
            0 => Reply::say("all right then"),
            1 => Reply::say("let me see").and_call("look", json!({ "at": turn.user })),
            2 => Reply::call("look", json!({})),
            _ => Reply::say("oh dear").but(ResponseFault::Failed {
                code: "server_error".to_owned(),
                after: Duration::from_millis(300),
            }),
        });
        let mut client = Client::connect(Behaviour { speed, script, ..Behaviour::default() });
        for act in &acts {
            perform(&mut client, act);
        }
        client.pass(LONG);
        check(&client.events);
    }
}
