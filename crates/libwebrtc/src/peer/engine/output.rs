//! What str0m tells, in the connection's terms.

use std::{sync::Arc, time::Instant};

use str0m::{
    Event as RtcEvent, IceConnectionState as Str0mIce,
    channel::ChannelId,
    media::Mid,
    stats::{MediaEgressStats, MediaIngressStats},
};

use crate::peer::{
    network::Departure,
    reports::{Path, ReceivedReport, Report, SentReport},
};

/// The state of ICE, as far as anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum IceState {
    Checking,
    Connected,
    Disconnected,
}

/// An RTP packet received.
pub(in crate::peer) struct RtpIn {
    pub(in crate::peer) ssrc: u32,
    pub(in crate::peer) payload_type: u8,
    /// Extended beyond 16 bits.
    pub(in crate::peer) sequence: u64,
    pub(in crate::peer) timestamp: u32,
    pub(in crate::peer) header_bytes: usize,
    pub(in crate::peer) payload: Arc<[u8]>,
}

/// What comes out.
pub(in crate::peer) enum EngineOutput {
    /// Nothing until then.
    Wait(Instant),
    Packet(Departure),
    /// ICE and DTLS are done.
    Secured,
    Ice(IceState),
    Rtp(RtpIn),
    /// News for statistics, about a section where it names one.
    Report {
        section: Option<Mid>,
        report: Report,
    },
    ChannelOpen {
        id: ChannelId,
        label: String,
    },
    ChannelData {
        id: ChannelId,
        data: Vec<u8>,
        binary: bool,
    },
    ChannelClosed(ChannelId),
    /// The peer has closed.
    Closed,
}

impl EngineOutput {
    /// Whether something came just now that only the peer can have encrypted.
    pub(in crate::peer) fn is_from_peer(&self) -> bool {
        match self {
            Self::Rtp(_) | Self::ChannelOpen { .. } | Self::ChannelData { .. } => true,
            Self::Report { report, .. } => matches!(report, Report::Sender { .. }),
            Self::Wait(_)
            | Self::Packet(_)
            | Self::Secured
            | Self::Ice(_)
            | Self::ChannelClosed(_)
            | Self::Closed => false,
        }
    }
}

pub(super) fn translate(event: RtcEvent) -> Option<EngineOutput> {
    Some(match event {
        RtcEvent::Connected => EngineOutput::Secured,
        RtcEvent::IceConnectionStateChange(state) => EngineOutput::Ice(match state {
            Str0mIce::New | Str0mIce::Checking => IceState::Checking,
            Str0mIce::Connected | Str0mIce::Completed => IceState::Connected,
            Str0mIce::Disconnected => IceState::Disconnected,
        }),
        RtcEvent::RtpPacket(packet) => EngineOutput::Rtp(RtpIn {
            ssrc: *packet.header.ssrc,
            payload_type: *packet.header.payload_type,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            header_bytes: packet.header.header_len,
            payload: packet.payload,
        }),
        RtcEvent::MediaEgressStats(stats) => EngineOutput::Report {
            section: Some(stats.mid),
            report: Report::Sent(sent_report(&stats)),
        },
        RtcEvent::MediaIngressStats(stats) => EngineOutput::Report {
            section: Some(stats.mid),
            report: Report::Received(received_report(&stats)),
        },
        RtcEvent::SenderFeedback(feedback) => EngineOutput::Report {
            section: Some(feedback.mid),
            report: Report::Sender {
                at: feedback.sender_info.ntp_time,
            },
        },
        RtcEvent::PeerStats(stats) => {
            let pair = stats.selected_candidate_pair?;
            EngineOutput::Report {
                section: None,
                report: Report::Path(Path {
                    protocol: pair.protocol.into(),
                    local: pair.local.addr,
                    remote: pair.remote.addr,
                    round_trip: pair.current_round_trip_time,
                    total_round_trip: pair.total_round_trip_time,
                    responses: pair.responses_received,
                }),
            }
        }
        RtcEvent::ChannelOpen(id, label) => EngineOutput::ChannelOpen { id, label },
        RtcEvent::ChannelData(message) => EngineOutput::ChannelData {
            id: message.id,
            data: message.data,
            binary: message.binary,
        },
        RtcEvent::ChannelClose(id) => EngineOutput::ChannelClosed(id),
        RtcEvent::Closed => EngineOutput::Closed,
        _ => return None,
    })
}

fn sent_report(stats: &MediaEgressStats) -> SentReport {
    // 24 bits with a sign that str0m leaves where they are. Source: RFC 3550, section 6.4.1.
    let signed = |lost: u64| i64::from(((lost as u32) << 8).cast_signed() >> 8);
    let remote = stats.remote.as_ref();
    SentReport {
        fraction_lost: stats.loss,
        lost: remote.map(|remote| signed(remote.packets_lost)),
        jitter_ticks: remote.map_or(0, |remote| remote.jitter),
        round_trip: stats.rtt,
        nacks: stats.nacks,
    }
}

fn received_report(stats: &MediaIngressStats) -> ReceivedReport {
    ReceivedReport {
        nacks: stats.nacks,
        sent_by_peer: stats.remote.as_ref().map(|r| (r.packets, r.bytes)),
        round_trip: stats.rtt,
    }
}
