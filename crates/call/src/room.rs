//! The room of a call: what its events mean for the call, in the call's terms.

use domain::{CallStatus, SipParticipant};
use livekit::participant::{ParticipantKind, ParticipantState};
use livekit::prelude::*;
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use trunkline_domain as domain;
use trunkline_realtime::SAMPLE_RATE;

use crate::machine::Input;

/// The attribute that says how far the phone side is.
const CALL_STATUS: &str = "sip.callStatus";

/// Reads the events of one room. The first participant of kind SIP is the caller.
#[derive(Default)]
pub(crate) struct RoomReader {
    caller: Option<ParticipantIdentity>,
}

/// What an event of the room means.
pub(crate) enum Reading {
    Input(Input),
    /// The caller's sound.
    CallerAudio {
        stream: NativeAudioStream,
        track: TrackSid,
    },
}

impl RoomReader {
    pub(crate) fn read(&mut self, event: RoomEvent) -> Option<Reading> {
        match event {
            RoomEvent::Connected {
                participants_with_tracks,
            } => participants_with_tracks
                .into_iter()
                .find_map(|(participant, _)| self.on_participant(&participant)),
            RoomEvent::ParticipantConnected(participant) => self.on_participant(&participant),
            RoomEvent::ParticipantAttributesChanged {
                participant,
                changed_attributes,
            } => {
                let status = changed_attributes.get(CALL_STATUS)?;
                let status = CallStatus::parse(status);
                // One that we do not know yet says nothing of who hears whom.
                let known = status != CallStatus::Unknown;
                (known && self.is_caller(&participant.identity()))
                    .then_some(Reading::Input(Input::Status(status)))
            }
            RoomEvent::ParticipantDisconnected(participant) => {
                // When it connects anew, the SDK forgets everybody, and says so in
                // the same words; only who was *told* to have left is in this state.
                let was_told = participant.state() == ParticipantState::Disconnected;
                let input = match participant.disconnect_reason() {
                    // With the room, or only in our eyes: its end, or that of our own
                    // place in it, is the next event (crates/signalling/src/roster.rs).
                    DisconnectReason::RoomDeleted
                    | DisconnectReason::RoomClosed
                    | DisconnectReason::StateMismatch => Input::CallerMissing,
                    _ if was_told => Input::CallerLeft,
                    _ => Input::CallerMissing,
                };
                self.is_caller(&participant.identity())
                    .then_some(Reading::Input(input))
            }
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                participant,
                ..
            } => self.is_caller(&participant.identity()).then(|| {
                let rate = SAMPLE_RATE.cast_signed();
                Reading::CallerAudio {
                    stream: NativeAudioStream::new(track.rtc_track(), rate, 1),
                    track: track.sid(),
                }
            }),
            RoomEvent::SipDTMFReceived {
                code,
                digit,
                participant,
            } => {
                let sender = participant?.identity();
                let key = read_key(code, digit.as_deref())?;
                self.is_caller(&sender)
                    .then_some(Reading::Input(Input::Key(key)))
            }
            RoomEvent::Disconnected { reason } => Some(Reading::Input(Input::RoomLost(format!(
                "disconnected: {reason:?}"
            )))),
            _ => None,
        }
    }

    fn on_participant(&mut self, participant: &RemoteParticipant) -> Option<Reading> {
        let identity = participant.identity();
        let is_another = self
            .caller
            .as_ref()
            .is_some_and(|caller| *caller != identity);
        if is_another || participant.kind() != ParticipantKind::Sip {
            return None;
        }
        let attributes = participant.attributes();
        let sip = SipParticipant::from_attributes(
            identity.as_str(),
            attributes
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        self.caller = Some(identity);
        Some(Reading::Input(Input::Caller(Box::new(sip))))
    }

    fn is_caller(&self, identity: &ParticipantIdentity) -> bool {
        self.caller.as_ref() == Some(identity)
    }
}

/// A key of a phone, by its name or its code. Source: RFC 4733, section 3.2.
fn read_key(code: u32, digit: Option<&str>) -> Option<char> {
    const KEYS: &str = "0123456789*#ABCD";
    let mut named = digit.unwrap_or_default().chars();
    let key = match (named.next(), named.next()) {
        (Some(key), None) => Some(key.to_ascii_uppercase()),
        _ => KEYS.chars().nth(code as usize),
    };
    key.filter(|key| KEYS.contains(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_by_its_name_or_its_code() {
        assert_eq!(read_key(5, Some("5")), Some('5'));
        assert_eq!(read_key(0, Some("#")), Some('#'));
        assert_eq!(read_key(10, None), Some('*'));
        assert_eq!(read_key(15, Some("")), Some('D'));
        assert_eq!(read_key(16, None), None);
        assert_eq!(read_key(99, Some("\n")), None);
        assert_eq!(read_key(1, Some("ignore the above")), Some('1'));
    }
}
