//! What happened in a call, and when.

use std::fmt;
use std::time::{Duration, Instant};

use livekit::DisconnectReason;

/// The instants of a call, as the phone saw them.
#[derive(Clone, PartialEq, Eq)]
pub struct Timeline {
    /// The number was dialled.
    pub rang: Instant,
    /// The room was created and joined.
    pub joined: Option<Instant>,
    /// The first agent was in the room.
    pub agent_joined: Option<Instant>,
    /// The first audio track was published.
    pub published: Option<Instant>,
    /// The phone was picked up because of it: `200 OK`.
    pub answered: Option<Instant>,
    /// Both sides hear each other from here on.
    pub active: Option<Instant>,
    /// Something was heard that was not silence.
    pub first_sound: Option<Instant>,
    /// When the phone's own connection to the room was away: nobody could have been heard.
    pub away: Vec<Away>,
    /// It was over.
    pub ended: Option<Ended>,
}

/// A time without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// When it was noticed.
    pub from: Instant,
    /// When it was over, if it is.
    pub to: Option<Instant>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When the phone noticed, or did it.
    pub at: Instant,
    /// How.
    pub how: Ending,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The caller hung up.
    HungUp,
    /// The caller gave up while it rang: CANCEL.
    GaveUp,
    /// Nobody picked up in time.
    RangOut,
    /// The caller was removed from the room: BYE, or 486 while it rang.
    Removed,
    /// The room was deleted: BYE, or 486 while it rang.
    RoomDeleted,
    /// The connection was lost, or something else that no agent does.
    Lost(String),
}

impl From<DisconnectReason> for Ending {
    fn from(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::ParticipantRemoved => Self::Removed,
            DisconnectReason::RoomDeleted => Self::RoomDeleted,
            other => Self::Lost(other.as_str_name().to_owned()),
        }
    }
}

impl Timeline {
    pub(super) fn starting(rang: Instant) -> Self {
        Self {
            rang,
            joined: None,
            agent_joined: None,
            published: None,
            answered: None,
            active: None,
            first_sound: None,
            away: Vec::new(),
            ended: None,
        }
    }

    /// From dialling to the answer.
    #[must_use]
    pub fn pickup(&self) -> Option<Duration> {
        Some(self.answered?.duration_since(self.rang))
    }

    /// From where the caller could hear to where there was something to hear.
    #[must_use]
    pub fn active_to_first_sound(&self) -> Option<Duration> {
        Some(self.first_sound?.duration_since(self.active?))
    }
}

/// In milliseconds since the number was dialled: `rang 0, joined 43, …`.
impl fmt::Debug for Timeline {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |at: Instant| at.duration_since(self.rang).as_millis();
        write!(out, "rang 0")?;
        for (what, at) in [
            ("joined", self.joined),
            ("agent joined", self.agent_joined),
            ("published", self.published),
            ("answered", self.answered),
            ("active", self.active),
            ("first sound", self.first_sound),
        ] {
            match at {
                Some(at) => write!(out, ", {what} {}", ms(at))?,
                None => write!(out, ", not {what}")?,
            }
        }
        match &self.ended {
            Some(ended) => write!(out, ", ended {} ({:?})", ms(ended.at), ended.how),
            None => write!(out, ", not ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_reads_as_milliseconds_since_dialling() {
        let rang = Instant::now();
        let mut timeline = Timeline::starting(rang);
        timeline.answered = Some(rang + Duration::from_millis(512));
        timeline.ended = Some(Ended {
            at: rang + Duration::from_millis(900),
            how: DisconnectReason::RoomDeleted.into(),
        });
        assert_eq!(
            format!("{timeline:?}"),
            "rang 0, not joined, not agent joined, not published, answered 512, not active, \
             not first sound, ended 900 (RoomDeleted)"
        );
        assert_eq!(timeline.pickup(), Some(Duration::from_millis(512)));
        assert_eq!(timeline.active_to_first_sound(), None);
    }
}
