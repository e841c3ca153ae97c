//! A look into a project's rooms from outside, as its owner has it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_api::services::room::{CreateRoomOptions, RoomClient};
use livekit_protocol::{AgentDispatch, CreateAgentDispatchRequest, ParticipantInfo, Room};
use secrecy::{ExposeSecret as _, SecretString};

/// How long the server may take for one answer. It is on this machine.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// How often a room is looked at while something in it is awaited: the server
/// has no way to subscribe.
const POLL: Duration = Duration::from_millis(20);

/// Sees and changes what is going on in a project's rooms.
#[derive(Debug)]
pub struct RoomProbe {
    rooms: RoomClient,
    dispatches: AgentDispatchClient,
}

impl RoomProbe {
    /// A probe of the project at `http_url`.
    #[must_use]
    pub fn new(http_url: &str, api_key: &str, api_secret: &SecretString) -> Self {
        let secret = api_secret.expose_secret();
        Self {
            rooms: RoomClient::with_api_key(http_url, api_key, secret)
                .with_request_timeout(REQUEST_LIMIT),
            dispatches: AgentDispatchClient::with_api_key(http_url, api_key, secret)
                .with_request_timeout(REQUEST_LIMIT),
        }
    }

    /// All rooms.
    ///
    /// # Errors
    /// When the server does not answer, or refuses the key.
    pub async fn rooms(&self) -> anyhow::Result<Vec<Room>> {
        self.rooms
            .list_rooms(Vec::new())
            .await
            .context("cannot list the rooms")
    }

    /// One room, if it exists.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn room(&self, name: &str) -> anyhow::Result<Option<Room>> {
        let rooms = self
            .rooms
            .list_rooms(vec![name.to_owned()])
            .await
            .context("cannot look for the room")?;
        Ok(rooms.into_iter().next())
    }

    /// Makes an empty room.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn create_room(&self, name: &str) -> anyhow::Result<Room> {
        self.rooms
            .create_room(name, CreateRoomOptions::default())
            .await
            .context("cannot create the room")
    }

    /// Deletes a room, which hangs up on everybody in it.
    ///
    /// # Errors
    /// When there is no such room.
    pub async fn delete_room(&self, name: &str) -> anyhow::Result<()> {
        self.rooms
            .delete_room(name)
            .await
            .context("cannot delete the room")
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn participants(&self, room: &str) -> anyhow::Result<Vec<ParticipantInfo>> {
        self.rooms
            .list_participants(room)
            .await
            .context("cannot list the participants")
    }

    /// Puts somebody out of a room.
    ///
    /// # Errors
    /// When nobody of that identity is there.
    pub async fn remove_participant(&self, room: &str, identity: &str) -> anyhow::Result<()> {
        self.rooms
            .remove_participant(room, identity)
            .await
            .context("cannot remove the participant")
    }

    /// Calls an agent into a room.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn dispatch(
        &self,
        room: &str,
        agent_name: &str,
        metadata: &str,
    ) -> anyhow::Result<AgentDispatch> {
        let request = CreateAgentDispatchRequest {
            agent_name: agent_name.to_owned(),
            room: room.to_owned(),
            metadata: metadata.to_owned(),
            ..Default::default()
        };
        self.dispatches
            .create_dispatch(request)
            .await
            .context("cannot dispatch an agent")
    }

    /// The dispatches of a room, with the state of their jobs.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn dispatches(&self, room: &str) -> anyhow::Result<Vec<AgentDispatch>> {
        self.dispatches
            .list_dispatch(room)
            .await
            .context("cannot list the dispatches")
    }

    /// Takes a dispatch back, which ends its jobs.
    ///
    /// # Errors
    /// When there is no such dispatch.
    pub async fn delete_dispatch(&self, room: &str, dispatch_id: &str) -> anyhow::Result<()> {
        self.dispatches
            .delete_dispatch(dispatch_id, room)
            .await
            .context("cannot delete the dispatch")?;
        Ok(())
    }

    /// Waits until a room is gone.
    ///
    /// # Errors
    /// When it is still there after `limit`, with who is in it.
    pub async fn room_gone(&self, name: &str, limit: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + limit;
        while let Some(room) = self.room(name).await? {
            if Instant::now() >= until {
                let inside: Vec<String> = self
                    .participants(name)
                    .await
                    .unwrap_or_default()
                    .into_iter()
                    .map(|participant| participant.identity)
                    .collect();
                anyhow::bail!(
                    "the room {} was still there after {} ms, with {inside:?} in it",
                    room.name,
                    limit.as_millis()
                );
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until a room's participants are as wanted, and returns them. A
    /// room that does not exist has none.
    ///
    /// # Errors
    /// When they are not after `limit`, with who was there last.
    pub async fn participants_until(
        &self,
        room: &str,
        limit: Duration,
        wanted: impl Fn(&[ParticipantInfo]) -> bool,
    ) -> anyhow::Result<Vec<ParticipantInfo>> {
        let until = Instant::now() + limit;
        loop {
            let participants = match self.room(room).await? {
                Some(_) => self.participants(room).await.unwrap_or_default(),
                None => Vec::new(),
            };
            if wanted(&participants) {
                return Ok(participants);
            }
            anyhow::ensure!(
                Instant::now() < until,
                "after {} ms the participants of {room} were {participants:?}",
                limit.as_millis()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}
