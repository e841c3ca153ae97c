//! A connection that is watched for who is in the room: see `roster.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use livekit_net::{TransportError, WsConnection};
use tokio::sync::Mutex;

use crate::roster::Roster;

/// See the module.
pub(crate) struct Attended {
    connection: Arc<dyn WsConnection>,
    incoming: Mutex<Incoming>,
}

#[derive(Default)]
struct Incoming {
    roster: Roster,
    /// What had to wait for what the roster had to say first.
    held_back: Option<Vec<u8>>,
}

impl Attended {
    pub(crate) fn new(connection: Arc<dyn WsConnection>) -> Self {
        Self {
            connection,
            incoming: Mutex::default(),
        }
    }
}

#[async_trait]
impl WsConnection for Attended {
    async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        self.connection.send(frame).await
    }

    async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut incoming = self.incoming.lock().await;
        if let Some(frame) = incoming.held_back.take() {
            return Ok(Some(frame));
        }
        let Some(frame) = self.connection.recv().await? else {
            return Ok(None);
        };
        let first = incoming.roster.read(&frame);
        Ok(Some(match first {
            Some(first) => {
                incoming.held_back = Some(frame);
                first
            }
            None => frame,
        }))
    }

    async fn close(&self) {
        self.connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::roster::tests::{deleted, joined};

    /// A server that says these things and goes.
    struct Script(Mutex<VecDeque<Vec<u8>>>);

    #[async_trait]
    impl WsConnection for Script {
        async fn send(&self, _: Vec<u8>) -> Result<(), TransportError> {
            Ok(())
        }

        async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
            Ok(self.0.lock().await.pop_front())
        }

        async fn close(&self) {}
    }

    #[tokio::test]
    async fn what_the_server_says_comes_whole_and_in_order() {
        let said = [joined(&["caller"]), b"no message".to_vec(), deleted()];
        let script = Script(Mutex::new(said.clone().into()));
        let connection = Attended::new(Arc::new(script));
        let mut heard = Vec::new();
        while let Some(frame) = connection.recv().await.unwrap() {
            heard.push(frame);
        }
        assert_eq!(heard.len(), said.len() + 1, "who has left is said as well");
        assert_eq!(heard[..2], said[..2]);
        assert_eq!(heard[3], said[2], "and before the end");
    }
}
