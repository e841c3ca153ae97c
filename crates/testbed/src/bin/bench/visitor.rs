//! The role of a process that joins rooms and leaves them, again and again, and is weighed
//! between. Each visit has a track of its own and a subscription.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    ConnectionState, LocalAudioTrack, LocalTrack, RemoteTrack, Room, RoomEvent, RoomOptions,
    TrackSource,
};
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::protocol::Ticket;
use crate::speech::Speech;
use crate::usage::Usage;
use crate::{allocations, orders};

const RATE: u32 = 24_000;
const TRACK_BUFFER_MS: u32 = 100;

/// Visits that begin at the same time: what makes the machine busy without making anything late.
const AT_ONCE: usize = 8;

/// How long any step of a visit may take. A full reconnect to a server that was killed takes the
/// SDK up to a minute.
const STEP_LIMIT: Duration = Duration::from_secs(180);

/// How long tasks that are told to end may take for it. A task that is stuck is never done.
const REST_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked whether they have; longer than the goodbye of the engine.
const REST_POLL: Duration = Duration::from_millis(500);

/// To a visitor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Joins these rooms and waits in each until the other side is heard.
    Enter { rooms: Vec<Ticket> },
    /// Waits until the connection to each room was lost and is back.
    Reconnect,
    /// Leaves all rooms, each when this has happened in it.
    Leave { after: After },
    /// Begins to join these rooms, and lets go in the middle of it.
    Cancel { rooms: Vec<Ticket> },
    /// Waits until everything has ended that is ending; answered with [`Weight`].
    Weigh {
        /// As many tasks as there are without a room; waited for.
        tasks: usize,
    },
}

/// What a visitor waits for before it leaves a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum After {
    /// Leaves at once.
    Nothing,
    /// Nobody else is there.
    OtherLeft,
    /// The server has ended the room.
    Disconnected,
}

/// The order was obeyed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {}

/// What the process weighs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Weight {
    /// Rust's live heap, exactly.
    pub(crate) heap_bytes: i64,
    pub(crate) pss_kb: f64,
    pub(crate) tasks: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

struct Visit {
    room: Room,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    tasks: JoinSet<()>,
}

/// Obeys until standard input ends.
pub(crate) async fn run() -> anyhow::Result<()> {
    let speech = Arc::new(Speech::synthetic(RATE));
    let mut visits = Vec::new();
    while let Some(order) = orders::next().await? {
        match order {
            Order::Enter { rooms } => {
                let mut entering = futures_util::stream::iter(rooms)
                    .map(|ticket| enter(ticket, &speech))
                    .buffer_unordered(AT_ONCE);
                while let Some(visit) = entering.next().await {
                    visits.push(visit?);
                }
                orders::answer(&Done {})?;
            }
            Order::Reconnect => {
                for visit in &mut visits {
                    reconnect(visit).await?;
                }
                orders::answer(&Done {})?;
            }
            Order::Leave { after } => {
                for visit in visits.drain(..) {
                    leave(visit, after).await?;
                }
                orders::answer(&Done {})?;
            }
            Order::Cancel { rooms } => {
                for (index, ticket) in rooms.into_iter().enumerate() {
                    cancel(ticket, index).await;
                }
                orders::answer(&Done {})?;
            }
            Order::Weigh { tasks } => orders::answer(&weigh(tasks).await?)?,
        }
    }
    Ok(())
}

async fn enter(ticket: Ticket, speech: &Arc<Speech>) -> anyhow::Result<Visit> {
    let connect = Room::connect(&ticket.url, &ticket.token, RoomOptions::default());
    let (room, mut events) = in_time("joining a room", connect).await??;
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, TRACK_BUFFER_MS);
    let track =
        LocalAudioTrack::create_audio_track("voice", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        ..TrackPublishOptions::default()
    };
    let participant = room.local_participant();
    in_time(
        "publishing a track",
        participant.publish_track(LocalTrack::Audio(track), options),
    )
    .await??;
    let mut tasks = JoinSet::new();
    let mut place = speech.place(0);
    tasks.spawn(async move { while source.capture_frame(&place.next_frame()).await.is_ok() {} });
    let track = in_time("a subscription", async {
        loop {
            let event = events.recv().await.context("the room's events ended")?;
            if let RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                ..
            } = event
            {
                return anyhow::Ok(track);
            }
        }
    })
    .await??;
    let mut stream = NativeAudioStream::new(track.rtc_track(), RATE.cast_signed(), 1);
    in_time("the first sound", async {
        while let Some(frame) = stream.next().await {
            if frame.data.iter().any(|sample| *sample != 0) {
                return Ok(());
            }
        }
        anyhow::bail!("the stream ended without a sound")
    })
    .await??;
    tasks.spawn(async move { while stream.next().await.is_some() {} });
    Ok(Visit {
        room,
        events,
        tasks,
    })
}

async fn reconnect(visit: &mut Visit) -> anyhow::Result<()> {
    in_time("coming back", async {
        loop {
            match visit
                .events
                .recv()
                .await
                .context("the room's events ended")?
            {
                RoomEvent::Reconnected => return Ok(()),
                RoomEvent::Disconnected { reason } => {
                    anyhow::bail!("the SDK gave up a room: {reason:?}")
                }
                _ => {}
            }
        }
    })
    .await?
}

async fn leave(mut visit: Visit, after: After) -> anyhow::Result<()> {
    in_time("what comes before leaving", async {
        while !has_happened(&visit.room, after) {
            visit
                .events
                .recv()
                .await
                .context("the room's events ended")?;
        }
        anyhow::Ok(())
    })
    .await??;
    // An error means that the room is closed already.
    let _ = in_time("leaving", visit.room.close()).await?;
    visit.tasks.shutdown().await;
    Ok(())
}

fn has_happened(room: &Room, after: After) -> bool {
    match after {
        After::Nothing => true,
        After::OtherLeft => room.remote_participants().is_empty(),
        After::Disconnected => room.connection_state() == ConnectionState::Disconnected,
    }
}

/// Lets go of a join: each a little later in it than the last, from before the first byte to
/// when it is nearly done.
async fn cancel(ticket: Ticket, index: usize) {
    const STEP: Duration = Duration::from_millis(3);
    const STEPS: u32 = 16;
    let after = STEP * (u32::try_from(index).unwrap_or_default() % STEPS);
    let connect = Room::connect(&ticket.url, &ticket.token, RoomOptions::default());
    if let Ok(Ok((room, _events))) = tokio::time::timeout(after, connect).await {
        // It was quicker than that, and leaves as anybody does.
        let _ = room.close().await;
    }
}

/// Waits until no task is left over, or it is clear that one will not end.
async fn weigh(tasks: usize) -> anyhow::Result<Weight> {
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let until = tokio::time::Instant::now() + REST_LIMIT;
    let mut last = (0, 0);
    loop {
        let usage = Usage::of(i32::try_from(std::process::id())?)?;
        let now = (alive(), usage.descriptors);
        // Twice the same: sockets of the engine end after their tasks' farewell.
        if (now.0 <= tasks && now == last) || tokio::time::Instant::now() >= until {
            return Ok(Weight {
                heap_bytes: allocations::live_bytes(),
                pss_kb: usage.pss_kb,
                tasks: now.0,
                descriptors: now.1,
                threads: usage.threads,
            });
        }
        last = now;
        tokio::time::sleep(REST_POLL).await;
    }
}

/// Bounds a step.
async fn in_time<T>(what: &str, step: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(STEP_LIMIT, step)
        .await
        .with_context(|| format!("{what} takes too long"))
}
