//! RTP header extensions.

use str0m::rtp::{Extension, ExtensionMap};

/// The header extensions understood, by URI.
///
/// Not among them: the transport-wide sequence number, and the feedback that goes with it. It is
/// what senders of video learn the bandwidth from. Audio takes what it needs whatever that is, and
/// feedback ten to twenty times a second each way would add a third to its packets, and the books
/// about them 90 kB to a connection. Loss and round trip come with the reports of RTCP. And str0m
/// 0.25 takes a number from before the first for one near 2⁶⁴, and lists all that is missing
/// between: memory without end, for one packet of a hostile peer.
const EXTENSIONS: [(&str, Extension); 2] = [
    (
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        Extension::AudioLevel,
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
