//! One LiveKit project: the agent worker protocol.
//!
//! - `protocol`: the wire, pure.
//! - `session`: one registration as a state machine without I/O.
//! - `socket`: the connection, its proof of identity and its deadline.
//! - `worker`: the loop that drives a session and reconnects for ever.
//! - `crew`: the workers of one tenant, one for each of its agent names.
//! - `desk`: the calls of one tenant, which outlive all of the above.
//! - `load`, `share`, `rate`: who gets a place; `headroom`, `measure`, `probe`:
//!   whether the process has any.
//! - `queue`, `turnstile`: who connects when many would at once.
//! - `pulse`: how a worker shows that its loop turns.

mod backoff;
mod crew;
mod desk;
mod headroom;
mod load;
mod measure;
mod options;
mod probe;
mod protocol;
mod pulse;
mod queue;
mod rate;
mod refusals;
mod session;
mod share;
mod socket;
mod state;
mod turnstile;
mod worker;

pub use backoff::Backoff;
pub use crew::Crew;
pub use desk::{CallDesk, CallRunner, Permit, Places, panic_text};
pub use headroom::Strain;
pub use load::{LoadMeter, MAX_LOAD, Resources};
pub use options::{InvalidOptions, Options};
pub use protocol::Unfit;
pub use pulse::Pulse;
pub use queue::Urgency;
pub use session::{Entry, Refusal};
pub use socket::{ConnectError, Connector, ConnectorError, Recovery};
pub use state::{StateCell, WorkerState};
pub use worker::{WorkerContext, WorkerExit, WorkerOrders};
