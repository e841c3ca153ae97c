//! Statistics: what this engine measures, in the shapes of the W3C document.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{state::State, transceiver::TransceiverCore};
use crate::{
    data_channel::DataChannelState,
    media_stream_track::MediaStreamTrack,
    stats::{
        DataChannelStats, InboundRtpStats, OutboundRtpStats, PeerConnectionStats, RtcStats,
        dictionaries,
    },
};

/// What is sent by a transceiver.
pub(super) fn outbound(transceiver: &TransceiverCore, packets: u64, bytes: u64) -> Vec<RtcStats> {
    if packets == 0 {
        return Vec::new();
    }
    vec![RtcStats::OutboundRtp(OutboundRtpStats {
        rtc: record(format!("outbound-{}", transceiver.ssrc())),
        stream: stream(transceiver.ssrc()),
        sent: dictionaries::SentRtpStreamStats {
            packets_sent: packets,
            bytes_sent: bytes,
        },
        outbound: dictionaries::OutboundRtpStreamStats {
            mid: transceiver.mid().unwrap_or_default(),
            active: transceiver.sending().is_some(),
            ..Default::default()
        },
    })]
}

/// What is received by a transceiver.
pub(super) fn inbound(transceiver: &TransceiverCore) -> Vec<RtcStats> {
    let MediaStreamTrack::Audio(track) = transceiver.receiver_track() else {
        return Vec::new();
    };
    let Some(receive) = track.receive() else {
        return Vec::new();
    };
    let counted = receive.stats();
    let unreadable = transceiver.encryption.unreadable();
    if counted.packets + unreadable == 0 {
        return Vec::new();
    }
    let ssrc = transceiver.receiver_ssrc().unwrap_or_default();
    vec![RtcStats::InboundRtp(InboundRtpStats {
        rtc: record(format!("inbound-{ssrc}")),
        stream: stream(ssrc),
        received: dictionaries::ReceivedRtpStreamStats {
            packets_received: counted.packets + unreadable,
            ..Default::default()
        },
        inbound: dictionaries::InboundRtpStreamStats {
            track_identifier: track.id(),
            mid: transceiver.mid().unwrap_or_default(),
            bytes_received: counted.bytes,
            packets_discarded: unreadable,
            ..Default::default()
        },
    })]
}

/// The connection, its streams and its channels.
pub(super) fn connection(state: &State) -> Vec<RtcStats> {
    let mut records = vec![RtcStats::PeerConnection(PeerConnectionStats {
        rtc: record("peer-connection".to_owned()),
        pc: dictionaries::PeerConnectionStats {
            data_channels_opened: state.opened_channels,
            data_channels_closed: state.closed_channels,
        },
    })];
    for transceiver in &state.transceivers {
        records.extend(transceiver.sender_stats());
        records.extend(transceiver.receiver_stats());
    }
    let channels = state
        .channels
        .iter()
        .filter(|c| c.state() == DataChannelState::Open);
    records.extend(channels.map(|channel| {
        let counters = channel.counters();
        RtcStats::DataChannel(DataChannelStats {
            rtc: record(format!("data-channel-{}", channel.id())),
            dc: dictionaries::DataChannelStats {
                label: channel.label().to_owned(),
                protocol: String::new(),
                data_channel_identifier: channel.id(),
                state: Some(channel.state()),
                messages_sent: counters.messages_sent,
                bytes_sent: counters.bytes_sent,
                messages_received: counters.messages_received,
                bytes_received: counters.bytes_received,
            },
        })
    }));
    records
}

fn stream(ssrc: u32) -> dictionaries::RtpStreamStats {
    dictionaries::RtpStreamStats {
        ssrc,
        kind: "audio".to_owned(),
        ..Default::default()
    }
}

/// Times are microseconds of the wall clock, as in the C++ engine.
fn record(id: String) -> dictionaries::RtcStats {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let timestamp = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    dictionaries::RtcStats { id, timestamp }
}
