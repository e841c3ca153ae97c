//! The socket: what waits to be sent, and one place where it moves.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The largest message that is read, in bytes: room for the longest piece of
/// audio that is taken and for an echo of the largest configuration.
pub(crate) const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes that may wait within the socket: one message and a bit, because each
/// is handed to the kernel before the next. The largest carries a whole prompt.
const MAX_WRITE_BYTES: usize = 2 * 1024 * 1024;
/// Messages that may wait for the socket before commands are left in their queue.
const MAX_WAITING: usize = 4;

/// How the socket is set up.
pub(crate) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        // Most messages are under 10 KB; the buffer grows where one is not.
        .read_buffer_size(16 * 1024)
        // Every message goes out at once: speech does not wait for company.
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// What happened at the socket.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A message came.
    Received(Message),
    /// Something that waited is gone.
    Sent,
    /// It is over; with the error, if any.
    Ended(Option<Error>),
}

/// Whether the socket is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Yes,
    /// What came before has not been taken.
    No,
}

/// A WebSocket and what waits for it.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    waiting: VecDeque<Message>,
    unflushed: bool,
}

impl<S> Socket<S>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
{
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            waiting: VecDeque::new(),
            unflushed: false,
        }
    }

    /// Whether commands may be turned into messages.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Whether something waits to be sent.
    pub(crate) fn is_behind(&self) -> bool {
        self.unflushed || !self.waiting.is_empty()
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.waiting.push_back(message);
    }

    /// Sends what can be sent, then reads. Nothing is lost when the poll is not
    /// followed by another.
    pub(crate) fn poll(&mut self, read: Read, cx: &mut Context<'_>) -> Poll<Happened> {
        match self.poll_send(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Happened::Sent),
            Poll::Ready(Err(error)) => return Poll::Ready(Happened::Ended(Some(error))),
            Poll::Pending => {}
        }
        if read == Read::No {
            return Poll::Pending;
        }
        self.stream.poll_next_unpin(cx).map(|next| match next {
            Some(Ok(message)) => Happened::Received(message),
            Some(Err(error)) => Happened::Ended(Some(error)),
            None => Happened::Ended(None),
        })
    }

    /// Ready when something moved.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.waiting.is_empty()
            && let Poll::Ready(ready) = self.stream.poll_ready_unpin(cx)
        {
            ready?;
            if let Some(message) = self.waiting.pop_front() {
                self.unflushed = true;
                self.stream.start_send_unpin(message)?;
                return Poll::Ready(Ok(()));
            }
        }
        if self.unflushed && self.stream.poll_flush_unpin(cx)?.is_ready() {
            self.unflushed = false;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Sends what waits and a goodbye.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        while let Some(message) = self.waiting.pop_front() {
            self.stream.feed(message).await?;
        }
        self.stream.send(Message::Close(None)).await
    }
}
