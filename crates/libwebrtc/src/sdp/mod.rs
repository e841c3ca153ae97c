//! Session descriptions as values: what this engine reads of them and writes into them.
//!
//! Reading never fails on what it does not know, only on what it needs and cannot read. Nothing
//! here knows of connections; JSEP (`crate::peer`) decides what the values mean.

pub(crate) mod candidate;
mod parse;
mod write;

pub(crate) use parse::parse;

use crate::rtp_transceiver::RtpTransceiverDirection as Direction;

/// A whole description.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Session {
    /// Session id and version of `o=`.
    pub(crate) origin: (u64, u64),
    /// `a=ice-lite`.
    pub(crate) ice_lite: bool,
    /// Attributes that may stand before the first section and hold for all of them.
    pub(crate) transport: Transport,
    pub(crate) sections: Vec<Section>,
}

/// How the peer is reached and known. May be given per session or per section.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Transport {
    pub(crate) ice: Option<IceCredentials>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) setup: Option<Setup>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IceCredentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

/// Digest of the certificate that DTLS will show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Name of the hash, e.g. `sha-256`.
    pub(crate) hash: String,
    pub(crate) digest: Vec<u8>,
}

/// Who opens the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    Active,
    Passive,
    ActPass,
}

/// What a section is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio,
    Video,
    /// A data-channel section.
    Data,
    /// Anything else; it is kept so that indices hold, and refused.
    Other(String),
}

/// One section, from its `m=` line on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    /// 0 refuses the section.
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) mid: String,
    pub(crate) transport: Transport,
    pub(crate) candidates: Vec<String>,
    pub(crate) media: Media,
    /// Largest data-channel message the writer takes, in bytes.
    pub(crate) max_message_size: Option<u32>,
}

/// What RTP sections say beyond transport.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Media {
    pub(crate) direction: Direction,
    pub(crate) codecs: Vec<Codec>,
    /// Ids and URIs of header extensions.
    pub(crate) extensions: Vec<(u8, String)>,
    /// Stream and track id of what the writer sends.
    pub(crate) msid: Option<(String, String)>,
    /// SSRCs that the writer sends, without those of retransmission and repair.
    pub(crate) ssrcs: Vec<u32>,
    pub(crate) cname: Option<String>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            // The default of RFC 4566, section 6.
            direction: Direction::SendRecv,
            codecs: Vec::new(),
            extensions: Vec::new(),
            msid: None,
            ssrcs: Vec::new(),
            cname: None,
        }
    }
}

/// A payload type with what describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) payload_type: u8,
    /// Encoding name as written, e.g. `opus`.
    pub(crate) name: String,
    pub(crate) clock_rate: u32,
    pub(crate) channels: Option<u8>,
    pub(crate) fmtp: Option<String>,
    /// `a=rtcp-fb` values.
    pub(crate) feedback: Vec<String>,
}

impl Session {
    /// The attributes that hold for a section: its own, else those of the session.
    pub(crate) fn transport_of(&self, section: &Section) -> Transport {
        let own = section.transport.clone();
        let all = &self.transport;
        Transport {
            ice: own.ice.or_else(|| all.ice.clone()),
            fingerprint: own.fingerprint.or_else(|| all.fingerprint.clone()),
            setup: own.setup.or(all.setup),
        }
    }

    pub(crate) fn has_data(&self) -> bool {
        self.sections
            .iter()
            .any(|section| section.kind == Kind::Data && !section.is_refused())
    }
}

impl Section {
    pub(crate) fn is_refused(&self) -> bool {
        self.port == 0
    }

    pub(crate) fn is_media(&self) -> bool {
        matches!(self.kind, Kind::Audio | Kind::Video)
    }
}

impl Codec {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Whether a direction lets the writer send.
pub(crate) fn sends(direction: Direction) -> bool {
    matches!(direction, Direction::SendRecv | Direction::SendOnly)
}

/// Whether a direction lets the writer receive.
pub(crate) fn receives(direction: Direction) -> bool {
    matches!(direction, Direction::SendRecv | Direction::RecvOnly)
}

/// The direction that sends and receives as told.
pub(crate) fn direction(send: bool, receive: bool) -> Direction {
    match (send, receive) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}
