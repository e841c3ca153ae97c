//! A plain agent in a room: says sentences and hears them.

use std::time::Duration;

use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, Room, RoomEvent, RoomOptions,
    TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit_api::access_token::{AccessToken, VideoGrants};
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use trunkline_testbed::livekit::LiveKitServer;
use trunkline_testbed::voice;

const RATE: u32 = 24_000;

pub(crate) struct Agent {
    room: Room,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    /// The caller's voice.
    track: Option<RemoteAudioTrack>,
    source: NativeAudioSource,
}

impl Agent {
    pub(crate) async fn join(server: &LiveKitServer, room: &str) -> Self {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            agent: true,
            ..Default::default()
        };
        let token =
            AccessToken::with_api_key(server.api_key(), server.api_secret().expose_secret())
                .with_identity("agent")
                .with_kind("agent")
                .with_grants(grants)
                .to_jwt()
                .expect("a token");
        let (room, events) = Room::connect(&server.url(), &token, RoomOptions::default())
            .await
            .expect("joined");
        let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, 100);
        Self {
            room,
            events,
            track: None,
            source,
        }
    }

    /// Answers the phone.
    pub(crate) async fn publish(&self) {
        let source = RtcAudioSource::Native(self.source.clone());
        let track = LocalAudioTrack::create_audio_track("agent", source);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        self.room
            .local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await
            .expect("published");
    }

    /// Says this, at the pace of speech.
    pub(crate) async fn say(&self, sentence: &str) {
        let pcm = voice::encode(sentence, RATE);
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        // A little silence carries the end out of the engine's queue.
        let silence = vec![0; RATE as usize / 4];
        for samples in [pcm, silence].concat().chunks(RATE as usize / 50) {
            pace.tick().await;
            let mut data = samples.to_vec();
            data.resize(RATE as usize / 50, 0);
            let frame = AudioFrame {
                samples_per_channel: data.len() as u32,
                data: data.into(),
                sample_rate: RATE,
                num_channels: 1,
            };
            self.source.capture_frame(&frame).await.expect("taken");
        }
    }

    /// Listens until it has heard this sentence whole.
    pub(crate) async fn hears(&mut self, sentence: &str) {
        while self.track.is_none() {
            self.next().await;
        }
        let track = self.track.clone().expect("a track");
        let mut stream = NativeAudioStream::new(track.rtc_track(), RATE.cast_signed(), 1);
        let mut pcm: Vec<i16> = Vec::new();
        let mut decoded = 0;
        while let Some(frame) = stream.next().await {
            pcm.extend(frame.data.iter());
            // Decoding is dear: twice a second.
            if pcm.len() - decoded < RATE as usize / 2 {
                continue;
            }
            decoded = pcm.len();
            let heard = voice::decode(&pcm, RATE);
            if heard
                .iter()
                .any(|heard| heard.complete && heard.text == sentence)
            {
                return;
            }
        }
        panic!("the track ended; heard {:?}", voice::decode(&pcm, RATE));
    }

    async fn next(&mut self) -> RoomEvent {
        let event = self.events.recv().await.expect("an event");
        if let RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } = &event
        {
            self.track = Some(track.clone());
        }
        event
    }

    /// Waits until the caller's status is this.
    pub(crate) async fn sees_status(&mut self, status: &str) {
        loop {
            let event = self.next().await;
            if let RoomEvent::ParticipantAttributesChanged { participant, .. } = event
                && participant
                    .attributes()
                    .get("sip.callStatus")
                    .map(String::as_str)
                    == Some(status)
            {
                return;
            }
        }
    }
}
