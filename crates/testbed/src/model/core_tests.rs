//! The conversation without a socket: time is a number here.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, ResponseFault};
use super::core::{Core, Opened, Output};
use super::record::Note;
use super::turn::{Reply, Script};
use crate::voice;

const RATE: u32 = 24_000;
const GREETING: &str = "Good morning, this is Alpha Dental.";

/// A client on the other end, and the clock that both live by.
struct Client {
    core: Core,
    now: Instant,
    events: Vec<Value>,
    notes: Vec<Note>,
    closed: Option<u16>,
}

impl Client {
    fn connect(behaviour: Behaviour) -> Self {
        let now = Instant::now();
        let opened = Opened {
            connection: 0,
            model: "gpt-realtime".to_owned(),
            expires_at_unix_s: 0,
        };
        let core = Core::new(&opened, behaviour, now);
        let mut client = Self {
            core,
            now,
            events: Vec::new(),
            notes: Vec::new(),
            closed: None,
        };
        client.drain();
        client
    }

    fn scripted(answer: impl Fn(&super::Turn) -> Reply + Send + Sync + 'static) -> Self {
        Self::connect(Behaviour {
            script: Script::new(answer),
            ..Behaviour::default()
        })
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.next_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Note(note) => self.notes.push(note),
                Output::Close(code) => self.closed = Some(code),
                Output::Text(_) | Output::Binary(_) => {}
            }
        }
    }

    fn send(&mut self, event: Value) -> &mut Self {
        self.core.handle(self.now, &event);
        self.drain();
        self
    }

    /// Lets time pass, and everything happen that is due in it.
    fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(due) = self.core.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.core.tick(self.now);
            self.drain();
        }
        self.now = end;
        self
    }

    /// Streams audio in packets of 20 ms, in real time.
    fn hear(&mut self, pcm: &[i16]) -> &mut Self {
        for packet in pcm.chunks(RATE as usize / 50) {
            let bytes: Vec<u8> = packet
                .iter()
                .flat_map(|sample| sample.to_le_bytes())
                .collect();
            self.send(json!({
                "type": "input_audio_buffer.append",
                "audio": BASE64_STANDARD.encode(bytes),
            }));
            self.pass(Duration::from_millis(20));
        }
        self
    }

    fn hear_sentence(&mut self, sentence: &str) -> &mut Self {
        self.hear(&voice::encode(sentence, RATE))
            .hear(&silence(700))
    }

    fn kinds(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| event["type"].as_str())
            .collect()
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.events
            .iter()
            .filter(|event| event["type"] == kind)
            .collect()
    }

    fn last(&self, kind: &str) -> &Value {
        self.all(kind)
            .last()
            .copied()
            .unwrap_or_else(|| panic!("no {kind} in {:?}", self.kinds()))
    }

    fn error_code(&self) -> &str {
        self.last("error")["error"]["code"]
            .as_str()
            .unwrap_or_default()
    }

    fn audio(&self) -> Vec<i16> {
        let delta = |event: &&Value| event["delta"].as_str().map(str::to_owned);
        self.all("response.output_audio.delta")
            .iter()
            .filter_map(delta)
            .flat_map(|delta| BASE64_STANDARD.decode(delta).expect("base64"))
            .collect::<Vec<u8>>()
            .chunks(2)
            .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
            .collect()
    }

    fn spoken(&self) -> Vec<String> {
        voice::decode(&self.audio(), RATE)
            .into_iter()
            .map(|heard| heard.text)
            .collect()
    }

    fn greet(&mut self) -> &mut Self {
        let order = format!("Say exactly the following, and nothing else: {GREETING:?}");
        self.send(json!({ "type": "response.create", "response": { "instructions": order } }))
    }
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * RATE as usize / 1_000]
}

fn transcribing() -> Value {
    json!({
        "type": "session.update",
        "session": {
            "type": "realtime",
            "audio": { "input": { "transcription": { "model": "gpt-4o-mini-transcribe" } } },
        },
    })
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_session_is_created_and_updated() {
    let mut client = Client::connect(Behaviour::default());
    assert_eq!(client.kinds(), ["session.created"]);
    client.send(transcribing());
    let updated = client.last("session.updated");
    assert_eq!(
        updated["session"]["audio"]["input"]["transcription"]["model"],
        "gpt-4o-mini-transcribe"
    );
    assert_eq!(updated["session"]["model"], "gpt-realtime");
}

#[test]
fn a_response_says_what_it_is_told_in_the_order_of_the_wire() {
    let mut client = Client::connect(Behaviour::default());
    client.greet().pass(LONG);
    let mut kinds = client.kinds();
    kinds.dedup();
    let steady: Vec<&str> = kinds
        .iter()
        .copied()
        .filter(|kind| !kind.ends_with(".delta"))
        .collect();
    assert_eq!(
        steady,
        [
            "session.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
            "rate_limits.updated",
        ]
    );
    assert_eq!(client.spoken(), [GREETING]);
    let words: String = client
        .all("response.output_audio_transcript.delta")
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(words, GREETING);
    let response = &client.last("response.done")["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][0]["content"][0]["transcript"], GREETING);
    let audio_tokens = response["usage"]["output_token_details"]["audio_tokens"].as_u64();
    let expected = client.audio().len() as u64 / 24 / 50;
    assert!(
        audio_tokens.is_some_and(|tokens| tokens.abs_diff(expected) <= 1),
        "{response}"
    );
}

#[test]
fn audio_is_sent_faster_than_it_plays_but_not_at_once() {
    let mut client = Client::connect(Behaviour::default());
    client.greet().pass(Duration::from_millis(100));
    let early = client.audio().len();
    client.pass(LONG);
    let all = client.audio().len();
    let real_time = RATE as usize / 10;
    assert!(
        early > 4 * real_time && early < all / 2,
        "{early} of {all} samples"
    );
}

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
    let heard = super::audio::Format::MuLaw
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
            let delta = super::params::Param::new("delta", delta);
            super::audio::Format::MuLaw.decode(&delta).expect("audio")
        })
        .collect();
    let pcm: Vec<i16> = thrice.into_iter().step_by(3).collect();
    let said: Vec<String> = voice::decode(&pcm, 8_000)
        .into_iter()
        .map(|heard| heard.text)
        .collect();
    assert_eq!(said, ["You said: press one"]);
}

#[test]
fn faults_strike_when_they_are_told_to() {
    let half = Duration::from_millis(1_000);
    let faulty = |fault: ResponseFault| {
        let mut client = Client::scripted(move |_| Reply::say(GREETING).but(fault.clone()));
        client.send(json!({ "type": "response.create" })).pass(LONG);
        client
    };
    let spoken = |client: &Client| client.audio().len() as u64 / 24;

    let client = faulty(ResponseFault::Ignored);
    assert_eq!(client.kinds(), ["session.created"]);

    let client = faulty(ResponseFault::Refused("rate_limit_exceeded".to_owned()));
    assert_eq!(client.error_code(), "rate_limit_exceeded");
    assert!(client.all("response.created").is_empty());

    let client = faulty(ResponseFault::Stalled { after: half });
    assert_eq!(
        (spoken(&client), client.all("response.done").len()),
        (1_000, 0)
    );

    let client = faulty(ResponseFault::Closed {
        code: 1_011,
        after: half,
    });
    assert_eq!((spoken(&client), client.closed), (1_000, Some(1_011)));

    let client = faulty(ResponseFault::Failed {
        code: "server_error".to_owned(),
        after: half,
    });
    let response = &client.last("response.done")["response"];
    assert_eq!(spoken(&client), 1_000);
    assert_eq!(response["status_details"]["error"]["code"], "server_error");
    assert_eq!(response["output"][0]["status"], "incomplete");

    let mut client = Client::scripted(|_| Reply::say("late").but(ResponseFault::SlowStart(LONG)));
    client
        .send(json!({ "type": "response.create" }))
        .pass(LONG - half);
    assert!(client.audio().is_empty());
    client.pass(LONG);
    assert_eq!(client.spoken(), ["late"]);
}

#[test]
fn a_stalled_response_can_be_cancelled() {
    let mut client = Client::scripted(|_| {
        Reply::say(GREETING).but(ResponseFault::Stalled {
            after: Duration::from_millis(500),
        })
    });
    client.send(json!({ "type": "response.create" })).pass(LONG);
    client.send(json!({ "type": "response.cancel" }));
    assert_eq!(
        client.last("response.done")["response"]["status"],
        "cancelled"
    );
}

#[test]
fn events_that_are_none_are_refused_and_the_session_goes_on() {
    let mut client = Client::connect(Behaviour::default());
    for (event, code) in [
        (json!({ "type": "response.dance" }), "invalid_value"),
        (json!({ "no": "type" }), "missing_required_parameter"),
        (json!([1]), "invalid_type"),
        (
            json!({ "type": "session.update" }),
            "missing_required_parameter",
        ),
        (
            json!({ "type": "input_audio_buffer.append", "audio": "???" }),
            "invalid_value",
        ),
        (
            json!({ "type": "response.create", "response": { "temperature": 0.8 } }),
            "unknown_parameter",
        ),
        (
            json!({ "type": "response.create", "response": { "voice": "cedar" } }),
            "unknown_parameter",
        ),
    ] {
        client.send(event.clone());
        assert_eq!(client.error_code(), code, "{event}");
    }
    client.core.handle_text(client.now, "{");
    client.drain();
    assert_eq!(client.error_code(), "invalid_json");
    client.greet().pass(LONG);
    assert_eq!(client.spoken(), [GREETING]);
}

#[test]
fn usage_counts_what_was_read_before_as_cached() {
    let mut client = Client::connect(Behaviour::default());
    client.greet().pass(LONG);
    client.hear_sentence("hello").pass(LONG);
    let usage = |index: usize| client.all("response.done")[index]["response"]["usage"].clone();
    assert_eq!(usage(0)["input_token_details"]["cached_tokens"], 0);
    let second = usage(1);
    assert!(
        second["input_token_details"]["audio_tokens"].as_u64() > Some(0),
        "{second}"
    );
    assert!(
        second["input_token_details"]["cached_tokens"].as_u64() > Some(0),
        "{second}"
    );
}
