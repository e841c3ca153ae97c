//! What a backend may do when it is asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::connection::Peer;

/// One reply of the simulated backend, good or bad.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this JSON.
    Json(Value),
    /// This status with this body.
    Status(StatusCode, String),
    /// 200, called JSON, with these bytes.
    Garbage(Vec<u8>),
    /// 200 with a valid JSON object of exactly this many bytes (at least
    /// [`Reply::MIN_OVERSIZE`]).
    Oversize(usize),
    /// Another reply, after a while.
    Delay(Duration, Box<Reply>),
    /// No answer, on an open connection, until the asker gives up.
    Hang,
    /// 200 and the head of an answer, then nothing more on an open connection.
    HangInBody,
    /// The connection is cut before any answer.
    Close,
    /// 200 and half of an answer, then the connection is cut.
    CloseInBody,
    /// One reply after the other; the last one stays.
    Sequence(Arc<Mutex<VecDeque<Reply>>>),
}

impl Reply {
    /// The shortest [`Reply::Oversize`]: `{"padding":""}`.
    pub const MIN_OVERSIZE: usize = 14;

    /// `reply`, given after `delay`.
    #[must_use]
    pub fn after(delay: Duration, reply: Self) -> Self {
        Self::Delay(delay, Box::new(reply))
    }

    /// A server error.
    #[must_use]
    pub fn failing() -> Self {
        Self::Status(StatusCode::INTERNAL_SERVER_ERROR, "out of order".to_owned())
    }

    /// These replies in turn; the last one stays. With none at all, 500.
    #[must_use]
    pub fn sequence(replies: impl IntoIterator<Item = Self>) -> Self {
        let replies = replies.into_iter().collect();
        Self::Sequence(Arc::new(Mutex::new(replies)))
    }

    /// Gives the reply to whoever asked. What would last for ever ends with
    /// `stop`.
    pub(super) async fn give(self, peer: &Peer, stop: &CancellationToken) -> Response {
        let mut reply = self;
        loop {
            reply = match reply {
                Self::Delay(delay, then) => {
                    tokio::time::sleep(delay).await;
                    *then
                }
                Self::Sequence(replies) => {
                    let mut replies = replies.lock();
                    if replies.len() > 1 {
                        replies.pop_front()
                    } else {
                        replies.front().cloned()
                    }
                    .unwrap_or_else(Self::failing)
                }
                other => break other.respond(peer, stop).await,
            }
        }
    }

    async fn respond(self, peer: &Peer, stop: &CancellationToken) -> Response {
        match self {
            Self::Json(value) => super::json(StatusCode::OK, value.to_string()),
            Self::Status(status, body) => super::json(status, body),
            Self::Garbage(bytes) => super::json(StatusCode::OK, bytes),
            Self::Oversize(bytes) => super::json(StatusCode::OK, oversize(bytes)),
            // The asker's leaving drops this future.
            Self::Hang => std::future::pending().await,
            Self::HangInBody => {
                let head = stream::once(async { Ok(head()) });
                let end = stream::once(stop.clone().cancelled_owned());
                let broken = end.map(|()| Err(std::io::Error::other("the backend is gone")));
                super::json(StatusCode::OK, Body::from_stream(head.chain(broken)))
            }
            Self::Close => {
                peer.cut();
                super::json(StatusCode::OK, Body::empty())
            }
            Self::CloseInBody => {
                let parts = stream::unfold(Some(head()), |head| async {
                    if let Some(head) = head {
                        return Some((Ok(head), None));
                    }
                    // Waiting makes the server send what it has.
                    tokio::task::yield_now().await;
                    Some((Err(std::io::Error::other("cut by the script")), None))
                });
                super::json(StatusCode::OK, Body::from_stream(parts))
            }
            // `give` resolves these two.
            Self::Delay(..) | Self::Sequence(_) => super::json(
                StatusCode::INTERNAL_SERVER_ERROR,
                json!({ "error": "a reply within a reply" }).to_string(),
            ),
        }
    }
}

/// How a good answer begins.
fn head() -> Bytes {
    Bytes::from_static(b"{\"systemPrompt\":\"You are")
}

/// A JSON object of this many bytes.
fn oversize(bytes: usize) -> String {
    let padding = "x".repeat(bytes.saturating_sub(Reply::MIN_OVERSIZE));
    format!("{{\"padding\":\"{padding}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversize_reply_is_valid_and_has_the_size_asked_for() {
        let text = oversize(300_000);
        assert_eq!(text.len(), 300_000);
        serde_json::from_str::<Value>(&text).expect("JSON");
    }
}
