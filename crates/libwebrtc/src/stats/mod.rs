//! Statistics, in the shapes of the W3C document of the same subject.

use serde::Deserialize;

pub mod dictionaries;

/// One record.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum RtcStats {
    /// A codec in use.
    Codec(CodecStats),
    /// A stream received.
    InboundRtp(InboundRtpStats),
    /// A stream sent.
    OutboundRtp(OutboundRtpStats),
    /// What the peer says about a stream sent.
    RemoteInboundRtp(RemoteInboundRtpStats),
    /// What the peer says about a stream received.
    RemoteOutboundRtp(RemoteOutboundRtpStats),
    /// A local source.
    MediaSource(MediaSourceStats),
    /// A playout device.
    MediaPlayout(MediaPlayoutStats),
    /// The connection.
    PeerConnection(PeerConnectionStats),
    /// A data channel.
    DataChannel(DataChannelStats),
    /// The transport.
    Transport(TransportStats),
    /// A pair of candidates.
    CandidatePair(CandidatePairStats),
    /// A candidate of ours.
    LocalCandidate(LocalCandidateStats),
    /// A candidate of the peer.
    RemoteCandidate(RemoteCandidateStats),
    /// A certificate.
    Certificate(CertificateStats),
    /// A media stream.
    Stream(StreamStats),
    /// Out of use.
    Track,
}

/// What keeps a video encoder from doing better.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QualityLimitationReason {
    /// Nothing.
    #[default]
    None,
    /// The processor.
    Cpu,
    /// The network.
    Bandwidth,
    /// Something else.
    Other,
}

/// Who chooses the candidate pair.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceRole {
    /// Not known yet.
    #[default]
    Unknown,
    /// We do.
    Controlling,
    /// The peer does.
    Controlled,
}

/// State of DTLS.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsTransportState {
    /// Not begun.
    New,
    /// In handshake.
    Connecting,
    /// Done.
    Connected,
    /// Closed.
    Closed,
    /// Failed.
    Failed,
}

/// State of ICE.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceTransportState {
    /// Not begun.
    New,
    /// Looking for a path.
    Checking,
    /// Has a path.
    Connected,
    /// Has its final path.
    Completed,
    /// The path went silent.
    Disconnected,
    /// No path.
    Failed,
    /// Closed.
    Closed,
}

/// Who opens the DTLS handshake.
#[derive(Debug, Default, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// We do.
    Client,
    /// The peer does.
    Server,
    /// Not known yet.
    #[default]
    Unknown,
}

/// State of a pair of candidates.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IceCandidatePairState {
    /// Not yet its turn.
    Frozen,
    /// Its turn is next.
    Waiting,
    /// Being checked.
    InProgress,
    /// Does not work.
    Failed,
    /// Works.
    Succeeded,
}

/// Where a candidate's address comes from.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceCandidateType {
    /// An interface.
    Host,
    /// A STUN server.
    Srflx,
    /// A check of the peer.
    Prflx,
    /// A TURN server.
    Relay,
}

/// How a TURN server is reached.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceServerTransportProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

/// Who opens the connection of a TCP candidate.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceTcpCandidateType {
    /// We do.
    Active,
    /// The peer does.
    Passive,
    /// Both at once.
    So,
}

/// Records made of dictionaries whose fields lie flat beside each other.
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ident,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Default, Clone, Deserialize)]
            pub struct $name {
                $(
                    #[doc = concat!("See [`dictionaries::", stringify!($type), "`].")]
                    #[serde(flatten)]
                    pub $field: dictionaries::$type,
                )*
            }
        )*
    };
}

records! {
    /// A codec in use.
    CodecStats {
        rtc: RtcStats,
        codec: CodecStats,
    }

    /// A stream received.
    InboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        received: ReceivedRtpStreamStats,
        inbound: InboundRtpStreamStats,
    }

    /// A stream sent.
    OutboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        sent: SentRtpStreamStats,
        outbound: OutboundRtpStreamStats,
    }

    /// What the peer says about a stream sent.
    RemoteInboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        received: ReceivedRtpStreamStats,
        remote_inbound: RemoteInboundRtpStreamStats,
    }

    /// What the peer says about a stream received.
    RemoteOutboundRtpStats {
        rtc: RtcStats,
        stream: RtpStreamStats,
        sent: SentRtpStreamStats,
        remote_outbound: RemoteOutboundRtpStreamStats,
    }

    /// A local source.
    MediaSourceStats {
        rtc: RtcStats,
        source: MediaSourceStats,
        audio: AudioSourceStats,
        video: VideoSourceStats,
    }

    /// A playout device.
    MediaPlayoutStats {
        rtc: RtcStats,
        audio_playout: AudioPlayoutStats,
    }

    /// The connection.
    PeerConnectionStats {
        rtc: RtcStats,
        pc: PeerConnectionStats,
    }

    /// A data channel.
    DataChannelStats {
        rtc: RtcStats,
        dc: DataChannelStats,
    }

    /// The transport.
    TransportStats {
        rtc: RtcStats,
        transport: TransportStats,
    }

    /// A pair of candidates.
    CandidatePairStats {
        rtc: RtcStats,
        candidate_pair: CandidatePairStats,
    }

    /// A candidate of ours.
    LocalCandidateStats {
        rtc: RtcStats,
        local_candidate: IceCandidateStats,
    }

    /// A candidate of the peer.
    RemoteCandidateStats {
        rtc: RtcStats,
        remote_candidate: IceCandidateStats,
    }

    /// A certificate.
    CertificateStats {
        rtc: RtcStats,
        certificate: CertificateStats,
    }

    /// A media stream.
    StreamStats {
        rtc: RtcStats,
        stream: StreamStats,
    }
}

/// Out of use.
#[derive(Debug, Default, Clone, Deserialize)]
pub struct TrackStats {}
