//! The testbed's servers, started for real.

mod agent;
mod backend;
mod caller;
mod livekit;
mod network;
mod postgres;
mod redundancy;
