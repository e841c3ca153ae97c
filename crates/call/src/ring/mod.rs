//! A test call: a participant that looks to the agent like a phone call that
//! LiveKit's SIP bridge brings in, and keeps the bridge's habits.
//!
//! The phone rings until somebody publishes an audio track, which answers it; a
//! moment later `sip.callStatus` becomes `active`, and what was said before is
//! lost. Source: the bridge's code (`github.com/livekit/sip`).
//!
//! The room is deleted at the end: by the agent that was in it, as of every call, and by
//! us where none was. Not by both: LiveKit's `DeleteRoom` first makes sure that the room is
//! there, and so of two at the same moment the later one can make the room anew, with its
//! dispatches, and a second job that finds nobody. Source: `RoomService.DeleteRoom` of
//! livekit-server 1.13.5.

mod apology;
mod ear;
mod leg;
mod mouth;
mod token;

use std::time::{Duration, Instant};

use domain::{AgentName, PhoneNumber, Tenant};
use livekit::{Room, RoomOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trunkline_domain as domain;

use crate::room_api::{RoomApi, http_url};
use leg::Leg;

pub use crate::not_joined::NotJoined;
pub use mouth::{InvalidSpeech, Speech};

/// Samples a second of what is heard, mono: all that a phone carries.
pub const HEARD_RATE: u32 = 24_000;

/// Joining a room takes a few round trips.
const JOIN_LIMIT: Duration = Duration::from_secs(15);

/// Who calls whom, and how.
#[derive(Debug, Clone)]
pub struct RingOptions {
    /// The number that the call seems to come from.
    pub from: PhoneNumber,
    /// The number that seems to be called.
    pub to: PhoneNumber,
    /// The agent that is called: one of the tenant's.
    pub agent_name: AgentName,
    /// How long the phone rings at most.
    pub ringing_limit: Duration,
    /// How long the call lasts at most from when both sides hear each other; then we hang up.
    pub call_limit: Duration,
    /// What the caller says once the greeting has ended.
    pub speech: Option<Speech>,
}

/// What happens in the call, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingNews {
    /// The room is there, its agent was asked for, and the phone rings.
    Ringing {
        /// The room's name.
        room: String,
    },
    /// An agent is in the room.
    AgentJoined,
    /// It published its track: `200 OK`.
    Answered,
    /// Both sides hear each other.
    Active,
    /// Something was heard that is not silence.
    FirstSound,
    /// The caller has said everything.
    Spoken,
    /// It is over.
    Ended(RingEnd),
}

/// How a test call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingEnd {
    /// We hung up as it had lasted long enough.
    TimeUp,
    /// We hung up as we were told to.
    Interrupted,
    /// Nobody answered in time.
    RangOut,
    /// The agent's side hung up: it removed the caller, or deleted the room.
    AgentHungUp,
    /// The connection was lost, or something else that no agent does.
    Lost(String),
}

/// What the caller got to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Silence, or there was no call.
    Nothing,
    /// The apology: the call could not be served. Something may have been heard before.
    Apology,
    /// The agent.
    Agent,
}

/// What is left of a test call.
#[derive(Debug, Clone)]
pub struct RingOutcome {
    /// What happened, by the time since it was dialled.
    pub timeline: Vec<(Duration, RingNews)>,
    /// How it ended.
    pub end: RingEnd,
    /// What was heard since the call was active: mono, [`HEARD_RATE`].
    pub sound: Vec<i16>,
}

impl RingOutcome {
    /// What the caller got to hear.
    pub fn heard(&self) -> Heard {
        let is_sound = |(_, news): &(Duration, RingNews)| *news == RingNews::FirstSound;
        if !self.timeline.iter().any(is_sound) {
            Heard::Nothing
        } else if apology::is_in(&self.sound) {
            Heard::Apology
        } else {
            Heard::Agent
        }
    }
}

/// Why there was no call.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The token cannot be made.
    #[error("the caller's token cannot be signed")]
    Token(#[source] livekit_api::access_token::AccessTokenError),
    /// The room cannot be joined: `trunkline tenant test` says why.
    #[error("the room cannot be joined; `trunkline tenant test` says what is wrong")]
    Join(#[source] NotJoined),
    /// The room was not joined in time.
    #[error("the room was not joined within {} s; `trunkline tenant test` says what is wrong", JOIN_LIMIT.as_secs())]
    JoinTimedOut,
    /// `stop` was cancelled before the room was joined.
    #[error("the call was given up before it rang")]
    GivenUp,
}

/// Rings and takes the call to its end: the first of the agent's, ours at the
/// limit, or `stop`. News are dropped where nobody takes them; the outcome has them all.
///
/// # Errors
/// When the room cannot be joined.
pub async fn ring(
    tenant: &Tenant,
    options: RingOptions,
    news: mpsc::Sender<(Duration, RingNews)>,
    stop: CancellationToken,
) -> Result<RingOutcome, RingError> {
    let dialled = Instant::now();
    let call = token::Call::new(tenant, &options).map_err(RingError::Token)?;
    let mut room_options = RoomOptions::default();
    // The bridge subscribes to audio itself, and to nothing else.
    room_options.auto_subscribe = false;
    let url = http_url(&tenant.project.url);
    let join = Room::connect(url.as_str(), &call.token, room_options);
    let joined = tokio::select! {
        joined = tokio::time::timeout(JOIN_LIMIT, join) => match joined {
            Ok(Ok(joined)) => Ok(joined),
            Ok(Err(error)) => Err(RingError::Join(NotJoined::new(&error))),
            Err(_) => Err(RingError::JoinTimedOut),
        },
        () = stop.cancelled() => Err(RingError::GivenUp),
    };
    let outcome = match joined {
        Ok((room, events)) => {
            let leg = Leg::new(room, &call.room, options, dialled, news);
            Ok(leg.run(events, stop).await)
        }
        Err(error) => Err(error),
    };
    if is_ours_to_delete(outcome.as_ref().ok()) {
        // Told to be brief: whoever pressed Ctrl-C waits, and a room without participants is
        // closed by the server.
        let brief = CancellationToken::new();
        brief.cancel();
        RoomApi::new(brief).delete_room(tenant, &call.room).await;
    }
    outcome
}

/// Whether nobody else deletes the room. `None`: we did not get in; the room may have come
/// to be all the same. One whose agent died is closed by the server, as it is empty.
fn is_ours_to_delete(outcome: Option<&RingOutcome>) -> bool {
    let agent_joined = |outcome: &RingOutcome| {
        let mut news = outcome.timeline.iter();
        news.any(|(_, news)| *news == RingNews::AgentJoined)
    };
    !outcome.is_some_and(agent_joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_an_agent_was_in_is_the_agents_to_delete() {
        let with = |news: RingNews| RingOutcome {
            timeline: vec![(Duration::ZERO, news)],
            end: RingEnd::TimeUp,
            sound: Vec::new(),
        };
        assert!(!is_ours_to_delete(Some(&with(RingNews::AgentJoined))));
        let room = "test".to_owned();
        assert!(is_ours_to_delete(Some(&with(RingNews::Ringing { room }))));
        assert!(is_ours_to_delete(None));
    }
}
