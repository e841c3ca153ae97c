//! The program `trunkline`: command line, configuration, telemetry, and the
//! wiring of the other crates into one service. A library beside the binary so
//! that a test can run the service in its own process.

pub mod cli;
pub mod config;
mod files;
mod keys_command;
pub mod last_known;
mod outage;
pub mod records;
pub mod refusals;
pub mod serve;
pub mod states;
pub mod telemetry;
pub mod wiring;
