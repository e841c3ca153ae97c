//! One WebSocket: its frames to the conversation and back, at the times that it names.

use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::core::{Core, Output};
use super::record::Closing;
use super::server::{Injection, Session, Shared};

/// A client that takes no frame for so long is gone.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Talks until one side ends it.
pub(super) async fn run(
    mut socket: WebSocket,
    mut core: Core,
    shared: &Shared,
    session: &Session,
    mut orders: mpsc::Receiver<Injection>,
    stop: CancellationToken,
) -> Closing {
    loop {
        while let Some(output) = core.next_output() {
            let message = match output {
                Output::Note(note) => {
                    shared.note(session, note);
                    continue;
                }
                Output::Event(event) => Message::text(event.to_string()),
                Output::Text(text) => Message::text(text),
                Output::Binary(bytes) => Message::binary(bytes),
                Output::Close(code) => return close(socket, code).await,
            };
            if !send(&mut socket, message).await {
                return Closing::Broken;
            }
        }
        let deadline = core.deadline();
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return close(socket, 1_001).await,
            () = due => core.tick(Instant::now()),
            order = orders.recv() => match order {
                Some(Injection::Close(code)) => return close(socket, code).await,
                Some(Injection::Cut) | None => return Closing::Broken,
                Some(Injection::Error(code)) => core.fail(&code),
                Some(Injection::Text(text)) => {
                    if !send(&mut socket, Message::text(text)).await {
                        return Closing::Broken;
                    }
                }
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => core.handle_text(Instant::now(), &text),
                Some(Ok(Message::Close(frame))) => {
                    return Closing::ByClient(frame.map(|frame| frame.code));
                }
                // Pings are answered by the library; binary frames are ignored, as by the vendor.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Closing::Broken,
            },
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(
        tokio::time::timeout(SEND_LIMIT, socket.send(message)).await,
        Ok(Ok(()))
    )
}

async fn close(mut socket: WebSocket, code: u16) -> Closing {
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    if send(&mut socket, Message::Close(Some(frame))).await {
        // The handshake: what the client still says is not read, but for its close.
        let answer = async { while let Some(Ok(_)) = socket.recv().await {} };
        if tokio::time::timeout(CLOSE_LIMIT, answer).await.is_err() {
            tracing::debug!("the client did not answer the close");
        }
    }
    Closing::ByModel(code)
}
