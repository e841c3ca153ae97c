//! What goes out.

use std::time::Duration;

use insta::assert_json_snapshot;
use serde_json::{Value, json};
use trunkline_domain::{Eagerness, NoiseReduction, TurnDetection};

use super::{Wire, complaint, config, created};
use crate::{Command, Event, ItemId, Line, Purpose, Role, SessionConfig, Transcriber, Trouble};

fn updated() -> Value {
    json!({"type": "session.updated", "event_id": "event_9", "session": {"type": "realtime"}})
}

fn ready(dropped: &[&'static str]) -> Vec<Event> {
    vec![Event::Ready {
        dropped: dropped.to_vec(),
    }]
}

#[test]
fn the_configuration_is_sent_without_a_temperature_that_the_model_does_not_take() {
    let mut wire = Wire::new();
    let sent = wire.send(Command::Configure(config()));
    assert_json_snapshot!("configure", sent);
    assert_eq!(wire.read(&updated()), ready(&["temperature"]));
}

#[test]
fn a_compatible_server_gets_the_temperature() {
    for (host, model, sent) in [
        ("model.example", "llama-voice", true),
        ("127.0.0.1", "gpt-4o-realtime-preview", true),
        ("127.0.0.1", "gpt-realtime-mini", false),
        ("api.openai.com", "gpt-4o-realtime-preview", false),
        ("eu.api.openai.com", "other", false),
        ("acme.openai.azure.com", "my-deployment", false),
        ("notopenai.com", "other", true),
    ] {
        let mut wire = Wire::to(host, model);
        let message = wire.send(Command::Configure(config())).remove(0);
        let temperature = &message["session"]["temperature"];
        assert_eq!(temperature == &json!(0.7), sent, "{host} {model}");
        assert_eq!(temperature.is_null(), !sent, "{host} {model}");
        let dropped: &[&str] = if sent { &[] } else { &["temperature"] };
        assert_eq!(wire.read(&updated()), ready(dropped));
    }
}

#[test]
fn without_a_temperature_and_transcription_nothing_is_dropped() {
    let mut wire = Wire::new();
    let sent = wire.send(Command::Configure(SessionConfig {
        temperature: None,
        transcription: None,
        ..config()
    }));
    assert_json_snapshot!("configure_without_extras", sent);
    assert_eq!(wire.read(&updated()), ready(&[]));
}

#[test]
fn transcription_is_switched_off_only_where_it_was_on() {
    let mut wire = Wire::new();
    wire.send(Command::Configure(config()));
    wire.read(&updated());
    let sent = wire.send(Command::Configure(SessionConfig {
        transcription: None,
        ..config()
    }));
    let input = sent[0]["session"]["audio"]["input"].as_object().unwrap();
    assert_eq!(input.get("transcription"), Some(&Value::Null));
}

#[test]
fn noise_reduction_semantic_turns_and_the_language_are_sent_where_they_are_wanted() {
    let mut wire = Wire::new();
    let sent = wire.send(Command::Configure(SessionConfig {
        turn_detection: TurnDetection::Semantic {
            eagerness: Eagerness::Low,
        },
        noise_reduction: Some(NoiseReduction::NearField),
        transcription: Some(Transcriber {
            model: "scribe".to_owned(),
            language: Some("de".to_owned()),
        }),
        ..config()
    }));
    assert_json_snapshot!("configure_with_everything", sent);
}

#[test]
fn what_was_said_before_is_told_as_text() {
    let line = |role, text: &str| Line {
        role,
        text: text.to_owned(),
    };
    let sent = Wire::new().send(Command::Remember(vec![
        line(Role::Caller, "Are you open on Sunday?"),
        line(Role::Agent, "Yes, from ten."),
        line(Role::System, "The call ends in 30 seconds."),
    ]));
    assert_json_snapshot!("remember", sent);
}

#[test]
fn a_prompt_has_instructions_of_its_own() {
    let sent = Wire::new().send(Command::Prompt {
        instructions: "Ask whether anybody is there.".to_owned(),
    });
    assert_eq!(
        sent[0]["response"],
        json!({
            "instructions": "Ask whether anybody is there.",
            "metadata": {"purpose": "turn"},
        })
    );
}

#[test]
fn a_field_that_is_refused_does_not_cost_the_others() {
    let mut wire = Wire::to("model.example", "m");
    let sent = wire.send(Command::Configure(config()));
    let id = sent[0]["event_id"].as_str();
    let out = wire.read_all(&complaint(
        "invalid_value",
        Some("session.audio.output.voice"),
        id,
    ));
    assert_eq!(out.events, []);
    let again: Value = serde_json::from_str(&out.messages[0]).unwrap();
    let mut expected = sent[0].clone();
    expected["event_id"] = json!("tl_2");
    expected["session"]["audio"]["output"]
        .as_object_mut()
        .unwrap()
        .remove("voice");
    assert_eq!(again, expected);

    // A server that does not say which event it is about, nor which field.
    let out = wire.read_all(&json!({
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Unknown parameter: 'session.temperature'.",
            "param": "session",
        },
    }));
    assert!(
        out.messages.is_empty(),
        "the param is trusted where there is one"
    );
    assert!(matches!(&out.events[..], [Event::Refused(e)] if e.trouble == Trouble::Invalid));
}

#[test]
fn each_field_is_left_out_once() {
    let mut wire = Wire::to("model.example", "m");
    wire.send(Command::Configure(config()));
    for n in 1..=2 {
        let out = wire.read_all(&complaint(
            "unknown_parameter",
            Some(
                [
                    "session.temperature",
                    "session.audio.input.transcription.model",
                ][n - 1],
            ),
            Some(&format!("tl_{n}")),
        ));
        assert_eq!((out.messages.len(), out.events.len()), (1, 0));
    }
    assert_eq!(
        wire.read(&updated()),
        ready(&["temperature", "transcription"])
    );

    wire.send(Command::Configure(config()));
    let temperature = Some("session.temperature");
    let out = wire.read_all(&complaint("unknown_parameter", temperature, Some("tl_4")));
    assert_eq!(out.messages.len(), 1);
    let events = wire.read(&complaint("unknown_parameter", temperature, Some("tl_5")));
    assert!(matches!(&events[..], [Event::Refused(_)]));
    assert_eq!(wire.read(&updated()), [], "nothing is awaited any more");
}

#[test]
fn only_the_latest_configuration_is_answered() {
    let mut wire = Wire::new();
    wire.send(Command::Configure(config()));
    wire.send(Command::Configure(SessionConfig {
        temperature: None,
        ..config()
    }));
    assert_eq!(wire.read(&updated()), []);
    assert_eq!(wire.read(&updated()), ready(&[]));
    assert_eq!(wire.read(&updated()), []);
}

#[test]
fn the_voice_is_not_sent_again_after_the_first_audio() {
    let mut wire = Wire::new();
    wire.send(Command::Configure(config()));
    wire.read(&updated());
    wire.audio("resp_1", "item_1", 240);
    let sent = wire.send(Command::Configure(config()));
    assert!(sent[0]["session"]["audio"]["output"]["voice"].is_null());
    assert_eq!(wire.read(&updated()), ready(&["temperature"]));
    wire.send(Command::Configure(SessionConfig {
        voice: "cedar".to_owned(),
        ..config()
    }));
    assert_eq!(wire.read(&updated()), ready(&["temperature", "voice"]));
}

#[test]
fn a_voice_of_the_accounts_own_is_sent_by_its_id() {
    let sent = Wire::new().send(Command::Configure(SessionConfig {
        voice: "voice_1234".to_owned(),
        ..config()
    }));
    let voice = &sent[0]["session"]["audio"]["output"]["voice"];
    assert_eq!(voice, &json!({"id": "voice_1234"}));
}

#[test]
fn every_other_command_has_its_event() {
    let mut wire = Wire::new();
    let item = ItemId::from("item_1");
    wire.audio("resp_0", "item_1", 24_000);
    let mut sent = wire.send(Command::AppendAudio(vec![0, 1, -1]));
    sent.extend(wire.send(Command::Greet {
        text: "Hello,\n\"you\".".to_owned(),
    }));
    wire.begin("resp_1", &json!({"purpose": "greeting"}));
    sent.extend(wire.send(Command::CancelResponse));
    sent.extend(wire.send(Command::Truncate {
        item: item.clone(),
        heard: Duration::from_micros(700_900),
    }));
    sent.extend(wire.send(Command::Truncate {
        item,
        heard: Duration::ZERO,
    }));
    sent.extend(wire.send(Command::Respond));
    sent.extend(wire.send(Command::ClearInput));
    assert_json_snapshot!("commands", sent);
}

#[test]
fn audio_goes_out_in_bounded_pieces() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.send(Command::AppendAudio(Vec::new())),
        [] as [Value; 0]
    );
    assert_eq!(wire.send(Command::AppendAudio(vec![0; 60_000])).len(), 3);
}

#[test]
fn a_response_is_cancelled_once_and_only_while_it_runs() {
    let mut wire = Wire::new();
    assert_eq!(wire.send(Command::CancelResponse), [] as [Value; 0]);
    wire.begin("resp_1", &Value::Null);
    assert_eq!(wire.send(Command::CancelResponse).len(), 1);
    assert_eq!(wire.send(Command::CancelResponse), [] as [Value; 0]);
    wire.read(
        &json!({"type": "response.done", "response": {"id": "resp_1", "status": "cancelled"}}),
    );
    assert_eq!(wire.send(Command::CancelResponse), [] as [Value; 0]);
    wire.begin("resp_2", &Value::Null);
    wire.read(
        &json!({"type": "response.done", "response": {"id": "resp_2", "status": "completed"}}),
    );
    assert_eq!(wire.send(Command::CancelResponse), [] as [Value; 0]);
}

#[test]
fn a_response_that_was_cancelled_before_it_began_is_cancelled_as_it_begins() {
    let mut wire = Wire::new();
    wire.send(Command::Greet {
        text: "Hello.".to_owned(),
    });
    assert_eq!(wire.send(Command::CancelResponse), [] as [Value; 0]);
    let out = wire.read_all(&created("resp_1", &json!({"purpose": "greeting"})));
    assert_eq!(
        out.events,
        [Event::ResponseStarted {
            id: "resp_1".into(),
            purpose: Purpose::Greeting
        }]
    );
    let cancel: Value = serde_json::from_str(&out.messages[0]).unwrap();
    assert_eq!(cancel["type"], "response.cancel");
    assert_eq!(cancel["response_id"], "resp_1");
    assert_eq!(wire.audio("resp_1", "item_1", 240), []);
}

#[test]
fn an_item_without_audio_is_not_truncated() {
    let mut wire = Wire::new();
    let sent = wire.send(Command::Truncate {
        item: ItemId::from("item_of_the_caller"),
        heard: Duration::from_secs(1),
    });
    assert_eq!(sent, [] as [Value; 0]);
}

#[test]
fn audio_that_was_swallowed_still_bounds_the_truncation() {
    let mut wire = Wire::new();
    wire.begin("resp_1", &Value::Null);
    wire.audio("resp_1", "item_1", 24_000);
    wire.send(Command::CancelResponse);
    assert_eq!(wire.audio("resp_1", "item_1", 12_000), []);
    let sent = wire.send(Command::Truncate {
        item: ItemId::from("item_1"),
        heard: Duration::from_secs(9),
    });
    assert_eq!(sent[0]["audio_end_ms"], 1500);
}
