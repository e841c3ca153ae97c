//! How a session begins, and how it does not.

use serde_json::json;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use trunkline_realtime::{
    CloseReason, ConnectError, Connector, Endpoint, Options, Recovery, Session, Trouble,
};

use crate::vendor::{KEY, Vendor, soon};

async fn connect(endpoint: &Endpoint, options: Options) -> Result<Session, ConnectError> {
    let connector = Connector::new(options).unwrap();
    soon("an outcome", connector.connect(endpoint, "gpt-realtime")).await
}

/// The error with all its sources, as it would be logged.
fn whole(error: &ConnectError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(" <- {error}"));
        source = error.source();
    }
    text
}

#[tokio::test]
async fn the_vendor_is_told_the_model_and_the_key() {
    let vendor = Vendor::start().await;
    let (session, line) = vendor.session(Options::default()).await;
    assert_eq!(line.uri, "/v1/realtime?model=gpt-realtime");
    assert_eq!(line.authorization, format!("Bearer {KEY}"));
    assert_eq!(session.model(), "gpt-realtime");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_never_the_key() {
    let repeated =
        format!(r#"{{"error":{{"code":"invalid_api_key","message":"Incorrect key {KEY}"}}}}"#);
    let quota = r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#;
    for (status, body, trouble, recovery) in [
        (
            "401 Unauthorized",
            &*repeated,
            Trouble::Credentials,
            Recovery::Person,
        ),
        (
            "429 Too Many Requests",
            quota,
            Trouble::Quota,
            Recovery::Person,
        ),
        (
            "429 Too Many Requests",
            "",
            Trouble::Overload,
            Recovery::Later,
        ),
        (
            "503 Service Unavailable",
            "busy",
            Trouble::Overload,
            Recovery::Later,
        ),
        (
            "500 Internal Server Error",
            "",
            Trouble::Server,
            Recovery::Later,
        ),
        ("404 Not Found", "{}", Trouble::Invalid, Recovery::Person),
        ("302 Found", "", Trouble::Invalid, Recovery::Person),
    ] {
        let vendor = Vendor::start().await;
        let endpoint = vendor.endpoint();
        let (result, ()) = tokio::join!(
            connect(&endpoint, Options::default()),
            vendor.answer(status, body)
        );
        let error = result.unwrap_err();
        assert_eq!(error.recovery(), recovery, "{status} {body}");
        assert_eq!(error.as_label(), trouble.as_label(), "{status} {body}");
        assert!(!whole(&error).contains(KEY), "{}", whole(&error));
    }
}

#[tokio::test]
async fn nobody_there_and_somebody_silent_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut endpoint = Vendor::start().await.endpoint();
    endpoint.base_url = format!("ws://{address}/v1").parse().unwrap();
    let error = connect(&endpoint, Options::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    assert_eq!(error.recovery(), Recovery::Reconnect);

    let hasty = Options {
        connect_timeout_ms: 100,
        ..Options::default()
    };
    // The first never answers the handshake, the second never begins the session.
    let vendor = Vendor::start().await;
    let error = connect(&vendor.endpoint(), hasty.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    let vendor = Vendor::start().await;
    let endpoint = vendor.endpoint();
    let (result, _line) = tokio::join!(connect(&endpoint, hasty), vendor.accept_silently());
    assert!(matches!(result, Err(ConnectError::TimedOut { .. })));
}

#[tokio::test]
async fn an_error_before_the_session_is_its_refusal() {
    for (code, trouble) in [
        ("model_not_found", Trouble::Invalid),
        ("insufficient_quota", Trouble::Quota),
    ] {
        let vendor = Vendor::start().await;
        let endpoint = vendor.endpoint();
        let refuse = async {
            let mut line = vendor.accept_silently().await;
            let error = json!({"type": "invalid_request_error", "code": code, "message": "No."});
            line.say(json!({"type": "error", "error": error})).await;
            line
        };
        let (result, _line) = tokio::join!(connect(&endpoint, Options::default()), refuse);
        match result.unwrap_err() {
            ConnectError::Refused {
                status: None,
                error,
            } => assert_eq!(error.trouble, trouble),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_close_before_the_session_is_told_with_its_code() {
    let vendor = Vendor::start().await;
    let endpoint = vendor.endpoint();
    let close = async {
        let mut line = vendor.accept_silently().await;
        let frame = CloseFrame {
            code: 1008.into(),
            reason: "policy".into(),
        };
        line.socket.close(Some(frame)).await.unwrap();
        line
    };
    let (result, _line) = tokio::join!(connect(&endpoint, Options::default()), close);
    match result.unwrap_err() {
        ConnectError::Closed(
            reason @ CloseReason::Peer {
                code: Some(1008), ..
            },
        ) => {
            assert_eq!(reason.recovery(), Recovery::Person);
            assert_eq!(
                reason.to_string(),
                "closed by the vendor with code 1008: policy"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_vendor_that_only_chats_is_not_listened_to_for_ever() {
    let vendor = Vendor::start().await;
    let endpoint = vendor.endpoint();
    let chat = async {
        let mut line = vendor.accept_silently().await;
        let text = Message::text(r#"{"type":"weather"}"#);
        for _ in 0..100 {
            // The other side hangs up in between.
            if futures_util::SinkExt::send(&mut line.socket, text.clone())
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let (result, ()) = tokio::join!(connect(&endpoint, Options::default()), chat);
    assert_eq!(result.unwrap_err().as_label(), "garbage");
}
