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
    CallerAudio(NativeAudioStream),
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
                Reading::CallerAudio(NativeAudioStream::new(track.rtc_track(), rate, 1))
            }),
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
        Some(Reading::Input(Input::Caller(sip)))
    }

    fn is_caller(&self, identity: &ParticipantIdentity) -> bool {
        self.caller.as_ref() == Some(identity)
    }
}
