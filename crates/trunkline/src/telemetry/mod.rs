//! Logs and metrics of the process.

mod catalogue;
pub mod logs;
pub mod metrics;
pub mod process;
