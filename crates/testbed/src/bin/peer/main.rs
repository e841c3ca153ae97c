//! A participant in a process of its own: joins a room, says something, listens,
//! and tells what happens as JSON lines. `peer --help` tells what it can do; the
//! lines are `trunkline_testbed::peer::Event`s.

mod ears;
mod mouth;
mod stats;
mod tell;
mod tone;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Parser};
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    LocalAudioTrack, LocalTrack, RemoteTrack, Room, RoomEvent, RoomOptions, TrackSource,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trunkline_testbed::peer::What;

use self::ears::Ears;
use self::mouth::Mouth;
use self::tell::Teller;

/// Joining and publishing each take some round trips; bad networks are what this
/// program is for.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

/// Leaving takes a round trip, or this where nothing gets through.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// Join a LiveKit room, say something, listen, and tell what happens as JSON lines.
#[derive(Debug, Parser)]
#[command(group(ArgGroup::new("speech").args(["publish", "say", "tone"])))]
struct Arguments {
    /// The server: ws://HOST:PORT
    #[arg(long)]
    url: String,
    /// A token for one room
    #[arg(long, env = "TRUNKLINE_PEER_TOKEN", hide_env_values = true)]
    token: String,
    /// Publish this WAV file (mono, 8 to 48 kHz): silence before and after it
    #[arg(long, value_name = "FILE.wav")]
    publish: Option<PathBuf>,
    /// Publish this sentence in the testbed's voice, which carries its words
    #[arg(long, value_name = "SENTENCE")]
    say: Option<String>,
    /// Publish a tone
    #[arg(long, value_name = "HZ")]
    tone: Option<f32>,
    /// Begin to speak then, in microseconds since 1970; otherwise when published
    #[arg(long, value_name = "UNIX_US")]
    speak_at_us: Option<u64>,
    /// Say the sentence or the file again and again, half a second apart
    #[arg(long)]
    repeat: bool,
    /// Send nothing while silent
    #[arg(long)]
    dtx: bool,
    /// Send every packet's predecessor along (RED)
    #[arg(long)]
    red: bool,
    /// Record what is heard, with the time of every 10 ms in OUT.wav.times.csv
    #[arg(long, value_name = "OUT.wav")]
    record: Option<PathBuf>,
    /// Samples a second of what is heard and of what is said, but for a file
    #[arg(long, default_value_t = 24_000, value_name = "HZ")]
    rate: u32,
    /// Hear this participant only
    #[arg(long, value_name = "IDENTITY")]
    from: Option<String>,
    /// Tell when this tone is heard and when it is gone
    #[arg(long, value_name = "HZ")]
    listen_for_tone: Option<f32>,
    /// Tell which sentences of the testbed's voice are heard
    #[arg(long)]
    listen_for_speech: bool,
    /// Use two peer connections, as older servers want it
    #[arg(long)]
    dual: bool,
    /// Tell the statistics this often
    #[arg(long, value_name = "SECONDS")]
    stats_every: Option<f64>,
    /// Leave after this long in the room; otherwise at SIGTERM
    #[arg(long, value_name = "SECONDS")]
    for_seconds: Option<f64>,
    /// Where to tell; otherwise on standard output
    #[arg(long, value_name = "FILE.jsonl")]
    events: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    trunkline_testbed::install_crypto();
    let arguments = Arguments::parse();
    let teller = Teller::new(arguments.events.as_deref())?;
    let mouth = Mouth::new(&arguments)?;
    let ears = Ears::new(&arguments, teller.clone())?;

    let mut options = RoomOptions::default();
    options.single_peer_connection = !arguments.dual;
    let connect = Room::connect(&arguments.url, &arguments.token, options);
    let (room, events) = tokio::time::timeout(JOIN_LIMIT, connect)
        .await
        .context("the room was not joined in time")?
        .context("the room cannot be joined")?;
    teller.tell(What::Joined)?;

    let stay = stay(&arguments, &room, &teller, mouth, ears, events).await;
    // An error means that the room is closed already.
    if tokio::time::timeout(LEAVE_LIMIT, room.close())
        .await
        .is_err()
    {
        tracing::warn!("the room was not left in time");
    }
    teller.tell(What::Left)?;
    stay
}

/// Everything from joining to leaving.
async fn stay(
    arguments: &Arguments,
    room: &Room,
    teller: &Teller,
    mouth: Option<Mouth>,
    mut ears: Ears,
    mut events: mpsc::UnboundedReceiver<RoomEvent>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let leave = sleep(arguments.for_seconds);
    tokio::pin!(leave);
    let mut stats = arguments
        .stats_every
        .map(|every| tokio::time::interval(Duration::from_secs_f64(every)));
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    if let Some(mouth) = mouth {
        let publish = publish(arguments, room, &mouth);
        tokio::time::timeout(JOIN_LIMIT, publish)
            .await
            .context("the track was not published in time")??;
        teller.tell(What::Published)?;
        tasks.spawn(mouth.speak(teller.clone()));
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => if !happened(event, arguments, teller, &mut ears)? {
                    break;
                }
                None => break,
            },
            () = &mut leave => break,
            _ = terminate.recv() => break,
            () = tick(&mut stats) => {
                match stats::read(room).await {
                    Ok(stats) => teller.tell(What::Stats(Box::new(stats)))?,
                    // While it is mended, there may be no connection to ask.
                    Err(error) => tracing::debug!("{error:#}"),
                }
            }
            Some(done) = tasks.join_next() => done.context("the mouth failed")??,
        }
    }
    tasks.shutdown().await;
    ears.close().await
}

/// Tells what happened in the room; `false`: it is over.
fn happened(
    event: RoomEvent,
    arguments: &Arguments,
    teller: &Teller,
    ears: &mut Ears,
) -> anyhow::Result<bool> {
    match event {
        RoomEvent::Reconnecting => teller.tell(What::Reconnecting)?,
        RoomEvent::Reconnected => teller.tell(What::Reconnected)?,
        RoomEvent::Disconnected { reason } => {
            let reason = reason.as_str_name().to_owned();
            teller.tell(What::Disconnected { reason })?;
            return Ok(false);
        }
        RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            participant,
            ..
        } => {
            let from = participant.identity().0;
            if arguments.from.as_ref().is_none_or(|only| *only == from) {
                ears.listen(track, from)?;
            }
        }
        RoomEvent::TrackUnsubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } => ears.turn_away(&track)?,
        _ => {}
    }
    Ok(true)
}

async fn publish(arguments: &Arguments, room: &Room, mouth: &Mouth) -> anyhow::Result<()> {
    let track = LocalAudioTrack::create_audio_track("mouth", mouth.source());
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        dtx: arguments.dtx,
        red: arguments.red,
        ..Default::default()
    };
    room.local_participant()
        .publish_track(LocalTrack::Audio(track), options)
        .await
        .context("the track was not published")?;
    Ok(())
}

/// For ever without a number.
async fn sleep(seconds: Option<f64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
        None => std::future::pending().await,
    }
}

/// Never without an interval.
async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
