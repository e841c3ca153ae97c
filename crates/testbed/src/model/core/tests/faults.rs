//! What goes wrong, on either side.

use std::time::Duration;

use serde_json::json;

use super::client::{Client, GREETING, LONG};
use crate::model::behaviour::{Behaviour, ResponseFault};
use crate::model::turn::Reply;

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
