//! Logs and metrics of the process.

mod catalogue;
pub mod logs;
pub mod metrics;
pub mod process;
mod without_tenant;

#[cfg(test)]
mod page_tests;
