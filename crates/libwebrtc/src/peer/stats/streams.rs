//! Records about what is sent and received.

use std::time::Duration;

use super::{
    super::{
        agreement::AudioAgreement,
        reports::RoundTrips,
        state::State,
        transceiver::{Measured, TransceiverCore},
    },
    TRANSPORT_ID, codec_id, epoch_ms, epoch_ms_of, record,
};
use crate::{
    audio::ReceiveStats,
    media_stream_track::MediaStreamTrack,
    stats::{
        InboundRtpStats, MediaSourceStats, OutboundRtpStats, RemoteInboundRtpStats,
        RemoteOutboundRtpStats, RtcStats, dictionaries,
    },
};

/// Ticks of the media clock in a second.
const CLOCK_HZ: f64 = 48_000.0;

/// Ticks in a frame of 10 ms.
const FRAME_TICKS: u64 = 480;

/// What is sent by a transceiver; nothing before the first packet, nor once it is stopped.
pub(super) fn outbound(state: &State, core: &TransceiverCore) -> Vec<RtcStats> {
    let (packets, bytes) = core.sent();
    if packets == 0 || core.is_stopped() {
        return Vec::new();
    }
    let ssrc = core.ssrc();
    let measured = core.measured();
    let reports = &measured.reports;
    let engine = state.engine.as_ref();
    let wire = engine.map(|engine| engine.sent(ssrc)).unwrap_or_default();
    let source_id = format!("source-{ssrc}");
    let remote_id = format!("remote-inbound-{ssrc}");
    let stream = stream(ssrc, core.agreement().map(|audio| sent_type(&audio)));
    let mut records = vec![RtcStats::OutboundRtp(OutboundRtpStats {
        rtc: record(&outbound_id(ssrc)),
        stream: stream.clone(),
        sent: dictionaries::SentRtpStreamStats {
            packets_sent: packets + wire.repeated_packets,
            bytes_sent: bytes + wire.repeated_bytes,
        },
        outbound: dictionaries::OutboundRtpStreamStats {
            mid: core.mid().unwrap_or_default(),
            media_source_id: source_id.clone(),
            remote_id: reports
                .sent_at
                .map(|_| remote_id.clone())
                .unwrap_or_default(),
            header_bytes_sent: wire.header_bytes,
            retransmitted_packets_sent: wire.repeated_packets,
            retransmitted_bytes_sent: wire.repeated_bytes,
            target_bitrate: f64::from(measured.bitrate),
            nack_count: reports.sent.nacks as u32,
            encoder_implementation: "libopus".to_owned(),
            active: core.sending().is_some(),
            ..Default::default()
        },
    })];
    records.push(source(source_id, core, &measured));
    if reports.sent_at.is_some() {
        let trips = &reports.sent_trips;
        records.push(RtcStats::RemoteInboundRtp(RemoteInboundRtpStats {
            rtc: record(&remote_id),
            stream,
            received: dictionaries::ReceivedRtpStreamStats {
                packets_received: 0,
                packets_lost: reports.sent.lost.unwrap_or_default(),
                jitter: f64::from(reports.sent.jitter_ticks) / CLOCK_HZ,
            },
            remote_inbound: dictionaries::RemoteInboundRtpStreamStats {
                local_id: outbound_id(ssrc),
                round_trip_time: seconds(trips.last),
                total_round_trip_time: trips.total.as_secs_f64(),
                fraction_lost: f64::from(reports.sent.fraction_lost.unwrap_or_default()),
                round_trip_time_measurements: trips.count,
            },
        }));
    }
    records
}

fn source(id: String, core: &TransceiverCore, measured: &Measured) -> RtcStats {
    let source = &measured.source;
    RtcStats::MediaSource(MediaSourceStats {
        rtc: record(&id),
        source: dictionaries::MediaSourceStats {
            track_identifier: core
                .sender_track()
                .map(|track| track.id())
                .unwrap_or_default(),
            kind: "audio".to_owned(),
        },
        audio: dictionaries::AudioSourceStats {
            audio_level: source.level,
            total_audio_energy: source.energy,
            total_samples_duration: source.seconds,
            total_samples_captured: (source.seconds * CLOCK_HZ) as u64,
            ..Default::default()
        },
        video: dictionaries::VideoSourceStats::default(),
    })
}

/// What is received by a transceiver; nothing before the first packet, nor once the track has ended.
pub(super) fn inbound(core: &TransceiverCore) -> Vec<RtcStats> {
    let track = match core.receiver_track() {
        MediaStreamTrack::Audio(track) if core.is_receiving() => track,
        MediaStreamTrack::Audio(_) | MediaStreamTrack::Video(_) => return Vec::new(),
    };
    let Some(receive) = track.receive() else {
        return Vec::new();
    };
    let counted = receive.stats();
    if counted.reception.packets == 0 {
        return Vec::new();
    }
    let ssrc = counted.reception.ssrc;
    let reports = core.measured().reports;
    let remote_id = format!("remote-outbound-{ssrc}");
    let stream = stream(ssrc, core.agreement().map(|audio| sent_type(&audio)));
    let mut records = vec![RtcStats::InboundRtp(InboundRtpStats {
        rtc: record(&inbound_id(ssrc)),
        stream: stream.clone(),
        received: dictionaries::ReceivedRtpStreamStats {
            packets_received: counted.reception.packets,
            packets_lost: counted.reception.lost,
            jitter: counted.reception.jitter,
        },
        inbound: dictionaries::InboundRtpStreamStats {
            track_identifier: track.id(),
            mid: core.mid().unwrap_or_default(),
            remote_id: reports
                .sender_time
                .map(|_| remote_id.clone())
                .unwrap_or_default(),
            nack_count: reports.received.nacks as u32,
            packets_discarded: counted.playout.late + core.encryption.unreadable(),
            ..inbound_stream(&counted)
        },
    })];
    if let Some(time) = reports.sender_time {
        let (packets_sent, bytes_sent) = reports.received.sent_by_peer.unwrap_or_default();
        let RoundTrips { last, total, count } = reports.received_trips;
        records.push(RtcStats::RemoteOutboundRtp(RemoteOutboundRtpStats {
            rtc: record(&remote_id),
            stream,
            sent: dictionaries::SentRtpStreamStats {
                packets_sent,
                bytes_sent,
            },
            remote_outbound: dictionaries::RemoteOutboundRtpStreamStats {
                local_id: inbound_id(ssrc),
                remote_timestamp: epoch_ms(time),
                reports_sent: reports.sender_reports,
                round_trip_time: seconds(last),
                total_round_trip_time: total.as_secs_f64(),
                round_trip_time_measurements: count,
            },
        }));
    }
    records
}

/// What packets and player say about a received stream.
fn inbound_stream(counted: &ReceiveStats) -> dictionaries::InboundRtpStreamStats {
    let (reception, playout) = (&counted.reception, &counted.playout);
    // Tick × ticks into seconds × samples.
    let weighted = |product: u128| product as f64 / CLOCK_HZ;
    let total = playout.frames * FRAME_TICKS;
    dictionaries::InboundRtpStreamStats {
        last_packet_received_timestamp: reception.last_arrival.map_or(0.0, epoch_ms_of),
        header_bytes_received: reception.header_bytes,
        bytes_received: reception.bytes,
        fec_packets_received: playout.copies,
        fec_packets_discarded: playout.spare_copies,
        jitter_buffer_delay: weighted(playout.waited),
        jitter_buffer_target_delay: weighted(playout.meant_to_wait),
        jitter_buffer_minimum_delay: weighted(playout.meant_to_wait),
        jitter_buffer_emitted_count: playout.played_ticks,
        total_samples_received: total,
        concealed_samples: playout.concealed_ticks,
        silent_concealed_samples: playout.silent_ticks,
        concealment_events: playout.concealments,
        inserted_samples_for_deceleration: playout.lingered_ticks,
        removed_samples_for_acceleration: playout.hurried_ticks,
        audio_level: playout.level,
        total_audio_energy: playout.energy,
        total_samples_duration: total as f64 / CLOCK_HZ,
        decoder_implementation: "libopus".to_owned(),
        ..Default::default()
    }
}

fn outbound_id(ssrc: u32) -> String {
    format!("outbound-{ssrc}")
}

fn inbound_id(ssrc: u32) -> String {
    format!("inbound-{ssrc}")
}

fn sent_type(audio: &AudioAgreement) -> u8 {
    audio.sends_red().unwrap_or(audio.opus)
}

fn stream(ssrc: u32, payload_type: Option<u8>) -> dictionaries::RtpStreamStats {
    dictionaries::RtpStreamStats {
        ssrc,
        kind: "audio".to_owned(),
        transport_id: TRANSPORT_ID.to_owned(),
        codec_id: payload_type.map(codec_id).unwrap_or_default(),
    }
}

fn seconds(duration: Option<Duration>) -> f64 {
    duration.unwrap_or_default().as_secs_f64()
}
