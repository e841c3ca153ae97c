//! What can be negotiated.

use super::{agreement::NACK, engine};
use crate::{
    MediaType,
    rtp_parameters::{RtpCapabilities, RtpCodecCapability, RtpHeaderExtensionCapability},
    rtp_transceiver::RtpTransceiverDirection,
    sdp::Codec,
};

/// Payload type of Opus in our offers: the one every browser uses.
pub(super) const OPUS_PAYLOAD_TYPE: u8 = 111;

/// Payload type of Opus with copies (RFC 2198) in our offers: the one every browser uses.
const RED_PAYLOAD_TYPE: u8 = 63;

/// Frames of 10 ms and more, and in-band error correction.
const OPUS_FMTP: &str = "minptime=10;useinbandfec=1";

/// Video codecs in our offers, with payload type and parameters. None is decoded: they are named
/// so that rooms with video negotiate and show their tracks.
const VIDEO: [(u8, &str, Option<&str>); 4] = [
    (96, "VP8", None),
    (98, "VP9", Some("profile-id=0")),
    (
        102,
        "H264",
        Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    ),
    (45, "AV1", Some("level-idx=5;profile=0;tier=0")),
];

/// What can be sent or received.
pub(crate) fn capabilities(media_type: MediaType) -> RtpCapabilities {
    let (kind, codecs) = match media_type {
        MediaType::Audio => ("audio", offer_audio(RedPreference::Last)),
        MediaType::Video => ("video", video()),
        MediaType::Data | MediaType::Unsupported => ("", Vec::new()),
    };
    let codecs = codecs.into_iter().map(|codec| RtpCodecCapability {
        channels: codec.channels.map(u16::from),
        clock_rate: Some(u64::from(codec.clock_rate)),
        mime_type: format!("{kind}/{}", codec.name),
        sdp_fmtp_line: codec.fmtp,
    });
    let extension = |(_, uri)| RtpHeaderExtensionCapability {
        uri,
        direction: RtpTransceiverDirection::SendRecv,
    };
    let has_extensions = media_type == MediaType::Audio;
    let extensions = engine::own_extensions()
        .into_iter()
        .filter(|_| has_extensions);
    RtpCapabilities {
        codecs: codecs.collect(),
        header_extensions: extensions.map(extension).collect(),
    }
}

/// Where Opus with copies stands among the codecs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum RedPreference {
    /// Where the peer has put it; last in our offers, as in every browser's.
    #[default]
    Last,
    First,
    /// Not wanted.
    Never,
}

/// The audio codecs of our offers, in order.
pub(super) fn offer_audio(preference: RedPreference) -> Vec<Codec> {
    let (opus, red) = (
        opus(OPUS_PAYLOAD_TYPE),
        red(RED_PAYLOAD_TYPE, OPUS_PAYLOAD_TYPE),
    );
    match preference {
        RedPreference::Last => vec![opus, red],
        RedPreference::First => vec![red, opus],
        RedPreference::Never => vec![opus],
    }
}

/// Opus as we write it.
fn opus(payload_type: u8) -> Codec {
    Codec {
        payload_type,
        name: "opus".to_owned(),
        clock_rate: 48_000,
        channels: Some(2),
        fmtp: Some(OPUS_FMTP.to_owned()),
        feedback: vec![NACK.to_owned()],
    }
}

/// Opus with copies as we write it.
fn red(payload_type: u8, opus: u8) -> Codec {
    Codec {
        payload_type,
        name: "red".to_owned(),
        clock_rate: 48_000,
        channels: Some(2),
        fmtp: Some(format!("{opus}/{opus}")),
        feedback: Vec::new(),
    }
}

/// The video codecs as we write them.
pub(super) fn video() -> Vec<Codec> {
    let codec = |(payload_type, name, fmtp): (u8, &str, Option<&str>)| Codec {
        payload_type,
        name: name.to_owned(),
        clock_rate: 90_000,
        channels: None,
        fmtp: fmtp.map(str::to_owned),
        feedback: Vec::new(),
    };
    VIDEO.into_iter().map(codec).collect()
}

/// Our answer to the codecs of an audio section: Opus under the peer's number, if it is there,
/// and the same with copies; in the peer's order, unless another is preferred.
pub(super) fn answer_audio(offered: &[Codec], preference: RedPreference) -> Vec<Codec> {
    let Some(place) = offered.iter().position(is_opus) else {
        return Vec::new();
    };
    let theirs = &offered[place];
    let mut ours = opus(theirs.payload_type);
    ours.feedback
        .retain(|feedback| theirs.feedback.contains(feedback));
    let Some((red_place, theirs_red)) = red_of(offered, theirs.payload_type) else {
        return vec![ours];
    };
    let ours_red = red(theirs_red.payload_type, theirs.payload_type);
    match preference {
        RedPreference::Never => vec![ours],
        RedPreference::Last if place < red_place => vec![ours, ours_red],
        RedPreference::Last | RedPreference::First => vec![ours_red, ours],
    }
}

/// Our answer to the codecs of a video section: those known, as the peer writes them.
pub(super) fn answer_video(offered: &[Codec]) -> Vec<Codec> {
    let is_known = |codec: &&Codec| VIDEO.iter().any(|(_, name, _)| codec.is(name));
    let known = offered.iter().filter(is_known);
    known
        .map(|codec| Codec {
            feedback: Vec::new(),
            ..codec.clone()
        })
        .collect()
}

/// Whether a codec is the Opus of RFC 7587.
pub(super) fn is_opus(codec: &Codec) -> bool {
    codec.is("opus") && codec.clock_rate == 48_000
}

/// The codec that repeats a given Opus, and its place: its parameters name nothing else.
pub(super) fn red_of(codecs: &[Codec], opus: u8) -> Option<(usize, &Codec)> {
    let repeats_opus = |fmtp: &str| {
        let mut levels = fmtp.split('/');
        levels.all(|level| level.trim().parse() == Ok(opus))
    };
    codecs.iter().enumerate().find(|(_, codec)| {
        let is_red = codec.is("red") && codec.clock_rate == 48_000;
        is_red && codec.fmtp.as_deref().is_some_and(repeats_opus)
    })
}
