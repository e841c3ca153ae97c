//! The role of a process that sits in rooms: the one that is measured, and the one that sits on
//! the other side of each of its rooms.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{
    LocalAudioTrack, LocalTrack, RemoteTrack, Room, RoomEvent, RoomOptions, TrackSource,
};
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::protocol::{Counted, Joined, Left, Order, Ticket};
use crate::speech::Speech;
use crate::{allocations, orders};

/// What a track buffers, as in the product.
const TRACK_BUFFER_MS: u32 = 100;

/// How long anything may take that joins or leaves, on a machine that is at its limit.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A sample beyond this is sound, about −36 dBFS.
const SOUND: u16 = 500;

/// Whether the process decodes what the other side says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ears {
    Open,
    Shut,
}

/// How the process behaves.
#[derive(Args)]
pub(crate) struct RoomsArguments {
    #[arg(long)]
    rate: u32,
    /// 16-bit samples of that rate
    #[arg(long)]
    speech: Option<PathBuf>,
    #[arg(long, value_enum)]
    ears: Ears,
}

/// What all rooms count together.
#[derive(Default)]
struct Counters {
    spoken_frames: AtomicU64,
    heard_samples: AtomicU64,
}

struct Process {
    speech: Speech,
    ears: Ears,
    counters: Arc<Counters>,
    seats: Vec<Seat>,
}

/// A place in a room.
struct Seat {
    room: Room,
    /// The voice, the ear and the reader of events; they end with it.
    _tasks: JoinSet<()>,
}

/// How somebody sat down.
struct Arrival {
    seat: Seat,
    join_ms: f64,
    sound_ms: Option<f64>,
}

/// Obeys until standard input ends.
pub(crate) async fn run(arguments: RoomsArguments) -> anyhow::Result<()> {
    let speech = match &arguments.speech {
        Some(path) => Speech::read(path, arguments.rate)?,
        None => Speech::synthetic(arguments.rate),
    };
    let mut process = Process {
        speech,
        ears: arguments.ears,
        counters: Arc::default(),
        seats: Vec::new(),
    };
    while let Some(order) = orders::next().await? {
        match order {
            Order::Join { rooms, at_once } => {
                orders::answer(&process.join(rooms, at_once).await?)?;
            }
            Order::Count => orders::answer(&process.count())?,
            Order::Leave => {
                process.leave().await;
                orders::answer(&Left {})?;
            }
        }
    }
    Ok(())
}

impl Process {
    async fn join(&mut self, tickets: Vec<Ticket>, at_once: usize) -> anyhow::Result<Joined> {
        let mut joined = Joined {
            join_ms: Vec::new(),
            sound_ms: Vec::new(),
        };
        let seated = self.seats.len();
        let this = &*self;
        let mut arrivals = futures_util::stream::iter(tickets.into_iter().enumerate())
            .map(|(index, ticket)| this.sit_down(ticket, seated + index))
            .buffered(at_once.max(1));
        let mut seats = Vec::new();
        while let Some(arrival) = arrivals.next().await {
            let arrival = arrival?;
            joined.join_ms.push(arrival.join_ms);
            joined.sound_ms.extend(arrival.sound_ms);
            seats.push(arrival.seat);
        }
        drop(arrivals);
        self.seats.extend(seats);
        Ok(joined)
    }

    /// Joins a room, speaks in it and, with open ears, waits until it hears somebody.
    async fn sit_down(&self, ticket: Ticket, voice: usize) -> anyhow::Result<Arrival> {
        let began = Instant::now();
        let since = || began.elapsed().as_secs_f64() * 1_000.0;
        let connect = Room::connect(&ticket.url, &ticket.token, RoomOptions::default());
        let (room, events) = in_time("joining a room", connect).await??;
        let join_ms = since();
        let mut tasks = JoinSet::new();
        let heard = watch::Sender::new(false);
        let mut hears = heard.subscribe();
        tasks.spawn(attend(
            events,
            self.ears,
            self.speech.rate,
            Arc::clone(&self.counters),
            heard,
        ));
        let source = NativeAudioSource::new(
            AudioSourceOptions::default(),
            self.speech.rate,
            1,
            TRACK_BUFFER_MS,
        );
        let track =
            LocalAudioTrack::create_audio_track("voice", RtcAudioSource::Native(source.clone()));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        let participant = room.local_participant();
        let publish = participant.publish_track(LocalTrack::Audio(track), options);
        in_time("publishing a track", publish).await??;
        let mut place = self.speech.place(voice);
        let counters = Arc::clone(&self.counters);
        tasks.spawn(async move {
            while source.capture_frame(&place.next_frame()).await.is_ok() {
                counters.spoken_frames.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut sound_ms = None;
        if self.ears == Ears::Open {
            in_time("hearing somebody", hears.wait_for(|heard| *heard)).await??;
            sound_ms = Some(since());
        }
        let seat = Seat {
            room,
            _tasks: tasks,
        };
        Ok(Arrival {
            seat,
            join_ms,
            sound_ms,
        })
    }

    fn count(&self) -> Counted {
        let spoken = self.counters.spoken_frames.load(Ordering::Relaxed);
        let heard = self.counters.heard_samples.load(Ordering::Relaxed);
        Counted {
            spoken_ms: spoken * u64::from(crate::speech::FRAME_MS),
            heard_ms: heard * 1_000 / u64::from(self.speech.rate),
            allocations: Some(allocations::count()),
            tasks: Some(
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks(),
            ),
        }
    }

    async fn leave(&mut self) {
        for seat in self.seats.drain(..) {
            match tokio::time::timeout(STEP_LIMIT, seat.room.close()).await {
                // An error means that the room is closed already.
                Ok(Ok(()) | Err(_)) => {}
                Err(_) => tracing::warn!("a room does not close"),
            }
        }
    }
}

/// Bounds a step.
async fn in_time<T>(what: &str, step: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(STEP_LIMIT, step)
        .await
        .with_context(|| format!("{what} takes too long"))
}

/// Reads a room's events, and listens to the first track.
async fn attend(
    mut events: mpsc::UnboundedReceiver<RoomEvent>,
    ears: Ears,
    rate: u32,
    counters: Arc<Counters>,
    heard: watch::Sender<bool>,
) {
    let mut listening = JoinSet::new();
    while let Some(event) = events.recv().await {
        let RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } = event
        else {
            continue;
        };
        if ears == Ears::Shut {
            continue;
        }
        let mut stream = NativeAudioStream::new(track.rtc_track(), rate.cast_signed(), 1);
        let counters = Arc::clone(&counters);
        let heard = heard.clone();
        listening.spawn(async move {
            while let Some(frame) = stream.next().await {
                counters
                    .heard_samples
                    .fetch_add(u64::from(frame.samples_per_channel), Ordering::Relaxed);
                if frame
                    .data
                    .iter()
                    .any(|sample| sample.unsigned_abs() > SOUND)
                {
                    heard.send_if_modified(|heard| !std::mem::replace(heard, true));
                }
            }
        });
    }
}
