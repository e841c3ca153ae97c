//! `bench leaks`: whether a process that has joined and left thousands of rooms is as it was.
//!
//! One process joins, hears and leaves, and weighs itself; the other side of its rooms, the
//! server and this one are others. The end of a room comes in every way that a call ends in.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use livekit_api::access_token::VideoGrants;
use serde::Serialize;
use serde_json::json;
use trunkline_testbed::livekit::{self, LiveKitOptions, LiveKitServer};

use crate::child::Child;
use crate::engine::round;
use crate::protocol::{self, Joined, Left, Ticket};
use crate::report::{Table, say};
use crate::visitor::{After, Done, Order, Weight};

/// Rooms that are open at the same time.
const BATCH: usize = 20;

/// Joins of the other side at the same time.
const FAR_AT_ONCE: usize = 8;

/// How long a batch may take. A killed server costs the SDK up to a minute for each.
const LIMIT: Duration = Duration::from_secs(400);

/// Joins that show what the SDK leaks when a room is left with somebody else in it.
const KNOWN_LEAK_ROOMS: usize = 40;

/// The visitor's allocator gives back at once what is free, lest its stock counts as left behind.
const GIVE_BACK: &[(&str, &str)] = &[("MIMALLOC_PURGE_DELAY", "0")];

#[derive(Args)]
pub(crate) struct LeaksArguments {
    /// All joins, the first included
    #[arg(long, default_value_t = 2_000)]
    joins: usize,
    /// After so many joins everything that is kept for ever is there
    #[arg(long, default_value_t = 200)]
    warm_up: usize,
    /// Most memory that may stay behind for a room
    #[arg(long, default_value_t = 1.0)]
    limit_kb: f64,
}

/// How a room ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// The other side leaves, we see it, and leave.
    ByUs,
    /// The server deletes the room with both in it.
    Deleted,
    /// The join is given up half-way.
    Cancelled,
    /// The server is killed and comes back; we leave when we are back too.
    Killed,
}

impl End {
    const ALL: [Self; 4] = [Self::ByUs, Self::Deleted, Self::Cancelled, Self::Killed];

    /// Its share of all joins, in tenths.
    const fn tenths(self) -> usize {
        match self {
            Self::ByUs => 4,
            Self::Deleted | Self::Cancelled | Self::Killed => 2,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::ByUs => "the other side leaves, then we",
            Self::Deleted => "the server deletes the room",
            Self::Cancelled => "the join is cancelled",
            Self::Killed => "the server is killed",
        }
    }
}

/// What a number of joins with one end left behind.
#[derive(Debug, Serialize)]
struct Block {
    end: End,
    rooms: usize,
    heap_bytes_per_room: f64,
    pss_kb_per_room: f64,
}

struct Bench {
    server: LiveKitServer,
    visitor: Child,
    far: Child,
    rooms: usize,
}

pub(crate) async fn run(arguments: LeaksArguments) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        arguments.warm_up < arguments.joins,
        "there is nothing to measure after the first {} joins",
        arguments.warm_up
    );
    let mut bench = Bench::start().await?;
    say(&format!(
        "Joins and leaves with a subscription and a track each, livekit 0.10.0, livekit-server {}.",
        livekit::VERSION
    ))?;
    let idle = bench.weigh(usize::MAX).await?;
    for end in End::ALL {
        bench.visit(end, share(end, arguments.warm_up)).await?;
    }
    let before = bench.weigh(idle.tasks).await?;
    say(&format!(
        "After the first {}: {:.1} MB, of which {:.1} MB live heap; {} tasks, {} descriptors, {} threads.",
        arguments.warm_up,
        before.pss_kb / 1_000.0,
        before.heap_bytes as f64 / 1e6,
        before.tasks,
        before.descriptors,
        before.threads,
    ))?;
    say("")?;
    let table = Table::new(&[
        ("end", 32),
        ("rooms", 6),
        ("heap B/room", 12),
        ("kB/room", 8),
        ("tasks", 6),
        ("fds", 5),
    ])?;
    let rest = arguments.joins - arguments.warm_up;
    let mut blocks = Vec::new();
    let mut last = before;
    for end in End::ALL {
        let rooms = share(end, rest);
        bench.visit(end, rooms).await?;
        let now = bench.weigh(idle.tasks).await?;
        let block = Block::between(end, rooms, &last, &now);
        table.row(&[
            end.text().to_owned(),
            rooms.to_string(),
            format!("{:.0}", block.heap_bytes_per_room),
            format!("{:.2}", block.pss_kb_per_room),
            now.tasks.to_string(),
            now.descriptors.to_string(),
        ])?;
        blocks.push(block);
        last = now;
    }
    let after = last;
    let kb_per_room = (after.pss_kb - before.pss_kb) / rest as f64;
    let heap_bytes_per_room = (after.heap_bytes - before.heap_bytes) as f64 / rest as f64;
    let known = bench.known_leak(idle.tasks, after).await?;
    bench.end().await?;

    let is_clean = kb_per_room < arguments.limit_kb
        && heap_bytes_per_room < arguments.limit_kb * 1_000.0
        && after.tasks <= before.tasks
        && after.descriptors <= before.descriptors;
    explain(known, is_clean)?;
    say(&json!({
        "joins": arguments.joins,
        "warm_up": arguments.warm_up,
        "kb_per_room": round(kb_per_room, 3),
        "heap_bytes_per_room": round(heap_bytes_per_room, 1),
        "tasks": { "before": before.tasks, "after": after.tasks },
        "fds": { "before": before.descriptors, "after": after.descriptors },
        "ends": blocks,
        "sdk_leak_bytes_per_room": round(known, 0),
        "clean": is_clean,
    })
    .to_string())?;
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn explain(known: f64, is_clean: bool) -> anyhow::Result<()> {
    say("")?;
    say("The SDK's own leak: a remote participant's publication keeps the participant that keeps")?;
    say(
        "  the publication, and with it the room's engine, until the participant is said to have left",
    )?;
    say("  or the connection is made anew.")?;
    say(&format!(
        "  A room that is left with the other side still in it leaves {known:.0} bytes behind for ever."
    ))?;
    say(
        "  Way round it: the other side leaves first (a call removes the caller), we wait for the",
    )?;
    say(
        "  event, and close the room then. Of a room that the server deletes our socket says that all",
    )?;
    say("  have left it before it says that it has ended (crates/signalling).")?;
    say(match is_clean {
        true => "Nothing has stayed behind.",
        false => "SOMETHING HAS STAYED BEHIND.",
    })
}

/// How many of `joins` end like this.
fn share(end: End, joins: usize) -> usize {
    joins * end.tenths() / 10
}

impl Block {
    fn between(end: End, rooms: usize, before: &Weight, after: &Weight) -> Self {
        let each = |difference: f64| difference / rooms.max(1) as f64;
        Self {
            end,
            rooms,
            heap_bytes_per_room: round(each((after.heap_bytes - before.heap_bytes) as f64), 1),
            pss_kb_per_room: round(each(after.pss_kb - before.pss_kb), 3),
        }
    }
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let server = LiveKitServer::start(LiveKitOptions {
            log_level: "error".to_owned(),
            ..LiveKitOptions::default()
        })
        .await?;
        Ok(Self {
            server,
            visitor: Child::role_with("visitor", &[], GIVE_BACK)?,
            far: Child::role("rooms", &["--rate", "8000", "--ears", "shut"])?,
            rooms: 0,
        })
    }

    /// Joins and leaves so often, in batches.
    async fn visit(&mut self, end: End, mut rooms: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        let all = rooms;
        while rooms > 0 {
            let batch = rooms.min(BATCH);
            self.batch(end, batch).await?;
            rooms -= batch;
            tracing::info!(
                end = end.text(),
                done = all - rooms,
                of = all,
                seconds = began.elapsed().as_secs(),
                "joined and left"
            );
        }
        Ok(())
    }

    async fn batch(&mut self, end: End, rooms: usize) -> anyhow::Result<()> {
        let names: Vec<String> = (self.rooms..self.rooms + rooms)
            .map(|index| format!("leaks-{index}"))
            .collect();
        self.rooms += rooms;
        let near = self.tickets("near", &names)?;
        if end == End::Cancelled {
            return self.order(&Order::Cancel { rooms: near }).await;
        }
        self.fill(&names).await?;
        self.order(&Order::Enter { rooms: near }).await?;
        match end {
            End::ByUs => {
                self.empty().await?;
                self.leave(After::OtherLeft).await
            }
            End::Deleted => {
                let probe = self.server.probe();
                for name in &names {
                    probe.delete_room(name).await?;
                }
                self.leave(After::Disconnected).await?;
                self.empty().await
            }
            End::Killed => {
                self.server.crash().await?;
                self.server.start_again().await?;
                self.order(&Order::Reconnect).await?;
                self.empty().await?;
                self.leave(After::OtherLeft).await
            }
            End::Cancelled => Ok(()),
        }
    }

    /// The other side joins.
    async fn fill(&mut self, names: &[String]) -> anyhow::Result<()> {
        let order = protocol::Order::Join {
            rooms: self.tickets("far", names)?,
            at_once: FAR_AT_ONCE,
        };
        let _: Joined = self.far.ask(&order, LIMIT).await?;
        Ok(())
    }

    /// The other side leaves.
    async fn empty(&mut self) -> anyhow::Result<()> {
        let _: Left = self.far.ask(&protocol::Order::Leave, LIMIT).await?;
        Ok(())
    }

    async fn leave(&mut self, after: After) -> anyhow::Result<()> {
        self.order(&Order::Leave { after }).await
    }

    async fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let _: Done = self.visitor.ask(order, LIMIT).await?;
        Ok(())
    }

    async fn weigh(&mut self, tasks: usize) -> anyhow::Result<Weight> {
        self.visitor.ask(&Order::Weigh { tasks }, LIMIT).await
    }

    /// What a room leaves behind that is left while somebody else is in it.
    async fn known_leak(&mut self, tasks: usize, before: Weight) -> anyhow::Result<f64> {
        for batch in 0..KNOWN_LEAK_ROOMS / BATCH {
            let names: Vec<String> = (0..BATCH)
                .map(|index| format!("known-{batch}-{index}"))
                .collect();
            self.fill(&names).await?;
            let rooms = self.tickets("near", &names)?;
            self.order(&Order::Enter { rooms }).await?;
            self.leave(After::Nothing).await?;
            self.empty().await?;
        }
        let after = self.weigh(tasks).await?;
        Ok((after.heap_bytes - before.heap_bytes) as f64 / KNOWN_LEAK_ROOMS as f64)
    }

    fn tickets(&self, identity: &str, names: &[String]) -> anyhow::Result<Vec<Ticket>> {
        names
            .iter()
            .map(|name| {
                let grants = VideoGrants {
                    room_join: true,
                    room: name.clone(),
                    ..VideoGrants::default()
                };
                Ok(Ticket {
                    url: self.server.url(),
                    token: self.server.token(identity, grants)?,
                })
            })
            .collect()
    }

    async fn end(self) -> anyhow::Result<()> {
        self.visitor.end().await?;
        self.far.end().await
    }
}
