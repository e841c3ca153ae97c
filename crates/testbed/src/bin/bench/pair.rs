//! The engine without the SDK: connections in pairs within one process, each with a track each
//! way. Tells what of a room's cost is the engine's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use livekit::webrtc::audio_source::AudioSourceOptions;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::media_stream_track::MediaStreamTrack;
use livekit::webrtc::peer_connection::{AnswerOptions, OfferOptions, PeerConnection, TrackEvent};
use livekit::webrtc::peer_connection_factory::native::PeerConnectionFactoryExt as _;
use livekit::webrtc::peer_connection_factory::{PeerConnectionFactory, RtcConfiguration};
use livekit::webrtc::rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::child::Child;
use crate::speech::{FRAME_MS, Speech};
use crate::usage::Usage;
use crate::{allocations, orders};

const RATE: u32 = 24_000;
const TRACK_BUFFER_MS: u32 = 100;

/// How many pairs, and how long they are looked at: some seconds of processor time.
const PAIRS: usize = 20;
const SECONDS: Duration = Duration::from_secs(10);

/// Until handshakes and first decodes are over.
const SETTLE: Duration = Duration::from_secs(3);

const LIMIT: Duration = Duration::from_secs(120);

#[derive(Args)]
pub(crate) struct PairArguments {
    #[arg(long)]
    speech: Option<PathBuf>,
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
}

/// What one connection of a pair costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Alone {
    connections: usize,
    kb: f64,
    cores_with_codec: f64,
    cores_deaf: f64,
    cores_idle: f64,
    allocations_per_packet: f64,
    allocations_per_packet_deaf: f64,
}

impl Alone {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let percent = |cores: f64| format!("{:.2} %", cores * 100.0);
        format!(
            "The engine alone, {} connections to each other in one process, for each:\n  \
             {:.0} kB; {} of a core with a track each way, {} when nobody listens (nothing is \
             decoded), {} when nobody speaks either;\n  \
             {:.2} allocations a packet, {:.2} when nobody listens.",
            self.connections,
            self.kb,
            percent(self.cores_with_codec),
            percent(self.cores_deaf),
            percent(self.cores_idle),
            self.allocations_per_packet,
            self.allocations_per_packet_deaf,
        )
    }
}

/// Measures in a process of its own.
pub(crate) async fn measure(speech: &Option<PathBuf>) -> anyhow::Result<Alone> {
    let mut arguments = Vec::new();
    if let Some(speech) = speech.as_ref().and_then(|path| path.to_str()) {
        arguments.extend(["--speech", speech]);
    }
    let mut child = Child::role("pairs", &arguments)?;
    let alone = child.ask(&(), LIMIT).await?;
    child.end().await?;
    Ok(alone)
}

#[derive(Default)]
struct Counters {
    heard_frames: AtomicU64,
    spoken_frames: AtomicU64,
}

impl Counters {
    /// Packets that were sent and that were played.
    fn packets(&self) -> f64 {
        let heard_ms = self.heard_frames.load(Ordering::Relaxed) as f64 * 10.0;
        let spoken = self.spoken_frames.load(Ordering::Relaxed) as f64;
        spoken + heard_ms / f64::from(FRAME_MS)
    }
}

/// The role: measures itself, and answers the one order that comes.
pub(crate) async fn run(arguments: PairArguments) -> anyhow::Result<()> {
    let speech = match &arguments.speech {
        Some(path) => Speech::read(path, RATE)?,
        None => Speech::synthetic(RATE),
    };
    let me = i32::try_from(std::process::id())?;
    let counters = Arc::new(Counters::default());
    let factory = PeerConnectionFactory::default();
    let mut voices = JoinSet::new();
    let mut ears = JoinSet::new();
    // What the process needs once is not counted.
    let mut pairs = vec![Pair::new(&factory, &speech, 0).await?];
    let before = Usage::of(me)?;
    for voice in 1..=arguments.pairs {
        pairs.push(Pair::new(&factory, &speech, voice).await?);
    }
    let connections = 2 * pairs.len();
    for pair in &mut pairs {
        pair.speak_and_listen(&speech, &counters, &mut voices, &mut ears)
            .await?;
    }
    let (cores_with_codec, allocations_with_codec, packets) = look(me, &counters).await?;
    let after = Usage::of(me)?;
    ears.shutdown().await;
    let (cores_deaf, allocations_deaf, spoken) = look(me, &counters).await?;
    voices.shutdown().await;
    let (cores_idle, _, _) = look(me, &counters).await?;
    let alone = Alone {
        connections,
        kb: (after.pss_kb - before.pss_kb) / (connections - 2) as f64,
        cores_with_codec: cores_with_codec / connections as f64,
        cores_deaf: cores_deaf / connections as f64,
        cores_idle: cores_idle / connections as f64,
        allocations_per_packet: allocations_with_codec / packets,
        // Every packet sent is received, though not played.
        allocations_per_packet_deaf: allocations_deaf / (2.0 * spoken),
    };
    orders::next::<()>().await?;
    orders::answer(&alone)
}

/// Cores, allocations and packets of a while.
async fn look(me: i32, counters: &Counters) -> anyhow::Result<(f64, f64, f64)> {
    tokio::time::sleep(SETTLE).await;
    let (usage, allocations, packets) = (Usage::of(me)?, allocations::count(), counters.packets());
    tokio::time::sleep(SECONDS).await;
    let (packets, allocations) = (
        counters.packets() - packets,
        allocations::count() - allocations,
    );
    let span = Usage::of(me)?.since(&usage);
    Ok((span.cores, allocations as f64, packets))
}

/// Two connections to each other.
struct Pair {
    sides: [Side; 2],
    voice: usize,
}

struct Side {
    connection: PeerConnection,
    source: NativeAudioSource,
    tracks: mpsc::UnboundedReceiver<TrackEvent>,
}

impl Side {
    fn new(factory: &PeerConnectionFactory, speech: &Speech) -> anyhow::Result<Self> {
        let connection = factory.create_peer_connection(RtcConfiguration::default())?;
        let (sender, tracks) = mpsc::unbounded_channel();
        connection.on_track(Some(Box::new(move |event| {
            // Nobody is there any more when the pair is gone.
            let _ = sender.send(event);
        })));
        let source = NativeAudioSource::new(
            AudioSourceOptions::default(),
            speech.rate,
            1,
            TRACK_BUFFER_MS,
        );
        let track = factory.create_audio_track("voice", source.clone());
        connection.add_transceiver(
            MediaStreamTrack::Audio(track),
            RtpTransceiverInit {
                direction: RtpTransceiverDirection::SendOnly,
                stream_ids: vec!["voice".to_owned()],
                send_encodings: Vec::new(),
            },
        )?;
        Ok(Self {
            connection,
            source,
            tracks,
        })
    }

    /// Offers, and lets `other` answer.
    async fn offer(&self, other: &Self) -> anyhow::Result<()> {
        let (ours, theirs) = (&self.connection, &other.connection);
        let offer = ours.create_offer(OfferOptions::default()).await?;
        ours.set_local_description(offer.clone()).await?;
        theirs.set_remote_description(offer).await?;
        let answer = theirs.create_answer(AnswerOptions::default()).await?;
        theirs.set_local_description(answer.clone()).await?;
        ours.set_remote_description(answer).await?;
        Ok(())
    }
}

impl Pair {
    async fn new(
        factory: &PeerConnectionFactory,
        speech: &Speech,
        voice: usize,
    ) -> anyhow::Result<Self> {
        let sides = [Side::new(factory, speech)?, Side::new(factory, speech)?];
        let [a, b] = &sides;
        let mut to_b = candidates(&a.connection);
        let mut to_a = candidates(&b.connection);
        // One offer for each direction: an answer takes nothing of one's own along.
        a.offer(b).await?;
        b.offer(a).await?;
        for (from, to) in [(&mut to_b, b), (&mut to_a, a)] {
            // Loopback is told last.
            loop {
                let candidate = from.recv().await.context("no candidate for loopback")?;
                let is_last = candidate.candidate().contains(" 127.0.0.1 ");
                to.connection.add_ice_candidate(candidate).await?;
                if is_last {
                    break;
                }
            }
        }
        Ok(Self { sides, voice })
    }

    async fn speak_and_listen(
        &mut self,
        speech: &Speech,
        counters: &Arc<Counters>,
        voices: &mut JoinSet<()>,
        ears: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        for side in &mut self.sides {
            let mut place = speech.place(self.voice);
            let source = side.source.clone();
            let counted = Arc::clone(counters);
            voices.spawn(async move {
                while source.capture_frame(&place.next_frame()).await.is_ok() {
                    counted.spoken_frames.fetch_add(1, Ordering::Relaxed);
                }
            });
            let event = side.tracks.recv().await.context("no track")?;
            let MediaStreamTrack::Audio(track) = event.track else {
                anyhow::bail!("a track of another kind");
            };
            let mut stream = NativeAudioStream::new(track, speech.rate.cast_signed(), 1);
            let counted = Arc::clone(counters);
            ears.spawn(async move {
                while stream.next().await.is_some() {
                    counted.heard_frames.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Ok(())
    }
}

fn candidates(
    connection: &PeerConnection,
) -> mpsc::UnboundedReceiver<livekit::webrtc::ice_candidate::IceCandidate> {
    let (sender, receiver) = mpsc::unbounded_channel();
    connection.on_ice_candidate(Some(Box::new(move |candidate| {
        // Nobody is there any more when the pair is gone.
        let _ = sender.send(candidate);
    })));
    receiver
}
