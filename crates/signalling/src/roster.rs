//! Who is in the room, so that they leave it before it ends.
//!
//! In the SDK (`livekit` 0.10.0) a participant keeps its publications
//! (`ParticipantInner::track_publications`), and each publication keeps the participant: in the
//! closures `RemoteEvents::subscribed` and `unsubscribed`, and `PublicationEvents::muted` and
//! `unmuted`, which `RemoteParticipant::add_publication` sets. With them go the room's engine and
//! its channels, some 78 kB. Only `remove_publication` breaks the circle, and that is called when
//! the server says that the participant has left, and when a connection is made anew; not when
//! the room ends. A server that deletes a room tells its participants in any order of their own
//! end and of the others': who hears of its own first keeps the room for ever.
//!
//! So, before a message that ends our place in the room for good, everybody is said to have left
//! whom the server has not said to. It is true: from here on they are not in any room of ours.

use std::collections::HashMap;

use livekit_protocol::leave_request::Action;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message;
use livekit_protocol::{
    DisconnectReason, LeaveRequest, ParticipantInfo, ParticipantUpdate, SignalResponse,
};
use prost::Message as _;

/// The most that are kept in mind; a phone call has a handful. The SDK keeps the memory of a room
/// that ends with more.
const MAX_OTHERS: usize = 1_000;

/// See the module. Reads what the server says, in order.
#[derive(Default)]
pub(crate) struct Roster {
    /// Our own identity; not told on a connection that resumes another.
    us: Option<String>,
    /// By identity, as they were last described, without their tracks.
    others: HashMap<String, ParticipantInfo>,
}

impl Roster {
    /// Takes what the server says. Returns what has to be said before it.
    pub(crate) fn read(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        // What is no message is the SDK's to complain about.
        match SignalResponse::decode(frame).ok()?.message? {
            Message::Join(join) => {
                self.us = join.participant.map(|us| us.identity);
                self.note(join.other_participants);
                None
            }
            Message::Update(update) => {
                self.note(update.participants);
                None
            }
            Message::RoomMoved(moved) => {
                self.others.clear();
                self.note(moved.other_participants);
                None
            }
            Message::Leave(leave) if leave.action() == Action::Disconnect => self.farewell(&leave),
            _ => None,
        }
    }

    fn note(&mut self, participants: Vec<ParticipantInfo>) {
        for mut participant in participants {
            if self.us.as_ref() == Some(&participant.identity) {
                continue;
            }
            if participant.state() == State::Disconnected {
                self.others.remove(&participant.identity);
                continue;
            }
            participant.tracks = Vec::new();
            participant.data_tracks = Vec::new();
            if self.others.len() < MAX_OTHERS || self.others.contains_key(&participant.identity) {
                self.others
                    .insert(participant.identity.clone(), participant);
            }
        }
    }

    fn farewell(&mut self, leave: &LeaveRequest) -> Option<Vec<u8>> {
        if self.others.is_empty() {
            return None;
        }
        let reason = match leave.reason() {
            reason @ (DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed) => reason,
            // It is we who were sent away: of the others nothing is known any more.
            _ => DisconnectReason::StateMismatch,
        };
        let participants = self
            .others
            .drain()
            .map(|(_, mut participant)| {
                participant.set_state(State::Disconnected);
                participant.set_disconnect_reason(reason);
                participant
            })
            .collect();
        let update = Message::Update(ParticipantUpdate { participants });
        let response = SignalResponse {
            message: Some(update),
        };
        Some(response.encode_to_vec())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use livekit_protocol::{JoinResponse, TrackInfo};

    use super::*;

    fn participant(identity: &str) -> ParticipantInfo {
        ParticipantInfo {
            sid: format!("PA_{identity}"),
            identity: identity.to_owned(),
            name: "Somebody".to_owned(),
            state: State::Active.into(),
            tracks: vec![TrackInfo::default()],
            ..ParticipantInfo::default()
        }
    }

    fn said(message: Message) -> Vec<u8> {
        let message = Some(message);
        SignalResponse { message }.encode_to_vec()
    }

    /// The answer to our joining as `us`.
    pub(crate) fn joined(others: &[&str]) -> Vec<u8> {
        said(Message::Join(JoinResponse {
            participant: Some(participant("us")),
            other_participants: others.iter().map(|other| participant(other)).collect(),
            ..JoinResponse::default()
        }))
    }

    fn updated(participants: Vec<ParticipantInfo>) -> Vec<u8> {
        said(Message::Update(ParticipantUpdate { participants }))
    }

    fn left(identity: &str) -> Vec<u8> {
        let mut participant = participant(identity);
        participant.set_state(State::Disconnected);
        updated(vec![participant])
    }

    fn leave(action: Action, reason: DisconnectReason) -> Vec<u8> {
        said(Message::Leave(LeaveRequest {
            action: action.into(),
            reason: reason.into(),
            ..LeaveRequest::default()
        }))
    }

    /// The room's end.
    pub(crate) fn deleted() -> Vec<u8> {
        leave(Action::Disconnect, DisconnectReason::RoomDeleted)
    }

    /// Who is said to have left before the last of these.
    fn leavers(frames: &[Vec<u8>]) -> Vec<ParticipantInfo> {
        let mut roster = Roster::default();
        let (last, before) = frames.split_last().unwrap();
        for frame in before {
            assert_eq!(roster.read(frame), None);
        }
        let Some(first) = roster.read(last) else {
            return Vec::new();
        };
        assert_eq!(roster.read(last), None, "nobody leaves twice");
        match SignalResponse::decode(first.as_slice()).unwrap().message {
            Some(Message::Update(update)) => update.participants,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everybody_leaves_before_the_room_is_deleted() {
        let mut leavers = leavers(&[
            joined(&["caller"]),
            updated(vec![participant("late"), participant("us")]),
            deleted(),
        ]);
        leavers.sort_by(|a, b| a.identity.cmp(&b.identity));
        let identities: Vec<_> = leavers.iter().map(|p| p.identity.as_str()).collect();
        assert_eq!(identities, ["caller", "late"], "and we do not");
        for leaver in leavers {
            assert_eq!(leaver.state(), State::Disconnected);
            assert_eq!(leaver.disconnect_reason(), DisconnectReason::RoomDeleted);
            assert_eq!(leaver.name, "Somebody", "nothing else changes");
            assert!(leaver.tracks.is_empty());
        }
    }

    #[test]
    fn whom_the_server_said_to_have_left_does_not_leave_again() {
        assert!(leavers(&[joined(&["caller"]), left("caller"), deleted()]).is_empty());
        assert!(leavers(&[joined(&[]), deleted()]).is_empty());
    }

    #[test]
    fn a_connection_that_is_to_be_made_anew_is_no_end() {
        for action in [Action::Resume, Action::Reconnect] {
            let again = leave(action, DisconnectReason::ServerShutdown);
            assert!(leavers(&[joined(&["caller"]), again]).is_empty());
        }
    }

    #[test]
    fn who_is_left_behind_when_we_are_sent_away_is_not_said_to_have_hung_up() {
        let removed = leave(Action::Disconnect, DisconnectReason::ParticipantRemoved);
        let leavers = leavers(&[joined(&["caller"]), removed]);
        assert_eq!(
            leavers[0].disconnect_reason(),
            DisconnectReason::StateMismatch
        );
    }

    #[test]
    fn a_crowd_is_kept_in_mind_up_to_a_bound() {
        let crowd = (0..MAX_OTHERS + 10).map(|n| participant(&n.to_string()));
        let frames = [joined(&[]), updated(crowd.collect()), deleted()];
        assert_eq!(leavers(&frames).len(), MAX_OTHERS);
    }

    #[test]
    fn what_is_no_message_is_passed_over() {
        let mut roster = Roster::default();
        for frame in [&b""[..], b"\xff\xff\xff", b"no message at all"] {
            assert_eq!(roster.read(frame), None);
        }
    }
}
