//! A vendor whose every move is written down in the test.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use trunkline_domain::ProviderKind;
use trunkline_realtime::{Connector, Endpoint, Event, Options, Session};

/// Longer than anything here takes; to be reached is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The key that tests present.
pub(crate) const KEY: &str = "sk-test-0123456789";

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

pub(crate) struct Vendor {
    listener: TcpListener,
}

impl Vendor {
    pub(crate) async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let address = self.listener.local_addr().unwrap();
        Endpoint {
            kind: ProviderKind::OpenAi,
            base_url: format!("http://{address}/v1").parse().unwrap(),
            api_key: KEY.into(),
        }
    }

    /// A TCP connection, and nothing more.
    pub(crate) async fn accept_tcp(&self) -> TcpStream {
        soon("a connection", self.listener.accept())
            .await
            .unwrap()
            .0
    }

    /// Answers the handshake with an HTTP response.
    pub(crate) async fn answer(&self, status: &str, body: &str) {
        let mut stream = self.accept_tcp().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(soon("a request", stream.read_u8()).await.unwrap());
        }
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    /// A WebSocket that has said nothing yet.
    pub(crate) async fn accept_silently(&self) -> Line {
        let stream = self.accept_tcp().await;
        let mut seen = None;
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            seen = Some((
                request.uri().to_string(),
                request.headers()["authorization"]
                    .to_str()
                    .unwrap()
                    .to_owned(),
            ));
            Ok(response)
        };
        let socket = soon("a handshake", accept_hdr_async(stream, look))
            .await
            .unwrap();
        let (uri, authorization) = seen.unwrap();
        Line {
            socket,
            uri,
            authorization,
        }
    }

    /// A WebSocket whose session has begun.
    pub(crate) async fn accept(&self) -> Line {
        let mut line = self.accept_silently().await;
        line.say(json!({"type": "session.created", "session": {"id": "sess_1"}}))
            .await;
        line
    }

    /// A session, and the vendor's end of it.
    pub(crate) async fn session(&self, options: Options) -> (Session, Line) {
        let connector = Connector::new(options).unwrap();
        let endpoint = self.endpoint();
        let (session, line) =
            tokio::join!(connector.connect(&endpoint, "gpt-realtime"), self.accept());
        (session.unwrap(), line)
    }
}

/// The vendor's end of one socket.
pub(crate) struct Line {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) uri: String,
    pub(crate) authorization: String,
}

impl Line {
    pub(crate) async fn say(&mut self, event: Value) {
        self.socket
            .send(Message::text(event.to_string()))
            .await
            .unwrap();
    }

    /// The next message, pings and pongs aside. `None`: the socket is over.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            match soon("a message", self.socket.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(crate) async fn event(&mut self) -> Value {
        match self.message().await {
            Some(Message::Text(text)) => serde_json::from_str(text.as_str()).unwrap(),
            other => panic!("no event: {other:?}"),
        }
    }
}

pub(crate) async fn next(session: &mut Session) -> Event {
    soon("an event", session.next()).await
}

pub(crate) fn audio(samples: &[i16]) -> Value {
    use base64::Engine as _;
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    json!({
        "type": "response.output_audio.delta",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "delta": base64::engine::general_purpose::STANDARD.encode(bytes),
    })
}
