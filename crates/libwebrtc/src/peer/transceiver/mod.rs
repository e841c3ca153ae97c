//! A transceiver: what one section of the descriptions is for. What it has of either direction is in
//! [`sender`] and [`receiver`].

mod receiver;
mod sender;

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub(super) use self::sender::{Sending, check_sendable};
use self::{
    receiver::{Receive, remote_track},
    sender::{Counters, Send},
};
use super::{
    PeerShared,
    agreement::AudioAgreement,
    capabilities::{RedPreference, capabilities},
    encryption::Encryption,
    reports::{Report, Reports},
    state::State as Connection,
};
use crate::{
    MediaType, RtcError,
    audio::SourceMeter,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::{
        RtcpParameters, RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters,
        RtpHeaderExtensionParameters, RtpParameters,
    },
    rtp_transceiver::{RtpTransceiverDirection as Dir, RtpTransceiverInit},
    sdp,
    stats::RtcStats,
};

/// Sound or pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Audio,
    Video,
}

/// A transceiver. Its state has its own lock, taken inside the connection's.
pub(crate) struct TransceiverCore {
    kind: MediaKind,
    peer: Weak<PeerShared>,
    /// The driver's alarm.
    wake: Arc<Notify>,
    /// What we send with; for the life of the transceiver.
    ssrc: u32,
    state: Mutex<State>,
    /// Has locks of its own, taken where none or the connection's is held.
    pub(crate) encryption: Encryption,
    sent: Counters,
    measured: Mutex<Measured>,
}

/// What was measured and reported, for statistics. Taken alone.
#[derive(Clone, Copy, Default)]
pub(super) struct Measured {
    pub(super) reports: Reports,
    pub(super) source: SourceMeter,
    /// Bits a second that the encoder aims at.
    pub(super) bitrate: u32,
}

struct State {
    mid: Option<String>,
    direction: Dir,
    current: Option<Dir>,
    /// Made by `add_track`, and so open to a section that the peer offers. Source: RFC 8829,
    /// section 5.10.
    is_open_to_offers: bool,
    send: Send,
    receive: Receive,
    /// What was negotiated, while anything is.
    negotiated: Option<Negotiated>,
    red_preference: RedPreference,
}

#[derive(Clone)]
struct Negotiated {
    audio: AudioAgreement,
    extensions: Vec<(u8, String)>,
}

/// What a negotiation settled for a transceiver.
pub(super) struct Settled<'a> {
    pub(super) direction: Dir,
    /// Where the section carries audio.
    pub(super) audio: Option<AudioAgreement>,
    pub(super) extensions: &'a [(u8, String)],
    /// What the peer says that it sends.
    pub(super) remote: &'a sdp::Media,
}

/// What changed by it.
#[derive(Default)]
pub(super) struct Change {
    pub(super) unexpected: Vec<u32>,
    pub(super) expected: Vec<u32>,
    /// Whether a remote track has begun.
    pub(super) begun: bool,
}

impl TransceiverCore {
    pub(super) fn new(
        kind: MediaKind,
        peer: Weak<PeerShared>,
        track: Option<MediaStreamTrack>,
        init: RtpTransceiverInit,
        remote_track_id: Option<&str>,
        wake: Arc<Notify>,
    ) -> Arc<Self> {
        let id = remote_track_id.map_or_else(crate::native::create_random_uuid, str::to_owned);
        let mut encodings = init.send_encodings;
        if encodings.is_empty() {
            encodings.push(RtpEncodingParameters::default());
        }
        let receiver_track = remote_track(kind, &id, &wake);
        Arc::new(Self {
            kind,
            peer,
            wake,
            // 0 means a probe to the transport.
            ssrc: rand::random_range(1..=u32::MAX),
            state: Mutex::new(State {
                mid: None,
                direction: init.direction,
                current: None,
                is_open_to_offers: false,
                send: Send {
                    track,
                    stream_ids: init.stream_ids,
                    encodings,
                    degradation: None,
                },
                receive: Receive {
                    track: receiver_track,
                    msid: None,
                    ssrcs: Vec::new(),
                    is_spent: false,
                },
                negotiated: None,
                red_preference: RedPreference::default(),
            }),
            encryption: Encryption::default(),
            sent: Counters::default(),
            measured: Mutex::default(),
        })
    }

    pub(super) fn kind(&self) -> MediaKind {
        self.kind
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn belongs_to(&self, peer: &Arc<PeerShared>) -> bool {
        std::ptr::eq(self.peer.as_ptr(), Arc::as_ptr(peer))
    }

    pub(crate) fn mid(&self) -> Option<String> {
        self.state.lock().mid.clone()
    }

    pub(super) fn set_mid(&self, mid: Option<&str>) {
        self.state.lock().mid = mid.map(str::to_owned);
    }

    pub(crate) fn direction(&self) -> Dir {
        self.state.lock().direction
    }

    pub(crate) fn current_direction(&self) -> Option<Dir> {
        self.state.lock().current
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.direction() == Dir::Stopped
    }

    pub(super) fn open_to_offers(&self) {
        self.state.lock().is_open_to_offers = true;
    }

    pub(super) fn is_open_to_offers(&self) -> bool {
        let state = self.state.lock();
        state.is_open_to_offers && state.mid.is_none() && state.direction != Dir::Stopped
    }

    /// Whether `add_track` may use it: nothing was ever sent with it.
    pub(super) fn can_take(&self, kind: MediaKind) -> bool {
        let state = self.state.lock();
        let has_sent = matches!(state.current, Some(Dir::SendRecv | Dir::SendOnly));
        self.kind == kind
            && state.send.track.is_none()
            && state.direction != Dir::Stopped
            && !has_sent
    }

    /// Gives it a track to send, and the direction that goes with it.
    pub(super) fn take(&self, track: MediaStreamTrack, stream_ids: Vec<String>) {
        let mut state = self.state.lock();
        state.send.track = Some(track);
        state.send.stream_ids = stream_ids;
        state.direction = sdp::direction(true, sdp::receives(state.direction));
    }

    /// Takes the track away, and the direction that goes with it.
    pub(super) fn release(&self) {
        let mut state = self.state.lock();
        state.send.track = None;
        if state.direction != Dir::Stopped {
            state.direction = sdp::direction(false, sdp::receives(state.direction));
        }
    }

    pub(crate) fn stop(&self) -> Result<(), RtcError> {
        let peer = self.open_peer()?;
        self.end();
        peer.media_changed();
        Ok(())
    }

    /// Ends it for good.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.direction = Dir::Stopped;
        state.send.track = None;
        state.receive.msid = None;
        state.negotiated = None;
        let track = state.receive.track.clone();
        drop(state);
        track.end();
    }

    fn open_peer(&self) -> Result<Arc<PeerShared>, RtcError> {
        let peer = self.peer.upgrade().filter(|peer| !peer.is_closed());
        peer.ok_or_else(|| RtcError::invalid_state("the connection is closed"))
    }

    /// Takes over what was negotiated.
    pub(super) fn settle(&self, settled: &Settled<'_>) -> Change {
        let mut state = self.state.lock();
        state.current = Some(settled.direction);
        state.negotiated = settled.audio.map(|audio| Negotiated {
            audio,
            extensions: settled.extensions.to_vec(),
        });
        let mut change = Change::default();
        let is_receiving = sdp::receives(settled.direction);
        let ssrcs = if is_receiving {
            settled.remote.ssrcs.clone()
        } else {
            Vec::new()
        };
        let receive = &mut state.receive;
        change
            .unexpected
            .extend(receive.ssrcs.iter().filter(|ssrc| !ssrcs.contains(ssrc)));
        change
            .expected
            .extend(ssrcs.iter().filter(|ssrc| !receive.ssrcs.contains(ssrc)));
        receive.ssrcs = ssrcs;

        // Without a=msid a track still is one, under no stream in particular.
        let no_msid = || ("-".to_owned(), String::new());
        let msid = is_receiving.then(|| settled.remote.msid.clone().unwrap_or_else(no_msid));
        if msid == receive.msid {
            return change;
        }
        let ended = receive.msid.take().map(|_| {
            receive.is_spent = true;
            receive.track.clone()
        });
        if let Some(msid) = msid {
            if receive.is_spent {
                let id = if msid.1.is_empty() { &msid.0 } else { &msid.1 };
                receive.track = remote_track(self.kind, id, &self.wake);
                receive.is_spent = false;
            }
            receive.msid = Some(msid);
            change.begun = true;
        }
        drop(state);
        if let Some(track) = ended {
            self.encryption.forget_received();
            track.end();
        }
        change
    }

    /// Checks that something is left, and notes where Opus with copies stands. Otherwise the
    /// order is that of the engine: no video is decoded.
    pub(crate) fn set_codec_preferences(
        &self,
        codecs: &[RtpCodecCapability],
    ) -> Result<(), RtcError> {
        let known = capabilities(match self.kind {
            MediaKind::Audio => MediaType::Audio,
            MediaKind::Video => MediaType::Video,
        });
        let is_known = |codec: &RtpCodecCapability| {
            known
                .codecs
                .iter()
                .any(|known| known.mime_type.eq_ignore_ascii_case(&codec.mime_type))
        };
        if !codecs.is_empty() && !codecs.iter().any(is_known) {
            return Err(RtcError::invalid_state("none of these codecs is known"));
        }
        let place = |mime: &str| {
            codecs
                .iter()
                .position(|codec| codec.mime_type.eq_ignore_ascii_case(mime))
        };
        self.state.lock().red_preference = match (place("audio/red"), place("audio/opus")) {
            (Some(red), Some(opus)) if red < opus => RedPreference::First,
            (None, Some(_)) => RedPreference::Never,
            _ => RedPreference::Last,
        };
        Ok(())
    }

    pub(super) fn red_preference(&self) -> RedPreference {
        self.state.lock().red_preference
    }

    fn parameters(&self, state: &State) -> RtpParameters {
        let Some(negotiated) = &state.negotiated else {
            return RtpParameters::default();
        };
        RtpParameters {
            codecs: codec_parameters(&negotiated.audio),
            header_extensions: negotiated
                .extensions
                .iter()
                .map(|(id, uri)| RtpHeaderExtensionParameters {
                    uri: uri.clone(),
                    id: i32::from(*id),
                    encrypted: false,
                })
                .collect(),
            encodings: Vec::new(),
            rtcp: RtcpParameters {
                cname: String::new(),
                reduced_size: true,
            },
            degradation_preference: None,
        }
    }

    pub(crate) fn sender_stats(&self) -> Vec<RtcStats> {
        self.with_connection(|state| super::stats::of_sender(state, self))
    }

    pub(crate) fn receiver_stats(&self) -> Vec<RtcStats> {
        self.with_connection(|state| super::stats::of_receiver(state, self))
    }

    /// Asks the connection, whose lock comes before ours; nothing where it is gone.
    fn with_connection<R: Default>(&self, ask: impl FnOnce(&Connection) -> R) -> R {
        let peer = self.peer.upgrade();
        peer.map(|peer| ask(&peer.state.lock())).unwrap_or_default()
    }

    pub(super) fn measured(&self) -> Measured {
        *self.measured.lock()
    }

    /// Notes what the encoder sees of its source.
    pub(super) fn note_source(&self, source: SourceMeter, bitrate: u32) {
        let mut measured = self.measured.lock();
        measured.source = source;
        measured.bitrate = bitrate;
    }

    /// Notes what the transport reports.
    pub(super) fn note_report(&self, now: Instant, report: &Report) {
        let reports = &mut self.measured.lock().reports;
        match report {
            Report::Sent(sent) => reports.sent(now, *sent),
            Report::Received(received) => reports.received(*received),
            Report::Sender { at } => reports.sender(*at),
            Report::Path(_) => {}
        }
    }

    pub(super) fn agreement(&self) -> Option<AudioAgreement> {
        let state = self.state.lock();
        state.negotiated.as_ref().map(|negotiated| negotiated.audio)
    }
}

fn codec_parameters(audio: &AudioAgreement) -> Vec<RtpCodecParameters> {
    let parameters = |payload_type, mime_type: &str| RtpCodecParameters {
        payload_type,
        mime_type: mime_type.to_owned(),
        clock_rate: Some(48_000),
        channels: Some(2),
    };
    let mut codecs = vec![parameters(audio.opus, "audio/opus")];
    if let Some(red) = audio.red {
        let place = usize::from(!audio.prefers_red);
        codecs.insert(place, parameters(red, "audio/red"));
    }
    codecs
}
