//! A session from its beginning to each of its ends.

use futures_util::{FutureExt as _, SinkExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use trunkline_domain::CallConfig;
use trunkline_realtime::{
    CloseReason, Command, Event, Options, Purpose, Recovery, SendError, Session, SessionConfig,
    Trouble,
};

use crate::vendor::{Vendor, audio, next, soon};

fn end(event: Event) -> CloseReason {
    match event {
        Event::Closed(reason) => reason,
        other => panic!("not the end: {other:?}"),
    }
}

async fn to_the_end(session: &mut Session) -> CloseReason {
    loop {
        if let Event::Closed(reason) = next(session).await {
            return reason;
        }
    }
}

#[tokio::test]
async fn a_conversation_goes_both_ways_and_ends_with_a_goodbye() {
    let vendor = Vendor::start().await;
    let (mut session, mut line) = vendor.session(Options::default()).await;

    let config = SessionConfig::for_call(&CallConfig::built_in());
    session.send(Command::Configure(config)).unwrap();
    let update = line.event().await;
    assert_eq!(update["type"], "session.update");
    assert_eq!(update["session"]["audio"]["output"]["voice"], "marin");
    line.say(json!({"type": "session.updated"})).await;
    assert_eq!(next(&mut session).await, Event::Ready { dropped: vec![] });

    session
        .send(Command::Greet {
            text: "Hello.".into(),
        })
        .unwrap();
    let create = line.event().await;
    assert_eq!(create["response"]["metadata"]["purpose"], "greeting");
    let metadata = create["response"]["metadata"].clone();
    line.say(
        json!({"type": "response.created", "response": {"id": "resp_1", "metadata": metadata}}),
    )
    .await;
    assert_eq!(
        next(&mut session).await,
        Event::ResponseStarted {
            id: "resp_1".into(),
            purpose: Purpose::Greeting
        }
    );
    line.say(audio(&[1, -2, 3])).await;
    assert_eq!(
        next(&mut session).await,
        Event::Audio {
            response: "resp_1".into(),
            item: "item_1".into(),
            pcm: vec![1, -2, 3]
        }
    );

    session
        .sender()
        .send(Command::AppendAudio(vec![5; 480]))
        .unwrap();
    assert_eq!(line.event().await["type"], "input_audio_buffer.append");

    let (reason, message) = tokio::join!(soon("the end", session.close()), line.message());
    assert_eq!(reason, CloseReason::Requested);
    assert!(matches!(message, Some(Message::Close(_))), "{message:?}");
}

#[tokio::test]
async fn what_came_before_the_end_is_heard_to_the_end() {
    let vendor = Vendor::start().await;
    let (mut session, mut line) = vendor.session(Options::default()).await;
    let count = 1000_i16;
    let talk = async {
        for n in 1..=count {
            line.say(audio(&[n; 240])).await;
        }
        let frame = CloseFrame {
            code: 1001.into(),
            reason: "Your session hit the maximum duration of 60 minutes.".into(),
        };
        line.socket.close(Some(frame)).await.unwrap();
    };
    let listen = async {
        for n in 1..=count {
            // Asking and giving up again loses nothing.
            let event = match session.next().now_or_never() {
                Some(event) => event,
                None => next(&mut session).await,
            };
            match event {
                Event::Audio { pcm, .. } => assert_eq!(pcm, vec![n; 240]),
                other => panic!("{other:?}"),
            }
        }
        let reason = end(next(&mut session).await);
        assert!(
            matches!(
                reason,
                CloseReason::Peer {
                    code: Some(1001),
                    ..
                }
            ),
            "{reason:?}"
        );
        assert_eq!(reason.recovery(), Recovery::Reconnect);
        assert_eq!(end(next(&mut session).await), reason, "and again");
    };
    tokio::join!(talk, listen);
    let late = session.send(Command::Respond);
    assert_eq!(late, Err(SendError::Closed));
    assert_eq!(
        session.send(Command::AppendAudio(vec![0])),
        Err(SendError::Closed)
    );
}

#[tokio::test]
async fn audio_that_does_not_fit_is_dropped_and_commands_are_not() {
    let vendor = Vendor::start().await;
    let (session, mut line) = vendor.session(Options::default()).await;
    // One thread, and nothing is awaited: the session's task cannot run.
    for n in 0..500 {
        session.send(Command::AppendAudio(vec![n])).unwrap();
    }
    session.send(Command::Respond).unwrap();
    let mut heard = 0;
    while line.event().await["type"] == "input_audio_buffer.append" {
        heard += 1;
    }
    assert_eq!(heard, 50, "one second of it, and then the command");
}

#[tokio::test]
async fn a_command_that_does_not_fit_ends_the_session() {
    let vendor = Vendor::start().await;
    let (mut session, _line) = vendor.session(Options::default()).await;
    let refused = (0..1000).find_map(|_| session.send(Command::Respond).err());
    assert_eq!(refused, Some(SendError::Overflow));
    assert_eq!(to_the_end(&mut session).await, CloseReason::Overflow);
}

#[tokio::test]
async fn a_vendor_that_is_gone_without_a_word_is_noticed() {
    let vendor = Vendor::start().await;
    let hasty = Options {
        ping_interval_ms: 50,
        silence_limit_ms: 400,
        ..Options::default()
    };
    // The socket stays open, and nobody reads it: no answer to any ping.
    let (mut session, _line) = vendor.session(hasty).await;
    assert_eq!(end(next(&mut session).await), CloseReason::Silent);
}

#[tokio::test]
async fn a_vendor_that_answers_pings_is_not_given_up() {
    let vendor = Vendor::start().await;
    let hasty = Options {
        ping_interval_ms: 20,
        silence_limit_ms: 1_000,
        ..Options::default()
    };
    let (mut session, mut line) = vendor.session(hasty).await;
    // The library answers pings while it is read.
    let mut pings = 0;
    while pings < 75 {
        let message = soon("a ping", futures_util::StreamExt::next(&mut line.socket)).await;
        assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
        pings += 1;
    }
    line.say(audio(&[1])).await;
    assert!(matches!(next(&mut session).await, Event::Audio { .. }));
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_apart_from_a_goodbye() {
    let vendor = Vendor::start().await;
    let (mut session, line) = vendor.session(Options::default()).await;
    drop(line);
    let reason = end(next(&mut session).await);
    assert!(matches!(reason, CloseReason::Lost { .. }), "{reason:?}");
    assert_eq!(reason.recovery(), Recovery::Reconnect);
}

#[tokio::test]
async fn a_fatal_error_ends_the_session_by_its_name() {
    let vendor = Vendor::start().await;
    let (mut session, mut line) = vendor.session(Options::default()).await;
    line.say(json!({"type": "error", "error": {"code": "insufficient_quota", "message": "Pay."}}))
        .await;
    match end(next(&mut session).await) {
        CloseReason::Vendor(error) => assert_eq!(error.trouble, Trouble::Quota),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn garbage_is_a_warning_and_the_session_goes_on() {
    let vendor = Vendor::start().await;
    let (mut session, mut line) = vendor.session(Options::default()).await;
    line.socket
        .send(Message::binary(vec![1, 2, 3]))
        .await
        .unwrap();
    line.socket.send(Message::text("<html>")).await.unwrap();
    line.say(json!({"type": "something.new"})).await;
    line.say(audio(&[1])).await;
    for _ in 0..2 {
        match next(&mut session).await {
            Event::Warning(error) => assert_eq!(error.trouble, Trouble::Garbage),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(next(&mut session).await, Event::Audio { .. }));
}

#[tokio::test]
async fn a_message_without_measure_ends_the_session() {
    let vendor = Vendor::start().await;
    let (mut session, mut line) = vendor.session(Options::default()).await;
    let flood = async {
        // The other side hangs up in the middle of it.
        let long = Message::text("x".repeat(3 * 1024 * 1024));
        line.socket.send(long).await.ok();
    };
    let (reason, ()) = tokio::join!(to_the_end(&mut session), flood);
    assert!(matches!(reason, CloseReason::Lost { .. }), "{reason:?}");
}

#[tokio::test]
async fn a_session_that_is_dropped_leaves_no_connection() {
    let vendor = Vendor::start().await;
    let (session, mut line) = vendor.session(Options::default()).await;
    let sender = session.sender();
    drop(session);
    assert_eq!(line.message().await.map(|_| ()), None);
    soon("the queue's end", async {
        while sender.send(Command::Respond) != Err(SendError::Closed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
