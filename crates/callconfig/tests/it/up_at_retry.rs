//! A backend that begins to listen at the moment when the first attempt has
//! failed. The only sign of that moment is what the lookup logs.

use std::fmt;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 8;

/// Listens when the lookup says that it asks once more.
pub(crate) struct UpAtRetry {
    down: Mutex<Option<(TcpSocket, oneshot::Sender<TcpListener>)>>,
}

impl UpAtRetry {
    /// A subscriber, and the listener that it will open.
    pub(crate) fn of(socket: TcpSocket) -> (Self, oneshot::Receiver<TcpListener>) {
        let (up, listening) = oneshot::channel();
        let down = Mutex::new(Some((socket, up)));
        (Self { down }, listening)
    }
}

impl Subscriber for UpAtRetry {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("trunkline_callconfig")
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0 == "asking once more"
            && let Some((socket, up)) = self.down.lock().take()
        {
            up.send(socket.listen(BACKLOG).unwrap()).unwrap();
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
