//! What connections say about themselves, beside what is known to have happened.

use std::time::Duration;

use libwebrtc::{
    MediaType,
    audio_source::{AudioSourceOptions, native::NativeAudioSource},
    audio_stream::native::NativeAudioStream,
    media_stream_track::MediaStreamTrack,
    peer_connection_factory::{PeerConnectionFactory, native::PeerConnectionFactoryExt},
    rtp_parameters::RtpEncodingParameters,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection, RtpTransceiverInit},
    stats::{self, IceCandidateType, IceRole, RtcStats},
};
use tokio_stream::StreamExt;

use crate::{
    pair::{Peer, connected, in_time, negotiate},
    tone::Tone,
};

/// Publishes a tone of 440 Hz.
fn publish(peer: &Peer, max_bitrate: Option<u64>) -> (RtpTransceiver, Tone) {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 24_000, 1, 200);
    let track = PeerConnectionFactory::default().create_audio_track("tone", source.clone());
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendOnly,
        stream_ids: vec!["stream".into()],
        send_encodings: vec![RtpEncodingParameters {
            max_bitrate,
            ..RtpEncodingParameters::default()
        }],
    };
    let transceiver = peer.connection.add_transceiver(track.into(), init).unwrap();
    (transceiver, Tone::play(source, 440.0))
}

/// Reads so much of a track.
async fn listen(track: MediaStreamTrack, frames: usize) -> NativeAudioStream {
    let MediaStreamTrack::Audio(track) = track else {
        panic!("not an audio track")
    };
    let mut stream = NativeAudioStream::new(track, 24_000, 1);
    in_time("the tone", async {
        for _ in 0..frames {
            stream.next().await.expect("the track has ended");
        }
    })
    .await;
    stream
}

/// Prefers packets with copies, or plain ones.
fn prefer(transceiver: &RtpTransceiver, order: [&str; 2]) {
    let all = PeerConnectionFactory::default()
        .get_rtp_sender_capabilities(MediaType::Audio)
        .codecs;
    let find = |mime: &str| all.iter().find(|codec| codec.mime_type == mime).cloned();
    let order = order.into_iter().map(|mime| find(mime).unwrap()).collect();
    transceiver.set_codec_preferences(order).unwrap();
}

/// Asks again until the records satisfy.
async fn records_with<F: Future<Output = Vec<RtcStats>>>(
    what: &str,
    ask: impl Fn() -> F,
    are_enough: impl Fn(&[RtcStats]) -> bool,
) -> Vec<RtcStats> {
    in_time(what, async {
        loop {
            let records = ask().await;
            if are_enough(&records) {
                return records;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

fn outbound(records: &[RtcStats]) -> Option<&stats::OutboundRtpStats> {
    records.iter().find_map(|record| match record {
        RtcStats::OutboundRtp(outbound) => Some(outbound),
        _ => None,
    })
}

fn inbound(records: &[RtcStats]) -> Option<&stats::InboundRtpStats> {
    records.iter().find_map(|record| match record {
        RtcStats::InboundRtp(inbound) => Some(inbound),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_of_a_stream_tell_the_same_story() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (transceiver, _tone) = publish(&alice, Some(40_000));
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    let _stream = listen(event.track, 100).await;

    let has_report = |records: &[RtcStats]| {
        records
            .iter()
            .any(|r| matches!(r, RtcStats::RemoteInboundRtp(_)))
    };
    let sent = records_with(
        "a report of the peer's",
        || async { transceiver.sender().get_stats().await.unwrap() },
        has_report,
    )
    .await;
    let ours = outbound(&sent).unwrap();
    assert!(ours.sent.packets_sent >= 50 && ours.outbound.active);
    assert_eq!(ours.outbound.target_bitrate, 40_000.0);
    let header = ours.outbound.header_bytes_sent / ours.sent.packets_sent;
    assert!((12..=32).contains(&header), "{header} bytes of header");
    for record in &sent {
        match record {
            RtcStats::RemoteInboundRtp(theirs) => {
                assert_eq!(theirs.remote_inbound.local_id, ours.rtc.id);
                assert_eq!(theirs.received.packets_lost, 0);
                assert!(theirs.received.jitter < 1.0, "{}", theirs.received.jitter);
                assert_eq!(ours.outbound.remote_id, theirs.rtc.id);
            }
            RtcStats::MediaSource(source) => {
                assert_eq!(ours.outbound.media_source_id, source.rtc.id);
                assert_eq!(source.source.track_identifier, "tone");
                // A sine of 16,000 of 32,768.
                assert!((source.audio.audio_level - 0.345).abs() < 0.02);
            }
            RtcStats::Codec(codec) if codec.rtc.id == ours.stream.codec_id => {
                assert_eq!(codec.codec.mime_type, "audio/opus");
            }
            _ => {}
        }
    }

    // The level is of one frame, which on a busy machine may be one that was concealed.
    let has_sender_and_level = |records: &[RtcStats]| {
        let is_there = |r: &RtcStats| matches!(r, RtcStats::RemoteOutboundRtp(_));
        let level = inbound(records).map(|stream| stream.inbound.audio_level);
        records.iter().any(is_there) && level.is_some_and(|level| (level - 0.345).abs() < 0.1)
    };
    let received = records_with(
        "a sender's report, and the tone's level",
        || async { event.receiver.get_stats().await.unwrap() },
        has_sender_and_level,
    )
    .await;
    let theirs = inbound(&received).unwrap();
    assert_eq!(theirs.stream.ssrc, ours.stream.ssrc);
    assert_eq!(theirs.received.packets_lost, 0);
    assert!(theirs.received.jitter < 1.0);
    let stream = &theirs.inbound;
    assert!(stream.total_samples_received >= 100 * 480);
    let seconds = stream.total_samples_received as f64 / 48_000.0;
    assert!((stream.total_samples_duration - seconds).abs() < 1e-6);
    let held = stream.jitter_buffer_delay / stream.jitter_buffer_emitted_count as f64;
    assert!(held > 0.0 && held < 5.0, "held for {held} s");
    let header = stream.header_bytes_received / theirs.received.packets_received;
    assert!((12..=32).contains(&header), "{header} bytes of header");
    assert!(stream.last_packet_received_timestamp * 1_000.0 <= theirs.rtc.timestamp as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_tells_of_its_path_and_channels() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let _channel = alice.channel("data", 100, false);
    let _other = bob.channel("data", 100, false);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let has_round_trip = |records: &[RtcStats]| {
        records.iter().any(|record| match record {
            RtcStats::CandidatePair(pair) => pair.candidate_pair.responses_received > 0,
            _ => false,
        })
    };
    let records = records_with(
        "a path",
        || async { alice.connection.get_stats().await.unwrap() },
        has_round_trip,
    )
    .await;
    let id_of = |wanted: &dyn Fn(&RtcStats) -> Option<String>| records.iter().find_map(wanted);
    let mut selected = String::new();
    for record in &records {
        match record {
            RtcStats::Transport(transport) => {
                assert!(transport.transport.bytes_sent > transport.transport.packets_sent);
                assert!(transport.transport.packets_received > 0);
                assert_eq!(transport.transport.ice_role, IceRole::Controlling);
                selected.clone_from(&transport.transport.selected_candidate_pair_id);
            }
            RtcStats::CandidatePair(pair) => {
                assert!(pair.candidate_pair.nominated);
                assert!(pair.candidate_pair.current_round_trip_time < 5.0);
                assert_eq!(pair.rtc.id, selected);
            }
            RtcStats::LocalCandidate(local) => {
                assert_eq!(
                    local.local_candidate.candidate_type,
                    Some(IceCandidateType::Host)
                );
                assert_eq!(local.local_candidate.protocol, "udp");
            }
            RtcStats::Certificate(certificate) => {
                assert_eq!(certificate.certificate.fingerprint.len(), 32 * 3 - 1);
            }
            _ => {}
        }
    }
    assert!(!selected.is_empty());
    let remote = id_of(&|record| match record {
        RtcStats::RemoteCandidate(remote) => Some(remote.rtc.id.clone()),
        _ => None,
    });
    assert!(remote.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_carry_copies_where_both_prefer_it() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (transceiver, _tone) = publish(&alice, None);
    prefer(&transceiver, ["audio/red", "audio/opus"]);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    let _stream = listen(event.track, 100).await;
    let records = event.receiver.get_stats().await.unwrap();
    let stream = &inbound(&records).unwrap().inbound;
    assert!(stream.fec_packets_received >= 40, "{stream:?}");
    let codecs = transceiver.sender().parameters().codecs;
    assert_eq!(codecs[0].mime_type, "audio/red");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_has_ended_is_no_longer_told_of() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (transceiver, _tone) = publish(&alice, None);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    let _stream = listen(event.track, 10).await;
    let records = || async { bob.connection.get_stats().await.unwrap() };
    assert!(inbound(&records().await).is_some());
    alice.connection.remove_track(transceiver.sender()).unwrap();
    let offer = alice.offer(false).await;
    let answer = bob.answer(offer).await;
    alice
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    assert!(inbound(&records().await).is_none());
    assert!(event.receiver.get_stats().await.unwrap().is_empty());
    let sent = || async { alice.connection.get_stats().await.unwrap() };
    assert!(outbound(&sent().await).is_some());
    transceiver.stop().unwrap();
    assert!(outbound(&sent().await).is_none());
}
