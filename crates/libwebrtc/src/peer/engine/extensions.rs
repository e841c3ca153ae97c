//! RTP header extensions.

use str0m::rtp::{Extension, ExtensionMap};

/// The header extensions understood, by URI.
const EXTENSIONS: [(&str, Extension); 3] = [
    (
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        Extension::AudioLevel,
    ),
    (
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        Extension::TransportSequenceNumber,
    ),
    ("urn:ietf:params:rtp-hdrext:sdes:mid", Extension::RtpMid),
];

/// Highest id of an extension in the one-byte form. Source: RFC 8285, section 4.2.
const MAX_EXTENSION_ID: u8 = 14;

/// The extensions of `offered` that are understood.
pub(in crate::peer) fn supported_extensions(offered: &[(u8, String)]) -> Vec<(u8, String)> {
    let supported = |(id, uri): &&(u8, String)| {
        (1..=MAX_EXTENSION_ID).contains(id) && EXTENSIONS.iter().any(|(known, _)| known == uri)
    };
    offered.iter().filter(supported).cloned().collect()
}

/// The extensions of our own offers.
pub(in crate::peer) fn own_extensions() -> Vec<(u8, String)> {
    (1..)
        .zip(EXTENSIONS)
        .map(|(id, (uri, _))| (id, uri.to_owned()))
        .collect()
}

/// The extensions of a connection as str0m has them.
pub(super) fn str0m_extensions(agreed: &[(u8, String)]) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for (id, uri) in agreed {
        if let Some((_, extension)) = EXTENSIONS.iter().find(|(known, _)| known == uri) {
            map.set(*id, extension.clone());
        }
    }
    map
}

/// The ids of the extension that carries numbers for feedback.
pub(super) fn feedback_ids(agreed: &[(u8, String)]) -> Vec<u8> {
    let is_feedback = |uri: &str| {
        let known = EXTENSIONS.iter().find(|(known, _)| *known == uri);
        known.is_some_and(|(_, extension)| *extension == Extension::TransportSequenceNumber)
    };
    let ids = agreed.iter().filter(|(_, uri)| is_feedback(uri));
    ids.map(|(id, _)| *id).collect()
}
