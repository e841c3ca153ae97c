//! How the media engine and the real server agree on copies and retransmission.

use std::time::Duration;

use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, Room, RoomEvent, RoomOptions,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::stats::RtcStats;
use livekit_api::access_token::VideoGrants;
use tokio::sync::mpsc;
use trunkline_testbed::livekit::{LiveKitOptions, LiveKitServer};

const RATE: u32 = 24_000;
const LIMIT: Duration = Duration::from_secs(20);

async fn join(
    server: &LiveKitServer,
    identity: &str,
    single: bool,
) -> (Room, mpsc::UnboundedReceiver<RoomEvent>) {
    let grants = VideoGrants {
        room_join: true,
        room: "copies".to_owned(),
        ..Default::default()
    };
    let token = server.token(identity, grants).expect("a token");
    let mut options = RoomOptions::default();
    options.single_peer_connection = single;
    Room::connect(&server.url(), &token, options)
        .await
        .expect("joined")
}

/// The codec that the first record of a stream names.
fn codec_of(records: &[RtcStats]) -> Option<String> {
    let id = records.iter().find_map(|record| match record {
        RtcStats::OutboundRtp(stream) => Some(&stream.stream.codec_id),
        _ => None,
    })?;
    records.iter().find_map(|record| match record {
        RtcStats::Codec(codec) if codec.rtc.id == *id => Some(codec.codec.mime_type.clone()),
        _ => None,
    })
}

async fn subscribed(events: &mut mpsc::UnboundedReceiver<RoomEvent>) -> RemoteAudioTrack {
    loop {
        if let Some(RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        }) = events.recv().await
        {
            return track;
        }
    }
}

/// Publishes sound and hears it; answers the codec sent and the copies received.
async fn publish_and_hear(single: bool, red: bool) -> (String, u64) {
    let server = LiveKitServer::start(LiveKitOptions::default())
        .await
        .expect("livekit-server");
    let (listener, mut events) = join(&server, "listener", single).await;
    let (speaker, _speaker_events) = join(&server, "speaker", single).await;
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, 100);
    let local = RtcAudioSource::Native(source.clone());
    let local = LocalAudioTrack::create_audio_track("voice", local);
    let options = TrackPublishOptions {
        red,
        ..Default::default()
    };
    speaker
        .local_participant()
        .publish_track(LocalTrack::Audio(local.clone()), options)
        .await
        .expect("published");
    let talk = async {
        let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 20) as i16;
        let frame = AudioFrame {
            data: (0..RATE / 100).map(noise).collect::<Vec<_>>().into(),
            sample_rate: RATE,
            num_channels: 1,
            samples_per_channel: RATE / 100,
        };
        loop {
            source.capture_frame(&frame).await.expect("captured");
        }
    };
    let hear = async {
        let track = subscribed(&mut events).await;
        let mut stream = NativeAudioStream::new(track.rtc_track(), RATE as i32, 1);
        // Until the listener has a second of it.
        let mut loud = 0;
        while loud < 100 {
            let frame = stream.next().await.expect("the track goes on");
            loud += u32::from(frame.data.iter().any(|sample| sample.unsigned_abs() > 300));
        }
        let records = track.get_stats().await.expect("statistics");
        let copies = records.iter().find_map(|record| match record {
            RtcStats::InboundRtp(stream) => Some(stream.inbound.fec_packets_received),
            _ => None,
        });
        let sent = local.get_stats().await.expect("statistics");
        (codec_of(&sent), copies)
    };
    let heard = tokio::time::timeout(LIMIT, async {
        tokio::select! {
            heard = hear => heard,
            () = talk => unreachable!("talk goes on"),
        }
    });
    let (codec, copies) = heard.await.expect("in time");
    drop((listener, speaker));
    (codec.expect("a codec"), copies.expect("a stream"))
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_carry_copies_through_the_server_in_both_modes() {
    for single in [true, false] {
        let (codec, copies) = publish_and_hear(single, true).await;
        assert_eq!(codec, "audio/red", "single {single}");
        assert!(copies >= 40, "{copies} copies, single {single}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_forbids_copies_goes_without() {
    for single in [true, false] {
        let (codec, copies) = publish_and_hear(single, false).await;
        assert_eq!(
            (codec.as_str(), copies),
            ("audio/opus", 0),
            "single {single}"
        );
    }
}
