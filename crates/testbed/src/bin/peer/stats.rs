//! The statistics of a room's connections, picked from what the engine tells.

use std::collections::HashMap;

use anyhow::Context as _;
use livekit::prelude::Room;
use livekit::webrtc::stats::dictionaries::IceCandidateStats;
use livekit::webrtc::stats::{IceCandidatePairState, RtcStats};
use trunkline_testbed::peer::{Inbound, MediaPath, Outbound, Stats};

pub(crate) async fn read(room: &Room) -> anyhow::Result<Stats> {
    let stats = room.get_stats().await.context("no statistics")?;
    let records: Vec<RtcStats> = [stats.publisher_stats, stats.subscriber_stats].concat();
    Ok(pick(&records))
}

fn pick(records: &[RtcStats]) -> Stats {
    let mut picked = Stats::default();
    let candidates: HashMap<&str, String> = records
        .iter()
        .filter_map(|record| match record {
            RtcStats::LocalCandidate(c) => Some((c.rtc.id.as_str(), end(&c.local_candidate))),
            RtcStats::RemoteCandidate(c) => Some((c.rtc.id.as_str(), end(&c.remote_candidate))),
            _ => None,
        })
        .collect();
    let name = |id: &str| candidates.get(id).cloned().unwrap_or_default();
    for record in records {
        match record {
            RtcStats::InboundRtp(stream) => picked.inbound.push(Inbound {
                ssrc: stream.stream.ssrc,
                packets_received: stream.received.packets_received,
                packets_lost: stream.received.packets_lost,
                bytes_received: stream.inbound.bytes_received,
                jitter: stream.received.jitter,
                jitter_buffer_delay: stream.inbound.jitter_buffer_delay,
                jitter_buffer_emitted_count: stream.inbound.jitter_buffer_emitted_count,
                total_samples_received: stream.inbound.total_samples_received,
                concealed_samples: stream.inbound.concealed_samples,
                silent_concealed_samples: stream.inbound.silent_concealed_samples,
                concealment_events: stream.inbound.concealment_events,
            }),
            RtcStats::OutboundRtp(stream) => {
                let report = records.iter().find_map(|record| match record {
                    RtcStats::RemoteInboundRtp(report)
                        if report.stream.ssrc == stream.stream.ssrc =>
                    {
                        Some(&report.remote_inbound)
                    }
                    _ => None,
                });
                picked.outbound.push(Outbound {
                    ssrc: stream.stream.ssrc,
                    packets_sent: stream.sent.packets_sent,
                    bytes_sent: stream.sent.bytes_sent,
                    round_trip_time: report.map(|report| report.round_trip_time),
                    fraction_lost: report.map(|report| report.fraction_lost),
                });
            }
            RtcStats::CandidatePair(pair)
                if pair.candidate_pair.nominated
                    && matches!(
                        pair.candidate_pair.state,
                        Some(IceCandidatePairState::Succeeded)
                    ) =>
            {
                picked.paths.push(MediaPath {
                    local: name(&pair.candidate_pair.local_candidate_id),
                    remote: name(&pair.candidate_pair.remote_candidate_id),
                    current_round_trip_time: pair.candidate_pair.current_round_trip_time,
                });
            }
            _ => {}
        }
    }
    picked
}

/// `udp host 10.0.0.1:4000`
fn end(candidate: &IceCandidateStats) -> String {
    let kind = candidate
        .candidate_type
        .map_or_else(|| "?".to_owned(), |kind| format!("{kind:?}").to_lowercase());
    format!(
        "{} {kind} {}:{}",
        candidate.protocol, candidate.address, candidate.port
    )
}
