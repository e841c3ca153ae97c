//! The testbed's servers, started for real.

mod backend;
mod livekit;
mod postgres;
