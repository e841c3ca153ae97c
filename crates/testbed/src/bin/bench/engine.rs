//! `bench engine`: what a room costs.
//!
//! One process sits in N rooms with a track each way and is measured from outside, by what the
//! kernel counts for it; the other side of all rooms is a process of its own, and so are the
//! server and this one. The same is done with the official Python SDK in one process, which runs
//! Google's C++ engine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use livekit_api::access_token::VideoGrants;
use serde::Serialize;
use serde_json::json;
use trunkline_testbed::livekit::{self, LiveKitOptions, LiveKitServer};

use crate::child::Child;
use crate::protocol::{Counted, Joined, Left, Order, Ticket};
use crate::report::{Table, median, say};
use crate::speech::Speech;
use crate::usage::{Span, Usage};
use crate::{opus_alone, pair};

/// What the product takes from and gives to its model.
const RATE: u32 = 24_000;

/// After the last join, until handshakes, first decodes and the like are over.
const SETTLE: Duration = Duration::from_secs(4);

/// One join may take that long on a machine at its limit.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// With less than this share of the audio heard, an engine did not do what it was measured at.
const ENOUGH_HEARD: f64 = 0.97;

#[derive(Args)]
pub(crate) struct EngineArguments {
    /// How many rooms, in steps
    #[arg(long, value_delimiter = ',', default_value = "1,10,50,100")]
    rooms: Vec<usize>,
    /// How long each step is measured
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The Python that has the packages of crates/testbed/python/requirements.txt; without it
    /// only our engine is measured
    #[arg(long)]
    python: Option<PathBuf>,
    /// 16-bit samples of 24 kHz; the testbed's own voice where it is not given
    #[arg(long)]
    speech: Option<PathBuf>,
    /// Not more rooms than this with the C++ engine
    #[arg(long, default_value_t = 100)]
    libwebrtc_rooms: usize,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
struct Row {
    rooms: usize,
    kb_per_room: f64,
    cores_per_room: f64,
    cores_per_room_with_codec: f64,
    threads: usize,
    fds: usize,
    join_ms_p50: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocations_per_packet: Option<f64>,
    sound_ms_p50: f64,
    heard_share: f64,
    machine_busy: f64,
}

/// A process in some number of rooms, before it is a line of the table.
struct Step {
    rooms: usize,
    usage: Usage,
    span: Span,
    joined: Joined,
    heard_share: f64,
    allocations_per_packet: Option<f64>,
}

struct Bench<'a> {
    arguments: &'a EngineArguments,
    server: LiveKitServer,
    opus: f64,
}

pub(crate) async fn run(arguments: EngineArguments) -> anyhow::Result<()> {
    let speech = match &arguments.speech {
        Some(path) => Speech::read(path, RATE)?,
        None => Speech::synthetic(RATE),
    };
    say(&format!(
        "What a room costs: an audio track each way at {} kHz, speech without pause both ways,",
        RATE / 1_000
    ))?;
    say(&format!(
        "livekit 0.10.0, livekit-server {}, {} cores for everybody.",
        livekit::VERSION,
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    ))?;
    say("")?;
    let opus = opus_alone::cores_per_room(&speech)?;
    say(&format!(
        "libopus alone, one stream encoded and one decoded: {} % of a core (the limit).",
        percent(opus)
    ))?;
    let alone = pair::measure(&arguments.speech).await?;
    say(&alone.text())?;
    let bench = Bench {
        arguments: &arguments,
        server: LiveKitServer::start(LiveKitOptions {
            log_level: "warn".to_owned(),
            ..LiveKitOptions::default()
        })
        .await?,
        opus,
    };
    let ours = bench.climb(Who::Ours).await?;
    let libwebrtc = match arguments.python {
        Some(_) => bench.climb(Who::Libwebrtc).await?,
        None => Vec::new(),
    };
    bench.explain()?;
    say(&json!({
        "ours": ours,
        "libwebrtc": libwebrtc,
        "limit": { "opus_cores_per_room": round(opus, 5) },
    })
    .to_string())
}

/// Whose engine sits in the rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Ours,
    Libwebrtc,
}

impl Bench<'_> {
    /// Fills rooms, step by step, in one process.
    async fn climb(&self, who: Who) -> anyhow::Result<Vec<Row>> {
        say("")?;
        say(match who {
            Who::Ours => "This engine, under the official Rust SDK:",
            Who::Libwebrtc => "Google's C++ engine, under the official Python SDK:",
        })?;
        let mut far = Child::role("rooms", &self.rooms_arguments("shut"))?;
        let mut measured = self.measured(who)?;
        // Once asked, the process has started everything that it needs without rooms.
        let _: Counted = measured.ask(&Order::Count, ANSWER_LIMIT).await?;
        let empty = Usage::of(measured.pid()?)?;
        let table = Table::new(&[
            ("rooms", 5),
            ("kB/room", 8),
            ("core/room", 10),
            ("- Opus", 9),
            ("threads", 7),
            ("fds", 5),
            ("allocs/packet", 13),
            ("join ms", 8),
            ("sound ms", 8),
            ("heard", 6),
            ("machine", 7),
        ])?;
        let mut rows: Vec<Row> = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        for &rooms in &self.arguments.rooms {
            if who == Who::Libwebrtc && rooms > self.arguments.libwebrtc_rooms {
                say(&format!("  {rooms} rooms were not asked for."))?;
                break;
            }
            if let Some(last) = rows.last() {
                let expected = last.cores_per_room_with_codec * rooms as f64;
                let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
                if expected > cores as f64 {
                    say(&format!(
                        "  {rooms} rooms would need {expected:.1} cores, and there are {cores}: left out."
                    ))?;
                    break;
                }
            }
            let before = steps.last().map_or(0, |step| step.rooms);
            let step = match self.step(who, &mut far, &mut measured, before, rooms).await {
                Ok(step) => step,
                Err(error) => {
                    say(&format!("  {rooms} rooms were too many: {error:#}"))?;
                    break;
                }
            };
            let row = self.row(&empty, steps.first(), &step);
            table.row(&[
                rooms.to_string(),
                format!("{:.0}", row.kb_per_room),
                format!("{} %", percent(row.cores_per_room_with_codec)),
                format!("{} %", percent(row.cores_per_room)),
                row.threads.to_string(),
                row.fds.to_string(),
                row.allocations_per_packet
                    .map_or_else(|| "-".to_owned(), |n| format!("{n:.2}")),
                format!("{:.0}", row.join_ms_p50),
                format!("{:.0}", row.sound_ms_p50),
                format!("{:.0} %", row.heard_share * 100.0),
                format!("{:.0} %", row.machine_busy * 100.0),
            ])?;
            rows.push(row);
            steps.push(step);
        }
        for child in [&mut measured, &mut far] {
            let _: Left = child.ask(&Order::Leave, ANSWER_LIMIT).await?;
        }
        measured.end().await?;
        far.end().await?;
        Ok(rows)
    }

    fn measured(&self, who: Who) -> anyhow::Result<Child> {
        let arguments = self.rooms_arguments("open");
        match who {
            Who::Ours => Child::role("rooms", &arguments),
            Who::Libwebrtc => {
                let python = self.arguments.python.as_ref().context("no Python")?;
                Child::script("rooms", python, &arguments)
            }
        }
    }

    fn rooms_arguments(&self, ears: &'static str) -> Vec<&str> {
        let mut arguments = vec!["--rate", "24000", "--ears", ears];
        if let Some(speech) = self
            .arguments
            .speech
            .as_ref()
            .and_then(|path| path.to_str())
        {
            arguments.extend(["--speech", speech]);
        }
        arguments
    }

    /// Adds rooms and measures all of them together.
    async fn step(
        &self,
        who: Who,
        far: &mut Child,
        measured: &mut Child,
        before: usize,
        rooms: usize,
    ) -> anyhow::Result<Step> {
        let limit = JOIN_LIMIT * u32::try_from(rooms - before)?;
        let _: Joined = far
            .ask(&self.join(who, "far", before, rooms)?, limit)
            .await?;
        let joined: Joined = measured
            .ask(&self.join(who, "near", before, rooms)?, limit)
            .await?;
        tokio::time::sleep(SETTLE).await;
        let pid = measured.pid()?;
        let counted: Counted = measured.ask(&Order::Count, ANSWER_LIMIT).await?;
        let earlier = Usage::of(pid)?;
        tokio::time::sleep(Duration::from_secs(self.arguments.seconds)).await;
        let usage = Usage::of(pid)?;
        let later: Counted = measured.ask(&Order::Count, ANSWER_LIMIT).await?;
        let span = usage.since(&earlier);
        let due_ms = span.wall.as_secs_f64() * 1_000.0 * rooms as f64;
        let spoken = (later.spoken_ms - counted.spoken_ms) as f64;
        let heard = (later.heard_ms - counted.heard_ms) as f64;
        let packets = (spoken + heard) / f64::from(crate::speech::FRAME_MS);
        let allocations = later
            .allocations
            .zip(counted.allocations)
            .map(|(later, earlier)| (later - earlier) as f64 / packets);
        let heard_share = spoken.min(heard) / due_ms;
        if heard_share < ENOUGH_HEARD {
            say(&format!(
                "  with {rooms} rooms only {:.0} % of the audio came through in time",
                heard_share * 100.0
            ))?;
        }
        Ok(Step {
            rooms,
            usage,
            span,
            joined,
            heard_share,
            allocations_per_packet: allocations,
        })
    }

    fn join(&self, who: Who, side: &str, from: usize, to: usize) -> anyhow::Result<Order> {
        let rooms = (from..to)
            .map(|index| {
                let grants = VideoGrants {
                    room_join: true,
                    room: format!("{who:?}-{index}"),
                    ..VideoGrants::default()
                };
                Ok(Ticket {
                    url: self.server.url(),
                    token: self.server.token(side, grants)?,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Order::Join { rooms, at_once: 1 })
    }

    /// Memory by the slope: against the first step, so that what a process needs once is not
    /// counted for its rooms; the first step itself against the process without rooms.
    fn row(&self, empty: &Usage, first: Option<&Step>, step: &Step) -> Row {
        let (base_kb, base_rooms) = match first {
            Some(first) => (first.usage.pss_kb, first.rooms),
            None => (empty.pss_kb, 0),
        };
        let with_codec = step.span.cores / step.rooms as f64;
        Row {
            rooms: step.rooms,
            kb_per_room: round(
                (step.usage.pss_kb - base_kb) / (step.rooms - base_rooms) as f64,
                1,
            ),
            cores_per_room: round(with_codec - self.opus, 5),
            cores_per_room_with_codec: round(with_codec, 5),
            threads: step.usage.threads,
            fds: step.usage.descriptors,
            join_ms_p50: round(median(&step.joined.join_ms), 1),
            allocations_per_packet: step.allocations_per_packet.map(|n| round(n, 3)),
            sound_ms_p50: round(median(&step.joined.sound_ms), 1),
            heard_share: round(step.heard_share, 4),
            machine_busy: round(step.span.machine_busy, 3),
        }
    }

    fn explain(&self) -> anyhow::Result<()> {
        say("")?;
        say(
            "kB/room: proportional set size, the slope from the first line on; the first line holds",
        )?;
        say(
            "  what the process needs once. core/room: processor time of the whole process, kernel",
        )?;
        say(
            "  included, while every room speaks and is listened to. - Opus: the same less libopus'",
        )?;
        say(
            "  share as measured alone above, with warm caches: in place it needs more, so that what",
        )?;
        say(
            "  is left is rather too high. The C++ engine uses Opus at 48 kHz with settings of its",
        )?;
        say(
            "  own; its codec costs more than what is taken off here. heard: share of the audio that",
        )?;
        say("  came through in time. machine: how busy all cores were, with everybody on them.")
    }
}

fn percent(cores: f64) -> String {
    format!("{:.2}", cores * 100.0)
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
