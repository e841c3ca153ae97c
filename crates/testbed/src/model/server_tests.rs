//! Over a real socket, as the product talks to it.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::voice;

const LIMIT: Duration = Duration::from_secs(20);

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(model: &SimulatedModel, key: &str) -> Result<Self, tungstenite::Error> {
        let mut request = model.realtime_url("gpt-realtime").into_client_request()?;
        let bearer = format!("Bearer {key}").parse().expect("a header");
        request.headers_mut().insert("Authorization", bearer);
        Ok(Self(connect_async(request).await?.0))
    }

    async fn send(&mut self, event: Value) {
        self.0
            .send(Message::text(event.to_string()))
            .await
            .expect("the event is sent");
    }

    async fn frame(&mut self) -> Option<Message> {
        let frame = tokio::time::timeout(LIMIT, self.0.next())
            .await
            .expect("a frame in time");
        frame.and_then(Result::ok)
    }

    /// The next event of this type, and the audio of those before it.
    async fn until(&mut self, kind: &str) -> (Value, Vec<i16>) {
        let mut audio = Vec::new();
        loop {
            let frame = self
                .frame()
                .await
                .unwrap_or_else(|| panic!("no {kind} came"));
            let Ok(text) = frame.into_text() else {
                continue;
            };
            let Ok(event) = serde_json::from_str::<Value>(&text) else {
                continue;
            };
            if let ("response.output_audio.delta", Some(delta)) = (
                event["type"].as_str().unwrap_or_default(),
                event["delta"].as_str(),
            ) {
                let bytes = BASE64_STANDARD.decode(delta).expect("base64");
                audio.extend(
                    bytes
                        .chunks(2)
                        .map(|sample| i16::from_le_bytes([sample[0], sample[1]])),
                );
            }
            if event["type"] == kind {
                return (event, audio);
            }
        }
    }

    async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.frame().await {
                Some(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Some(_) => {}
                None => return None,
            }
        }
    }
}

async fn model(behaviour: Behaviour) -> SimulatedModel {
    let options = ModelOptions {
        api_key: Some("sk-right".into()),
        behaviour,
    };
    SimulatedModel::start(options).await.expect("a model")
}

fn said(pcm: &[i16]) -> Vec<String> {
    voice::decode(pcm, 24_000)
        .into_iter()
        .map(|heard| heard.text)
        .collect()
}

#[tokio::test]
async fn a_caller_is_greeted_heard_and_answered() {
    let model = model(Behaviour::default()).await;
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    client.until("session.created").await;
    client
        .send(json!({
            "type": "response.create",
            "response": { "instructions": "Say exactly: \"Hello, caller.\"",
                "metadata": { "purpose": "greeting" } },
        }))
        .await;
    let (_, greeting) = client.until("response.done").await;
    assert_eq!(said(&greeting), ["Hello, caller."]);

    let question = [voice::encode("who is there", 24_000), vec![0; 24_000]].concat();
    for packet in question.chunks(480) {
        let bytes: Vec<u8> = packet
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let audio = BASE64_STANDARD.encode(bytes);
        client
            .send(json!({ "type": "input_audio_buffer.append", "audio": audio }))
            .await;
    }
    let (_, answer) = client.until("response.done").await;
    assert_eq!(said(&answer), ["You said: who is there"]);

    let heard = model.wait_for("what was heard", LIMIT, |sessions| {
        sessions.first()?.heard.first().cloned()
    });
    assert_eq!(heard.await.expect("a turn"), "who is there");
    let session = &model.sessions()[0];
    assert_eq!(session.bearer.expose_secret(), "sk-right");
    assert_eq!(session.responses[0].metadata["purpose"], "greeting");
    assert_eq!(session.responses[0].state, ResponseState::Completed);
    assert_eq!(
        session.history[0],
        (Role::Assistant, "Hello, caller.".to_owned())
    );

    client.0.close(None).await.expect("closed");
    let closed = model.wait_for("the end", LIMIT, |sessions| sessions[0].closed.clone());
    assert_eq!(closed.await.expect("an end"), Closing::ByClient(None));
    model.stop().await;
}

#[tokio::test]
async fn a_wrong_key_and_a_scripted_refusal_are_http() {
    let model = model(Behaviour::default()).await;
    let status = |result: Result<Client, tungstenite::Error>| match result {
        Err(tungstenite::Error::Http(response)) => Some(response.status().as_u16()),
        _ => None,
    };
    assert_eq!(status(Client::connect(&model, "sk-wrong").await), Some(401));
    for code in [429, 500] {
        model.next_connection(Behaviour {
            opening: Opening::Refused(code),
            ..Behaviour::default()
        });
        assert_eq!(
            status(Client::connect(&model, "sk-right").await),
            Some(code)
        );
    }
    assert_eq!(model.refused(), 3);
    assert!(Client::connect(&model, "sk-right").await.is_ok());
}

#[tokio::test]
async fn a_mute_model_hears_but_does_not_answer() {
    let model = model(Behaviour {
        opening: Opening::Mute,
        ..Behaviour::default()
    })
    .await;
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    client.send(json!({ "type": "response.create" })).await;
    let received = model.wait_for("the event", LIMIT, |sessions| {
        sessions
            .first()?
            .events_of("response.create")
            .next()
            .cloned()
    });
    received.await.expect("the event");
    model.inject(0, Injection::Cut);
    assert!(client.frame().await.is_none(), "nothing before the end");
}

#[tokio::test]
async fn a_late_session_starts_with_what_was_sent_meanwhile() {
    let delay = Duration::from_millis(150);
    let model = model(Behaviour {
        opening: Opening::Delayed(delay),
        ..Behaviour::default()
    })
    .await;
    let started = Instant::now();
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    client.send(json!({ "type": "response.create" })).await;
    client.until("session.created").await;
    assert!(started.elapsed() >= delay);
    client.until("response.created").await;
}

#[tokio::test]
async fn connections_end_as_the_vendor_ends_them() {
    let model = model(Behaviour {
        end: Some(EndOfSession {
            after: Duration::from_millis(20),
            close_code: 1_001,
            announced_as: Some("session_expired".to_owned()),
        }),
        ..Behaviour::default()
    })
    .await;
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    let (error, _) = client.until("error").await;
    assert_eq!(error["error"]["code"], "session_expired");
    assert_eq!(client.close_code().await, Some(1_001));

    model.behave(Behaviour {
        opening: Opening::Failed("insufficient_quota".to_owned()),
        ..Behaviour::default()
    });
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    let (error, _) = client.until("error").await;
    assert_eq!(error["error"]["type"], "insufficient_quota");

    model.behave(Behaviour::default());
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    client.until("session.created").await;
    model.inject(2, Injection::Error("server_error".to_owned()));
    client.until("error").await;
    model.inject(2, Injection::Close(1_011));
    assert_eq!(client.close_code().await, Some(1_011));
}

#[tokio::test]
async fn garbage_comes_between_and_the_conversation_goes_on() {
    for disturbance in [Disturbance::Garbage, Disturbance::UnknownEvents] {
        let model = model(Behaviour {
            disturbance,
            ..Behaviour::default()
        })
        .await;
        let mut client = Client::connect(&model, "sk-right")
            .await
            .expect("a connection");
        let first = client.frame().await.expect("a frame").into_data();
        let known = serde_json::from_slice::<Value>(&first)
            .is_ok_and(|event| event["type"] == "session.created");
        assert!(!known, "{first:?}");
        client.until("session.created").await;
        client.send(json!({ "type": "response.create" })).await;
        client.until("response.done").await;
    }
}

#[tokio::test]
async fn a_wait_in_vain_tells_what_was_there_instead() {
    let model = model(Behaviour::default()).await;
    let mut client = Client::connect(&model, "sk-right")
        .await
        .expect("a connection");
    client.until("session.created").await;
    client.send(json!({ "type": "response.cancel" })).await;
    client.until("error").await;
    let waited = model
        .wait_for("a miracle", Duration::from_millis(10), |_| None::<()>)
        .await;
    let story = waited.expect_err("no miracle").to_string();
    assert!(
        story.contains("a miracle") && story.contains("response_cancel_not_active"),
        "{story}"
    );
}
