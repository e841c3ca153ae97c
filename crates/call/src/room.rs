//! The room of a call: what its events mean for the call, in the call's terms.

use domain::{CallStatus, SipParticipant};
use livekit::participant::ParticipantKind;
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
                self.is_caller(&participant.identity())
                    .then(|| Reading::Input(Input::Status(CallStatus::parse(status))))
            }
            RoomEvent::ParticipantDisconnected(participant) => self
                .is_caller(&participant.identity())
                .then_some(Reading::Input(Input::CallerLeft)),
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
        if self.caller.is_some() || participant.kind() != ParticipantKind::Sip {
            return None;
        }
        let identity = participant.identity();
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
