//! Our participant: the Rust SDK on our engine.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use livekit::DataPacket;
use livekit::e2ee::key_provider::{KeyProvider, KeyProviderOptions};
use livekit::e2ee::{E2eeOptions, EncryptionType};
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, Room, RoomEvent, RoomOptions,
    TrackSource,
};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::native::frame_cryptor::EncryptionState;
use livekit_api::access_token::VideoGrants;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::scene::Delivery;
use crate::theirs::Encryption;

/// Of what we send and hear.
const RATE: u32 = 48_000;

/// Half a second: enough for a clear verdict on a pitch.
const WINDOW: usize = RATE as usize / 2;

/// Half of full scale.
const AMPLITUDE: f64 = 0.5;
const FULL_SCALE: f64 = 32_768.0;

/// For anything that must come; each takes a second or two on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Ours {
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
    track: Option<RemoteAudioTrack>,
    /// States and packets that came while something else was waited for.
    states: Vec<EncryptionState>,
    packets: VecDeque<Vec<u8>>,
    playing: JoinSet<()>,
}

pub(crate) fn grants(room: &str) -> VideoGrants {
    VideoGrants {
        room_join: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    }
}

impl Ours {
    pub(crate) async fn join(
        url: &str,
        token: &str,
        encryption: Option<Encryption>,
        hz: u32,
    ) -> anyhow::Result<Self> {
        let mut options = RoomOptions::default();
        options.encryption = encryption.map(|encryption| {
            let keys = KeyProviderOptions {
                ratchet_window_size: encryption.ratchet_window,
                ..KeyProviderOptions::default()
            };
            E2eeOptions {
                encryption_type: EncryptionType::Gcm,
                key_provider: KeyProvider::with_shared_key(keys, encryption.key.into()),
            }
        });
        let (room, events) = Room::connect(url, token, options).await?;
        let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, 200);
        let track =
            LocalAudioTrack::create_audio_track("tone", RtcAudioSource::Native(source.clone()));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        room.local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await?;
        let mut playing = JoinSet::new();
        playing.spawn(play(source, hz));
        Ok(Self {
            room,
            events,
            track: None,
            states: Vec::new(),
            packets: VecDeque::new(),
            playing,
        })
    }

    pub(crate) async fn leave(mut self) -> anyhow::Result<()> {
        self.playing.abort_all();
        self.room.close().await?;
        Ok(())
    }

    /// Takes events until one answers the question.
    async fn until<T>(
        &mut self,
        what: &str,
        mut question: impl FnMut(&mut Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let answered = async {
            loop {
                if let Some(answer) = question(self) {
                    return Ok(answer);
                }
                let event = self.events.recv().await.context("the room is gone")?;
                match event {
                    RoomEvent::TrackSubscribed {
                        track: RemoteTrack::Audio(track),
                        ..
                    } => self.track = Some(track),
                    RoomEvent::E2eeStateChanged { state, .. } => self.states.push(state),
                    RoomEvent::DataReceived { payload, .. } => {
                        self.packets.push_back(payload.to_vec());
                    }
                    _ => {}
                }
            }
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        answered.with_context(|| format!("there is no {what}"))?
    }

    /// What is heard from half a second after now: what the engine still had in its buffers is old.
    async fn listen(&mut self) -> anyhow::Result<Listener> {
        let track = self.until("track", |ours| ours.track.clone()).await?;
        let stream = NativeAudioStream::new(track.rtc_track(), i32::try_from(RATE)?, 1);
        let mut listener = Listener(stream);
        listener.window().await?;
        Ok(listener)
    }

    /// Listens until half a second is the tone; how loud it is, as a share of full scale.
    pub(crate) async fn hear(&mut self, hz: u32) -> anyhow::Result<f64> {
        let mut listener = self.listen().await?;
        let heard = async {
            loop {
                let Tone { share, amplitude } = Tone::of(&listener.window().await?, hz);
                if share > 0.9 {
                    return anyhow::Ok(amplitude);
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await;
        heard.with_context(|| format!("we do not hear {hz} Hz"))?
    }

    /// How much of the loudest of three half seconds is the tone.
    pub(crate) async fn share(&mut self, hz: u32) -> anyhow::Result<f64> {
        let mut listener = self.listen().await?;
        let mut most = 0.0_f64;
        for _ in 0..3 {
            most = most.max(Tone::of(&listener.window().await?, hz).share);
        }
        Ok(most)
    }

    pub(crate) async fn send(&self, text: &str, delivery: Delivery) -> anyhow::Result<()> {
        let packet = DataPacket {
            payload: text.into(),
            reliable: delivery.is_reliable(),
            ..DataPacket::default()
        };
        self.room.local_participant().publish_data(packet).await?;
        Ok(())
    }

    /// The first packet that has not been received yet.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<String> {
        let packet = self
            .until("packet", |ours| ours.packets.pop_front())
            .await?;
        Ok(String::from_utf8(packet)?)
    }

    /// Waits until encryption has reached a state.
    pub(crate) async fn hear_state(&mut self, state: EncryptionState) -> anyhow::Result<()> {
        let is_reached = |ours: &mut Self| ours.states.contains(&state).then_some(());
        self.until(&format!("state {state:?}"), is_reached).await
    }

    fn keys(&self) -> anyhow::Result<KeyProvider> {
        let keys = self.room.e2ee_manager().key_provider();
        keys.context("the room is not encrypted")
    }

    /// Another key for everything from now on.
    pub(crate) fn set_key(&self, key: &[u8], index: i32) -> anyhow::Result<()> {
        self.keys()?.set_shared_key(key.into(), index);
        for cryptor in self.room.e2ee_manager().frame_cryptors().values() {
            cryptor.set_key_index(index);
        }
        Ok(())
    }

    pub(crate) fn ratchet(&self, index: i32) -> anyhow::Result<Vec<u8>> {
        let next = self.keys()?.ratchet_shared_key(index);
        next.context("there is no key to ratchet")
    }
}

/// Plays a tone until aborted.
async fn play(source: NativeAudioSource, hz: u32) {
    let per_frame = RATE / 100;
    let mut start = 0_u32;
    loop {
        // The tone's wave repeats every second.
        let sample = |i: u32| {
            let time = f64::from((start + i) % RATE) / f64::from(RATE);
            ((TAU * f64::from(hz) * time).sin() * AMPLITUDE * FULL_SCALE) as i16
        };
        let frame = AudioFrame {
            data: (0..per_frame).map(sample).collect::<Vec<_>>().into(),
            sample_rate: RATE,
            num_channels: 1,
            samples_per_channel: per_frame,
        };
        start = (start + per_frame) % RATE;
        if source.capture_frame(&frame).await.is_err() {
            return;
        }
    }
}

/// Someone who listens to a track.
struct Listener(NativeAudioStream);

impl Listener {
    /// The next half second.
    async fn window(&mut self) -> anyhow::Result<Vec<i16>> {
        let mut heard = Vec::with_capacity(WINDOW);
        let listened = async {
            while heard.len() < WINDOW {
                let frame = self.0.next().await.context("the track has ended")?;
                heard.extend_from_slice(&frame.data);
            }
            anyhow::Ok(())
        };
        let listened = tokio::time::timeout(PATIENCE, listened).await;
        listened.context("nothing is heard, not even silence")??;
        Ok(heard)
    }
}

/// What lies at a frequency.
struct Tone {
    /// Of the samples' power, 0 to 1.
    share: f64,
    /// As a share of full scale.
    amplitude: f64,
}

impl Tone {
    fn of(samples: &[i16], hz: u32) -> Self {
        let step = TAU * f64::from(hz) / f64::from(RATE);
        let (mut real, mut imaginary, mut power) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (index, sample) in samples.iter().enumerate() {
            let value = f64::from(*sample) / FULL_SCALE;
            real += value * (step * index as f64).cos();
            imaginary += value * (step * index as f64).sin();
            power += value * value;
        }
        let length = real.hypot(imaginary);
        let count = samples.len() as f64;
        let share = match power {
            0.0 => 0.0,
            power => 2.0 * length * length / (power * count),
        };
        Self {
            share,
            amplitude: 2.0 * length / count,
        }
    }
}
