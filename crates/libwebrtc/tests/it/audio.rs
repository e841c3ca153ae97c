//! Sound from one end to the other.

use libwebrtc::{
    audio_source::{AudioSourceOptions, native::NativeAudioSource},
    audio_stream::native::NativeAudioStream,
    media_stream_track::{MediaStreamTrack, RtcTrackState},
    peer_connection_factory::{PeerConnectionFactory, native::PeerConnectionFactoryExt},
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection, RtpTransceiverInit},
};
use tokio_stream::StreamExt;

use crate::{
    pair::{Peer, connected, in_time, negotiate},
    tone::{Tone, share},
};

/// Half a second: enough for a clear verdict on its pitch.
pub(crate) const LISTEN_MS: u32 = 500;

pub(crate) const SEND_ONLY: RtpTransceiverDirection = RtpTransceiverDirection::SendOnly;
const SEND_RECEIVE: RtpTransceiverDirection = RtpTransceiverDirection::SendRecv;

fn init(direction: RtpTransceiverDirection) -> RtpTransceiverInit {
    RtpTransceiverInit {
        direction,
        stream_ids: vec!["stream".into()],
        send_encodings: vec![],
    }
}

/// Sends a tone from a new track.
pub(crate) fn publish(
    peer: &Peer,
    direction: RtpTransceiverDirection,
    id: &str,
    rate: u32,
    frequency: f64,
) -> (RtpTransceiver, Tone) {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), rate, 1, 200);
    let track = PeerConnectionFactory::default().create_audio_track(id, source.clone());
    let transceiver = peer
        .connection
        .add_transceiver(track.into(), init(direction))
        .unwrap();
    (transceiver, Tone::play(source, frequency))
}

/// Listens until half a second in a row is the tone.
pub(crate) async fn hears(track: MediaStreamTrack, rate: u32, frequency: f64) {
    let MediaStreamTrack::Audio(track) = track else {
        panic!("not an audio track")
    };
    let mut stream = NativeAudioStream::new(track, rate as i32, 1);
    let wanted = (rate / 1000 * LISTEN_MS) as usize;
    let mut heard = Vec::new();
    in_time(&format!("a tone of {frequency} Hz"), async {
        loop {
            let frame = stream.next().await.expect("the track has ended");
            assert_eq!((frame.sample_rate, frame.num_channels), (rate, 1));
            heard.extend_from_slice(&frame.data);
            if heard.len() >= wanted {
                if share(&heard, rate, frequency) > 0.9 {
                    return;
                }
                heard.clear();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_is_heard_both_ways_at_each_sides_own_rate() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (_, _alices) = publish(&alice, SEND_RECEIVE, "alice-track", 24_000, 440.0);
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 8_000, 1, 200);
    let track = PeerConnectionFactory::default().create_audio_track("bob-track", source.clone());
    // What is added as a track takes the section that the peer offers.
    bob.connection.add_track(track.into(), &["bobs"]).unwrap();
    let _bobs = Tone::play(source, 600.0);

    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let (at_bob, at_alice) = (bob.tracks.next().await, alice.tracks.next().await);
    assert_eq!(at_bob.streams[0].id(), "stream");
    assert_eq!(at_alice.receiver.stream_ids(), ["bobs"]);
    assert_eq!(at_alice.transceiver.mid(), at_bob.transceiver.mid());
    tokio::join!(
        hears(at_bob.track, 16_000, 440.0),
        hears(at_alice.track, 48_000, 600.0)
    );
    assert!(!bob.connection.get_stats().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_is_used_again_by_another_track_and_another_source() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (first, tone) = publish(&alice, SEND_ONLY, "first", 16_000, 440.0);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    hears(event.track.clone(), 16_000, 440.0).await;

    alice.connection.remove_track(first.sender()).unwrap();
    drop(tone);
    negotiate(&mut alice, &mut bob, false).await;
    assert_eq!(event.track.state(), RtcTrackState::Ended);
    assert!(event.receiver.stream_ids().is_empty());

    let (_, _tone) = publish(&alice, SEND_ONLY, "second", 16_000, 700.0);
    negotiate(&mut alice, &mut bob, false).await;
    let event = bob.tracks.next().await;
    assert_eq!(event.track.id(), "second");
    hears(event.track, 16_000, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_is_swapped_is_heard_without_negotiation() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (transceiver, _first) = publish(&alice, SEND_ONLY, "first", 16_000, 440.0);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    hears(event.track.clone(), 16_000, 440.0).await;

    let source = NativeAudioSource::new(AudioSourceOptions::default(), 48_000, 1, 200);
    let track = PeerConnectionFactory::default().create_audio_track("second", source.clone());
    transceiver.sender().set_track(Some(track.into())).unwrap();
    let _second = Tone::play(source, 700.0);
    hears(event.track, 16_000, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_tracks_and_streams_at_both_ends() {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (_, _tone) = publish(&alice, SEND_ONLY, "track", 16_000, 440.0);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    hears(event.track.clone(), 16_000, 440.0).await;
    let MediaStreamTrack::Audio(track) = event.track else {
        panic!("not an audio track")
    };
    let mut stream = NativeAudioStream::new(track, 16_000, 1);
    bob.connection.close();
    in_time("the end of the stream", async {
        while stream.next().await.is_some() {}
    })
    .await;
    assert_eq!(stream.track().state(), RtcTrackState::Ended);
    assert!(bob.connection.senders().is_empty());
}
