//! The order of events, and what is in them.

use std::time::Duration;

use super::client::{Client, GREETING, LONG, RATE, transcribing};
use crate::model::behaviour::Behaviour;

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
