//! Lookups against backends that behave and against those that do not.

mod answers;
mod bed;
mod contract;
mod examples;
mod failures;
mod ladder;
mod request;
mod up_at_retry;
