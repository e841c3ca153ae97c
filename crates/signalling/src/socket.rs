//! A WebSocket with a small buffer.

use async_trait::async_trait;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_net::{TransportError, WsConnection};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

/// What is read at once. Messages of a call have some hundred bytes, those of a join some
/// thousand, for which the buffer grows and shrinks again. The whole of it is written for each
/// read (the library's default is 128 KiB).
pub(crate) const READ_BUFFER_BYTES: usize = 4096;

/// The longest message that is taken: the library's bound for a frame. A room's participants
/// come in one message.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// See the module.
pub(crate) struct Socket {
    writer: Mutex<SplitSink<Stream, Message>>,
    reader: Mutex<SplitStream<Stream>>,
}

impl Socket {
    pub(crate) async fn open(request: Request, tls: Connector) -> Result<Self, TransportError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        // Nagle's algorithm off: an offer must not wait for a packet to fill.
        let opened = connect_async_tls_with_config(request, Some(config), true, Some(tls)).await;
        let (stream, _) = opened.map_err(|error| match error {
            Error::Http(answer) => TransportError::Http {
                status: answer.status().as_u16(),
            },
            error => broken(&error),
        })?;
        let (writer, reader) = stream.split();
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
        })
    }
}

#[async_trait]
impl WsConnection for Socket {
    async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        let mut writer = self.writer.lock().await;
        let sent = writer.send(Message::Binary(frame.into())).await;
        sent.map_err(|error| broken(&error))
    }

    async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut reader = self.reader.lock().await;
        loop {
            match reader.next().await {
                Some(Ok(Message::Binary(frame))) => return Ok(Some(frame.into())),
                // The library answers pings by itself with the next read.
                Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_),
                )) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Err(error)) if is_end(&error) => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
            }
        }
    }

    async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.writer.lock().await.close().await;
    }
}

/// Whether the other side has gone, in one of the ways in which servers go.
fn is_end(error: &Error) -> bool {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        // TLS without its farewell.
        Error::Io(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn broken(error: &Error) -> TransportError {
    TransportError::Connection(error.to_string())
}
