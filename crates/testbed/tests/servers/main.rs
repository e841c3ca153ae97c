//! The testbed's servers, started for real.

mod agent;
mod backend;
mod bad_network;
mod caller;
mod leaks;
mod livekit;
mod netlab;
mod network;
mod postgres;
mod redundancy;
mod up;
