//! What comes in.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Wire, complaint, created, delta};
use crate::codec::Begun;
use crate::{
    CloseReason, Command, Event, Purpose, Recovery, ResponseStatus, Transcript, Trouble, Usage,
};

fn warned(events: &[Event]) -> &str {
    match events {
        [Event::Warning(error)] if error.trouble == Trouble::Garbage => &error.message,
        other => panic!("no warning of garbage: {other:?}"),
    }
}

#[test]
fn the_session_begins_when_the_vendor_says_so() {
    let mut wire = Wire::new();
    let other = wire.read_all(&json!({"type": "session.updated", "session": {}}));
    assert_eq!(other.begun, Begun::No);
    let out = wire.read_all(&json!({"type": "session.created", "session": {"id": "sess_1"}}));
    assert_eq!((out.begun, out.events.len()), (Begun::Yes, 0));
}

#[test]
fn the_callers_speech_is_told_with_its_position() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.read(&json!({
            "type": "input_audio_buffer.speech_started",
            "event_id": "event_1", "audio_start_ms": 1234, "item_id": "item_3",
        })),
        [Event::SpeechStarted {
            at: Duration::from_millis(1234)
        }]
    );
    assert_eq!(
        wire.read(&json!({
            "type": "input_audio_buffer.speech_stopped",
            "event_id": "event_2", "audio_end_ms": 2468, "item_id": "item_3",
        })),
        [Event::SpeechStopped {
            at: Duration::from_millis(2468)
        }]
    );
}

#[test]
fn a_greeting_is_recognised_by_its_metadata() {
    let mut wire = Wire::new();
    wire.send(Command::Greet { text: "Hi.".into() });
    wire.read(&json!({"type": "input_audio_buffer.speech_started", "audio_start_ms": 0}));
    let started = |id: &str, purpose| {
        vec![Event::ResponseStarted {
            id: id.into(),
            purpose,
        }]
    };
    // The caller was quicker than our request.
    assert_eq!(
        wire.begin("resp_1", &Value::Null),
        started("resp_1", Purpose::Turn)
    );
    assert_eq!(
        wire.begin("resp_2", &json!({"purpose": "greeting"})),
        started("resp_2", Purpose::Greeting)
    );
    wire.send(Command::Respond);
    assert_eq!(
        wire.begin("resp_3", &json!({"purpose": "turn"})),
        started("resp_3", Purpose::Turn)
    );
}

#[test]
fn a_server_without_metadata_is_believed_where_there_is_no_doubt() {
    let mut wire = Wire::new();
    wire.send(Command::Greet { text: "Hi.".into() });
    for purpose in [Purpose::Greeting, Purpose::Turn] {
        assert_eq!(
            wire.begin("resp_1", &Value::Null),
            [Event::ResponseStarted {
                id: "resp_1".into(),
                purpose
            }]
        );
    }
}

#[test]
fn audio_comes_as_samples() {
    let mut wire = Wire::new();
    wire.begin("resp_1", &Value::Null);
    let audio = Event::Audio {
        response: "resp_1".into(),
        item: "item_1".into(),
        pcm: vec![7; 4800],
    };
    assert_eq!(
        wire.audio("resp_1", "item_1", 4800),
        std::slice::from_ref(&audio)
    );
    assert_eq!(wire.audio("resp_1", "item_1", 0), []);
    let mut old_name = delta("resp_1", "item_1", 4800);
    old_name["type"] = json!("response.audio.delta");
    assert_eq!(wire.read(&old_name), [audio]);
    assert_eq!(
        wire.read(&json!({
            "type": "response.output_audio.done",
            "response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0,
        })),
        [Event::AudioDone {
            response: "resp_1".into(),
            item: "item_1".into()
        }]
    );
}

#[test]
fn damaged_audio_is_a_warning_and_not_a_noise() {
    let mut wire = Wire::new();
    for (audio, problem) in [
        ("AAAA", "audio that ends within a sample"),
        ("!!!!", "audio that is not base64"),
        ("AA\u{e4}=", "audio that is not base64"),
    ] {
        let mut event = delta("resp_1", "item_1", 0);
        event["delta"] = json!(audio);
        let events = wire.read(&event);
        assert_eq!(
            warned(&events),
            format!("response.output_audio.delta: {problem}")
        );
    }
    let long = delta("resp_1", "item_1", 24_000 * 31);
    assert!(warned(&wire.read(&long)).ends_with("longer than 30 s"));
}

#[test]
fn nothing_of_a_cancelled_response_is_heard() {
    let mut wire = Wire::new();
    wire.begin("resp_1", &Value::Null);
    assert_eq!(wire.audio("resp_1", "item_1", 240).len(), 1);
    wire.send(Command::CancelResponse);
    assert_eq!(wire.audio("resp_1", "item_1", 240), []);
    for late in [
        json!({"type": "response.output_audio.done", "response_id": "resp_1", "item_id": "item_1"}),
        json!({
            "type": "response.output_audio_transcript.done",
            "response_id": "resp_1", "item_id": "item_1", "transcript": "All of it.",
        }),
    ] {
        assert_eq!(wire.read(&late), []);
    }
    let done = wire.read(&json!({
        "type": "response.done",
        "response": {
            "id": "resp_1", "status": "cancelled",
            "status_details": {"type": "cancelled", "reason": "client_cancelled"},
        },
    }));
    assert_eq!(
        done,
        [Event::ResponseDone {
            id: "resp_1".into(),
            status: ResponseStatus::Cancelled,
            usage: Usage::default(),
        }]
    );
    assert_eq!(wire.audio("resp_1", "item_1", 240), [], "nor after its end");
    wire.begin("resp_2", &Value::Null);
    assert_eq!(wire.audio("resp_2", "item_2", 240).len(), 1);
}

#[test]
fn both_sides_are_written_down() {
    let mut wire = Wire::new();
    let agent = |text| {
        vec![Event::AgentTranscript {
            item: "item_1".into(),
            text,
        }]
    };
    assert_eq!(
        wire.read(&json!({
            "type": "response.output_audio_transcript.delta",
            "response_id": "resp_1", "item_id": "item_1", "delta": "Hel",
        })),
        agent(Transcript::Delta("Hel".into()))
    );
    assert_eq!(
        wire.read(&json!({
            "type": "response.output_audio_transcript.done",
            "response_id": "resp_1", "item_id": "item_1", "transcript": "Hello.",
        })),
        agent(Transcript::Final("Hello.".into()))
    );
    let caller = |text| {
        vec![Event::CallerTranscript {
            item: "item_2".into(),
            text,
        }]
    };
    let kind = "conversation.item.input_audio_transcription";
    assert_eq!(
        wire.read(&json!({
            "type": format!("{kind}.delta"), "item_id": "item_2", "content_index": 0, "delta": "Hi",
        })),
        caller(Transcript::Delta("Hi".into()))
    );
    assert_eq!(
        wire.read(&json!({
            "type": format!("{kind}.completed"), "item_id": "item_2", "content_index": 0,
            "transcript": "Hi there.", "usage": {"type": "tokens", "total_tokens": 9},
        })),
        caller(Transcript::Final("Hi there.".into()))
    );
    let failed = wire.read(&json!({
        "type": format!("{kind}.failed"), "item_id": "item_2", "content_index": 0,
        "error": {"type": "transcription_error", "code": "audio_unintelligible", "message": "?"},
    }));
    assert!(matches!(&failed[..], [Event::Warning(e)] if e.code == "audio_unintelligible"));
}

#[test]
fn a_response_ends_with_its_cost() {
    let mut wire = Wire::new();
    let events = wire.read(&json!({
        "type": "response.done",
        "event_id": "event_7",
        "response": {
            "object": "realtime.response",
            "id": "resp_1",
            "status": "completed",
            "status_details": null,
            "output": [{"id": "item_1", "type": "message"}],
            "usage": {
                "total_tokens": 253,
                "input_tokens": 132,
                "output_tokens": 121,
                "input_token_details": {
                    "text_tokens": 119, "audio_tokens": 13, "image_tokens": 0, "cached_tokens": 64,
                    "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
                },
                "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
            },
        },
    }));
    assert_eq!(
        events,
        [Event::ResponseDone {
            id: "resp_1".into(),
            status: ResponseStatus::Completed,
            usage: Usage {
                input_text: 119,
                input_audio: 13,
                cached_text: 60,
                cached_audio: 4,
                output_text: 30,
                output_audio: 91,
            },
        }]
    );
}

fn done(status: &Value, details: &Value) -> Value {
    json!({
        "type": "response.done",
        "response": {"id": "resp_1", "status": status, "status_details": details},
    })
}

fn status_of(events: &[Event]) -> &ResponseStatus {
    match events {
        [Event::ResponseDone { status, .. }] => status,
        other => panic!("no end of a response: {other:?}"),
    }
}

#[test]
fn a_response_can_end_badly() {
    let mut wire = Wire::new();
    let events = wire.read(&done(
        &json!("incomplete"),
        &json!({"type": "incomplete", "reason": "content_filter"}),
    ));
    let reason = "content_filter".to_owned();
    assert_eq!(status_of(&events), &ResponseStatus::Incomplete { reason });

    let rate_limit = json!({
        "type": "failed",
        "error": {"type": "invalid_request_error", "code": "rate_limit_exceeded", "message": "Slow."},
    });
    match status_of(&wire.read(&done(&json!("failed"), &rate_limit))) {
        ResponseStatus::Failed(error) => {
            assert_eq!(error.trouble, Trouble::Overload);
            assert_eq!(error.recovery(), Recovery::Later);
            assert_eq!(error.message, "Slow.");
        }
        other => panic!("{other:?}"),
    }

    let quota = json!({"type": "failed", "error": {"code": "insufficient_quota"}});
    let out = wire.read_all(&done(&json!("failed"), &quota));
    assert!(matches!(status_of(&out.events), ResponseStatus::Failed(_)));
    assert!(matches!(out.end, Some(CloseReason::Vendor(e)) if e.trouble == Trouble::Quota));
}

#[test]
fn errors_are_silence_a_warning_or_the_end() {
    let mut wire = Wire::new();
    assert_eq!(
        wire.read(&complaint("response_cancel_not_active", None, Some("tl_9"))),
        []
    );
    let events = wire.read(&complaint("item_truncate_invalid_item_id", None, None));
    assert!(matches!(&events[..], [Event::Warning(e)] if e.trouble == Trouble::Invalid));
    for (code, recovery) in [
        ("insufficient_quota", Recovery::Person),
        ("invalid_api_key", Recovery::Person),
        ("account_deactivated", Recovery::Person),
        ("billing_hard_limit_reached", Recovery::Person),
        ("session_expired", Recovery::Reconnect),
    ] {
        let out = wire.read_all(&complaint(code, None, None));
        assert_eq!(out.events, []);
        assert_eq!(out.end.unwrap().recovery(), recovery, "{code}");
    }
}

#[test]
fn a_request_for_a_response_that_is_refused_is_told() {
    let mut wire = Wire::new();
    let sent = wire.send(Command::Greet { text: "Hi.".into() });
    let active = "conversation_already_has_active_response";
    let events = wire.read(&complaint(active, None, sent[0]["event_id"].as_str()));
    assert!(
        matches!(&events[..], [Event::NotStarted { purpose: Purpose::Greeting, error }] if error.code == active)
    );
    wire.send(Command::Respond);
    let events = wire.read(&complaint(active, None, None));
    assert!(matches!(
        &events[..],
        [Event::NotStarted {
            purpose: Purpose::Turn,
            ..
        }]
    ));
    let events = wire.read(&complaint(active, None, None));
    assert!(matches!(&events[..], [Event::Warning(_)]));
}

#[test]
fn a_complaint_with_odd_types_is_still_a_complaint() {
    let mut wire = Wire::new();
    let events = wire.read(&json!({
        "type": "error",
        "error": {"type": null, "code": 500, "message": "key-of-acme-123 failed", "param": []},
    }));
    match &events[..] {
        [Event::Warning(error)] => {
            assert_eq!(error.to_string(), "other, 500: [key] failed");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_that_we_have_no_use_for_are_ignored() {
    let mut wire = Wire::new();
    for kind in [
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.truncated",
        "conversation.item.deleted",
        "input_audio_buffer.committed",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.mcp_call.in_progress",
        "mcp_list_tools.completed",
        "rate_limits.updated",
        "something.of.next.year",
    ] {
        assert_eq!(wire.read(&json!({"type": kind, "whatever": [1, {}]})), []);
    }
}

#[test]
fn what_is_not_of_the_wire_is_a_warning_that_does_not_repeat_it() {
    let mut wire = Wire::new();
    for text in [
        "",
        "my secret",
        "{\"my secret\":",
        "[\"my secret\"]",
        "{}",
        "null",
    ] {
        let out = wire.read_text(text);
        let message = warned(&out.events);
        assert!(message.starts_with("a message without a type"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    for event in [
        json!({"type": "response.created"}),
        json!({"type": "response.created", "response": {"id": ""}}),
        json!({"type": "response.done", "response": {"id": "x".repeat(129)}}),
        json!({"type": "response.output_audio.delta", "delta": 7}),
        json!({"type": "input_audio_buffer.speech_started", "audio_start_ms": -1}),
        json!({"type": "error", "error": "text"}),
    ] {
        let kind = event["type"].as_str().unwrap();
        assert!(warned(&wire.read(&event)).starts_with(kind));
    }
    assert_eq!(
        wire.begin("resp_1", &Value::Null).len(),
        1,
        "and it goes on"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        Wire::new().read_text(&text);
    }

    #[test]
    fn after_a_cancel_no_audio_of_the_response_comes(
        steps in proptest::collection::vec((0u8..4, 0usize..3), 0..60)
    ) {
        let mut wire = Wire::new();
        let names = ["resp_0", "resp_1", "resp_2"];
        let mut running: Option<usize> = None;
        let mut begun = [false; 3];
        let mut over = [false; 3];
        for (step, n) in steps {
            match step {
                0 if running.is_none() && !begun[n] => {
                    wire.read_all(&created(names[n], &Value::Null));
                    running = Some(n);
                    begun[n] = true;
                }
                1 => {
                    wire.send(Command::CancelResponse);
                    if let Some(n) = running {
                        over[n] = true;
                    }
                }
                2 => {
                    if let Some(n) = running.take() {
                        wire.read_all(&json!({
                            "type": "response.done",
                            "response": {"id": names[n], "status": "completed"},
                        }));
                        over[n] = true;
                    }
                }
                _ => {
                    let came = wire.audio(names[n], "item_1", 24);
                    prop_assert_eq!(came.is_empty(), over[n]);
                }
            }
        }
    }
}
