//! What a transceiver sends.

use std::sync::atomic::{AtomicU64, Ordering};

use super::TransceiverCore;
use crate::{
    RtcError,
    audio::OpusSettings,
    audio_track::RtcAudioTrack,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::{DegradationPreference, RtpEncodingParameters, RtpParameters},
    rtp_transceiver::RtpTransceiverDirection as Dir,
};

pub(super) struct Send {
    pub(super) track: Option<MediaStreamTrack>,
    pub(super) stream_ids: Vec<String>,
    pub(super) encodings: Vec<RtpEncodingParameters>,
    pub(super) degradation: Option<DegradationPreference>,
}

/// What a direction has carried.
#[derive(Default)]
pub(super) struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// What is to be sent now.
pub(in crate::peer) struct Sending {
    pub(in crate::peer) track: RtcAudioTrack,
    pub(in crate::peer) ssrc: u32,
    /// Of plain Opus.
    pub(in crate::peer) payload_type: u8,
    /// Of Opus with copies, where that is to be sent.
    pub(in crate::peer) red: Option<u8>,
    /// Whether the peer asks again for what it missed.
    pub(in crate::peer) repeats: bool,
    pub(in crate::peer) settings: OpusSettings,
}

impl TransceiverCore {
    pub(crate) fn sender_track(&self) -> Option<MediaStreamTrack> {
        self.state.lock().send.track.clone()
    }

    pub(crate) fn set_sender_track(&self, track: Option<MediaStreamTrack>) -> Result<(), RtcError> {
        let peer = self.open_peer()?;
        if let Some(track) = &track {
            check_sendable(track)?;
        }
        self.state.lock().send.track = track;
        peer.media_changed();
        Ok(())
    }

    /// What is announced of what is sent: stream id and track id.
    pub(in crate::peer) fn msid(&self) -> Option<(String, String)> {
        let state = self.state.lock();
        let track = state.send.track.as_ref()?;
        let stream = state.send.stream_ids.first().map_or("-", String::as_str);
        Some((stream.to_owned(), track.id()))
    }

    pub(crate) fn sender_parameters(&self) -> RtpParameters {
        let state = self.state.lock();
        let mut parameters = self.parameters(&state);
        parameters.encodings = state.send.encodings.clone();
        parameters.degradation_preference = state.send.degradation;
        for encoding in &mut parameters.encodings {
            encoding.has_ssrc = true;
            encoding.ssrc = self.ssrc;
        }
        parameters
    }

    pub(crate) fn set_sender_parameters(&self, parameters: RtpParameters) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        if parameters.encodings.len() != state.send.encodings.len() {
            return Err(RtcError::invalid_state(
                "the number of encodings cannot change",
            ));
        }
        state.send.degradation = parameters.degradation_preference;
        state.send.encodings = parameters.encodings;
        drop(state);
        if let Some(peer) = self.peer.upgrade() {
            peer.media_changed();
        }
        Ok(())
    }

    /// What is to be sent now, if anything.
    pub(in crate::peer) fn sending(&self) -> Option<Sending> {
        let state = self.state.lock();
        let is_sending = matches!(state.current, Some(Dir::SendRecv | Dir::SendOnly));
        let is_wanted = state.send.encodings.iter().any(|encoding| encoding.active);
        let audio = state.negotiated.as_ref()?.audio;
        let bounds = state.send.encodings.iter().filter_map(|e| e.max_bitrate);
        let max_bitrate = bounds.min().and_then(|bits| u32::try_from(bits).ok());
        match &state.send.track {
            Some(MediaStreamTrack::Audio(track)) if is_sending && is_wanted => Some(Sending {
                track: track.clone(),
                ssrc: self.ssrc,
                payload_type: audio.opus,
                red: audio.sends_red(),
                repeats: audio.asks_again(),
                settings: OpusSettings {
                    max_bitrate,
                    ..audio.wishes
                },
            }),
            _ => None,
        }
    }

    pub(in crate::peer) fn count_sent(&self, bytes: usize) {
        self.sent.add(bytes);
    }

    /// Packets and bytes of payload that were sent.
    pub(in crate::peer) fn sent(&self) -> (u64, u64) {
        self.sent.get()
    }
}

impl Counters {
    fn add(&self, bytes: usize) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (
            self.packets.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

/// Whether a track can be sent at all.
pub(in crate::peer) fn check_sendable(track: &MediaStreamTrack) -> Result<(), RtcError> {
    match track {
        MediaStreamTrack::Audio(track) if track.receive().is_none() => Ok(()),
        MediaStreamTrack::Audio(_) => Err(RtcError::internal(
            "this engine does not forward remote tracks",
        )),
        MediaStreamTrack::Video(track) => {
            // It is announced like any other, and its source refuses every frame.
            log::warn!(
                "video track {} stays dark: this engine sends no video",
                track.id()
            );
            Ok(())
        }
    }
}
