//! What the processes of a benchmark say to each other. The scripts of `python/` speak the same.

use serde::{Deserialize, Serialize};

/// The way into one room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// To a process that sits in rooms.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Joins these rooms too, so many at the same time; answered with [`Joined`]. Python's side
    /// takes one after another.
    Join { rooms: Vec<Ticket>, at_once: usize },
    /// Answered with [`Counted`].
    Count,
    /// Leaves all rooms; answered with [`Left`].
    Leave,
}

/// Everything asked for is there: our track is published, and where the process listens, the
/// other side is heard.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// For each room: until the SDK said that it is connected.
    pub(crate) join_ms: Vec<f64>,
    /// For each room, from the beginning of the join until something was heard.
    pub(crate) sound_ms: Vec<f64>,
}

/// Sums since the process began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Audio taken by our tracks, over all rooms.
    pub(crate) spoken_ms: u64,
    /// Audio heard, over all rooms, silence included.
    pub(crate) heard_ms: u64,
    /// Allocations; none where nobody counts.
    pub(crate) allocations: Option<u64>,
    /// Tasks that live on the process's runtime.
    pub(crate) tasks: Option<usize>,
}

/// The rooms are left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Left {}
