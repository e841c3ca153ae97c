//! What a transceiver receives.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{MediaKind, TransceiverCore};
use crate::{
    audio::{Packing, ReceiveTrack},
    audio_track::RtcAudioTrack,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::RtpParameters,
    video_track::RtcVideoTrack,
};

pub(super) struct Receive {
    pub(super) track: MediaStreamTrack,
    /// Stream id and track id of the peer, while it sends.
    pub(super) msid: Option<(String, String)>,
    /// Sources that the transport was told to expect.
    pub(super) ssrcs: Vec<u32>,
    /// Whether the track has begun and ended, and another must take its place.
    pub(super) is_spent: bool,
}

impl TransceiverCore {
    pub(crate) fn receiver_track(&self) -> MediaStreamTrack {
        self.state.lock().receive.track.clone()
    }

    /// Whether the peer sends, as far as was negotiated.
    pub(in crate::peer) fn is_receiving(&self) -> bool {
        self.state.lock().receive.msid.is_some()
    }

    pub(crate) fn receiver_stream_ids(&self) -> Vec<String> {
        let state = self.state.lock();
        state
            .receive
            .msid
            .iter()
            .map(|(stream, _)| stream.clone())
            .collect()
    }

    pub(crate) fn receiver_streams(&self) -> Vec<MediaStream> {
        let state = self.state.lock();
        let stream = |(id, _): &(String, String)| {
            MediaStream::new(id.clone(), vec![state.receive.track.clone()])
        };
        state.receive.msid.iter().map(stream).collect()
    }

    pub(crate) fn receiver_parameters(&self) -> RtpParameters {
        let state = self.state.lock();
        self.parameters(&state)
    }

    /// Where packets of a payload type go, if anywhere, and what they carry.
    pub(in crate::peer) fn receiving(&self, payload_type: u8) -> Option<(ReceiveTrack, Packing)> {
        let state = self.state.lock();
        let packing = state.negotiated.as_ref()?.audio.packing(payload_type)?;
        let is_receiving = state.receive.msid.is_some();
        match &state.receive.track {
            MediaStreamTrack::Audio(track) if is_receiving => {
                Some((track.receive()?.clone(), packing))
            }
            _ => None,
        }
    }

    /// The track to be ticked, if it is live.
    pub(in crate::peer) fn live_track(&self) -> Option<ReceiveTrack> {
        let state = self.state.lock();
        match &state.receive.track {
            MediaStreamTrack::Audio(track) if !state.receive.is_spent => track.receive().cloned(),
            _ => None,
        }
    }

    pub(in crate::peer) fn expects(&self, ssrc: u32) -> bool {
        self.state.lock().receive.ssrcs.contains(&ssrc)
    }
}

pub(super) fn remote_track(kind: MediaKind, id: &str, wake: &Arc<Notify>) -> MediaStreamTrack {
    match kind {
        MediaKind::Audio => RtcAudioTrack::remote(id, ReceiveTrack::new(Arc::clone(wake))).into(),
        MediaKind::Video => RtcVideoTrack::remote(id).into(),
    }
}
