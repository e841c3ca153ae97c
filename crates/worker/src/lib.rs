//! One LiveKit project: the agent worker protocol.
//!
//! - `protocol`: the wire, pure.
//! - `session`: one registration as a state machine without I/O.
//! - `socket`: the connection, its proof of identity and its deadline.
//! - `worker`: the loop that drives a session and reconnects for ever.
//! - `desk`: the calls of one tenant, which outlive all of the above.

mod backoff;
mod desk;
mod load;
mod options;
mod protocol;
mod session;
mod socket;
mod state;
mod worker;

pub use backoff::Backoff;
pub use desk::{CallDesk, CallRunner, Permit, Places, panic_text};
pub use load::{LoadMeter, MAX_LOAD, ProcessSlot};
pub use options::{InvalidOptions, Options};
pub use protocol::Unfit;
pub use session::Refusal;
pub use socket::{ConnectError, Connector, ConnectorError, Recovery};
pub use state::{StateCell, WorkerState};
pub use worker::{Worker, WorkerContext, WorkerExit, WorkerOrders};
