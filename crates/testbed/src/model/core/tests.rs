//! The conversation without a socket.

mod client;
mod faults;
mod invariants;
mod items;
mod turns;
mod wire;
