//! Who speaks when.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, GREETING, LONG, RATE, silence, transcribing};
use crate::model::behaviour::Behaviour;
use crate::model::turn::Reply;
use crate::voice;

#[test]
fn what_the_caller_says_is_understood_and_answered() {
    let mut client = Client::connect(Behaviour::default());
    client
        .send(transcribing())
        .hear(&silence(400))
        .hear_sentence("I need an appointment")
        .pass(LONG);
    let completed = client.last("conversation.item.input_audio_transcription.completed");
    assert_eq!(completed["transcript"], "I need an appointment");
    assert_eq!(client.spoken(), ["You said: I need an appointment"]);
    let started = client.last("input_audio_buffer.speech_started");
    let at = started["audio_start_ms"].as_u64();
    assert!(at.is_some_and(|at| at.abs_diff(100) <= 20), "{started}");
    let ids = [
        &started["item_id"],
        &client.last("input_audio_buffer.speech_stopped")["item_id"],
        &client.last("input_audio_buffer.committed")["item_id"],
        &completed["item_id"],
        &client.all("conversation.item.added")[0]["item"]["id"],
    ];
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn speech_interrupts_the_model_and_its_words_end_there() {
    let mut client = Client::connect(Behaviour {
        speed: 1.0,
        ..Behaviour::default()
    });
    client
        .greet()
        .hear(&silence(1_000))
        .hear_sentence("wait")
        .pass(LONG);
    let done = client.all("response.done")[0];
    assert_eq!(done["response"]["status"], "cancelled");
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "turn_detected"
    );
    assert_eq!(done["response"]["output"][0]["status"], "incomplete");
    let said = client.spoken();
    let [cut, answer] = said.as_slice() else {
        panic!("{said:?}")
    };
    assert!(
        GREETING.starts_with(cut.as_str()) && cut != GREETING,
        "{cut}"
    );
    assert_eq!(answer, "You said: wait");
}

#[test]
fn without_interruption_the_model_finishes_its_sentence() {
    let mut client = Client::connect(Behaviour {
        speed: 1.0,
        ..Behaviour::default()
    });
    client.send(json!({
        "type": "session.update",
        "session": { "type": "realtime", "audio": { "input": { "turn_detection": {
            "type": "server_vad", "interrupt_response": false, "create_response": false,
        } } } },
    }));
    client.greet().hear_sentence("wait").pass(LONG);
    assert_eq!(client.spoken(), [GREETING]);
    assert_eq!(client.all("response.created").len(), 1);
}

#[test]
fn without_turn_detection_the_client_commits_and_asks() {
    let mut client = Client::connect(Behaviour::default());
    client.send(json!({
        "type": "session.update",
        "session": { "type": "realtime", "audio": { "input": { "turn_detection": null } } },
    }));
    client.send(json!({ "type": "input_audio_buffer.commit" }));
    assert_eq!(client.error_code(), "input_audio_buffer_commit_empty");
    client.hear_sentence("hello there");
    assert!(client.all("input_audio_buffer.speech_started").is_empty());
    client.send(json!({ "type": "input_audio_buffer.commit" }));
    client.send(json!({ "type": "response.create" })).pass(LONG);
    assert_eq!(client.spoken(), ["You said: hello there"]);
}

#[test]
fn audio_that_was_cleared_was_not_heard() {
    let mut client = Client::connect(Behaviour::default());
    client.hear(&voice::encode("forget this", RATE));
    client.send(json!({ "type": "input_audio_buffer.clear" }));
    client.hear(&silence(1_000)).pass(LONG);
    assert!(client.all("input_audio_buffer.committed").is_empty());
    assert!(client.all("response.created").is_empty());
}

#[test]
fn a_response_is_cancelled_once() {
    let mut client = Client::connect(Behaviour::default());
    client.send(json!({ "type": "response.cancel" }));
    assert_eq!(client.error_code(), "response_cancel_not_active");
    client.greet().pass(Duration::from_millis(50));
    client.send(json!({ "type": "response.cancel" }));
    let done = client.last("response.done").clone();
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "client_cancelled"
    );
    let deltas = client.all("response.output_audio.delta").len();
    client.pass(LONG);
    assert_eq!(client.all("response.output_audio.delta").len(), deltas);
    assert_eq!(client.all("response.done").len(), 1);
}

#[test]
fn one_response_at_a_time_writes_to_the_conversation() {
    let mut client = Client::connect(Behaviour::default());
    client.greet().greet();
    assert_eq!(
        client.error_code(),
        "conversation_already_has_active_response"
    );
    client.send(json!({
        "type": "response.create",
        "response": { "conversation": "none", "output_modalities": ["text"], "input": [],
            "metadata": { "purpose": "summary" }, "instructions": "Say exactly \"aside\"" },
    }));
    client.pass(LONG);
    let aside = client
        .all("response.done")
        .into_iter()
        .find(|done| done["response"]["metadata"]["purpose"] == "summary")
        .expect("the response outside");
    assert_eq!(
        aside["response"]["output"][0]["content"][0]["text"],
        "aside"
    );
    assert_eq!(aside["response"]["conversation_id"], Value::Null);
    assert_eq!(
        client.all("conversation.item.added").len(),
        1,
        "the greeting only"
    );
}

#[test]
fn functions_are_called_and_their_results_read() {
    let mut client = Client::scripted(|turn| match &turn.function_output {
        Some(output) => Reply::say(format!("It is {output}.")),
        None => Reply::call(turn.functions[0].clone(), json!({ "city": "Graz" })),
    });
    client.send(json!({
        "type": "session.update",
        "session": { "type": "realtime", "tools": [
            { "type": "function", "name": "weather", "description": "", "parameters": {} },
        ] },
    }));
    client.hear_sentence("what is the weather").pass(LONG);
    let done = client.last("response.function_call_arguments.done").clone();
    assert_eq!(done["name"], "weather");
    assert_eq!(done["arguments"], r#"{"city":"Graz"}"#);
    let deltas: String = client
        .all("response.function_call_arguments.delta")
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, r#"{"city":"Graz"}"#);
    let answer = |call_id: &Value| {
        json!({
            "type": "conversation.item.create",
            "item": { "type": "function_call_output", "call_id": call_id, "output": "sunny" },
        })
    };
    client.send(answer(&json!("call_unknown")));
    assert_eq!(client.error_code(), "invalid_tool_call_id");
    client.send(answer(&done["call_id"]));
    client.send(json!({ "type": "response.create" })).pass(LONG);
    assert_eq!(client.spoken(), ["It is sunny."]);
}

#[test]
fn after_a_long_silence_the_model_takes_the_word() {
    let mut client = Client::scripted(|turn| {
        Reply::say(if turn.number == 0 {
            "Hello"
        } else {
            "Are you there?"
        })
    });
    client.send(json!({
        "type": "session.update",
        "session": { "type": "realtime", "audio": { "input": { "turn_detection": {
            "type": "server_vad", "idle_timeout_ms": 6_000,
        } } } },
    }));
    client.send(json!({ "type": "response.create" }));
    client.hear(&silence(5_000));
    assert!(
        client
            .all("input_audio_buffer.timeout_triggered")
            .is_empty()
    );
    client.hear(&silence(3_000));
    assert_eq!(client.all("input_audio_buffer.timeout_triggered").len(), 1);
    assert_eq!(client.spoken(), ["Hello", "Are you there?"]);
}

#[test]
fn telephone_formats_go_both_ways() {
    let mut client = Client::connect(Behaviour::default());
    let format = json!({ "type": "audio/pcmu" });
    client.send(json!({
        "type": "session.update",
        "session": { "type": "realtime",
            "audio": { "input": { "format": format }, "output": { "format": format } } },
    }));
    let heard = crate::model::audio::Format::MuLaw
        .encode(&[voice::encode("press one", 8_000), vec![0; 6_000]].concat());
    client.send(json!({ "type": "input_audio_buffer.append", "audio": heard }));
    client.pass(LONG);
    let deltas: Vec<Value> = client
        .all("response.output_audio.delta")
        .into_iter()
        .map(|event| event["delta"].clone())
        .collect();
    // The model's ear holds each sample of 8 kHz for three of 24 kHz.
    let thrice: Vec<i16> = deltas
        .iter()
        .flat_map(|delta| {
            let delta = crate::model::params::Param::new("delta", delta);
            crate::model::audio::Format::MuLaw
                .decode(&delta)
                .expect("audio")
        })
        .collect();
    let pcm: Vec<i16> = thrice.into_iter().step_by(3).collect();
    let said: Vec<String> = voice::decode(&pcm, 8_000)
        .into_iter()
        .map(|heard| heard.text)
        .collect();
    assert_eq!(said, ["You said: press one"]);
}
