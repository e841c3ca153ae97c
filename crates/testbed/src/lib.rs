//! Real servers and simulated peers: for tests, the demo and the benchmarks.

pub mod backend;
mod cache;
pub mod caller;
pub mod livekit;
pub mod model;
mod ports;
pub mod postgres;
mod process;
pub mod voice;
