//! Lookups against backends that behave and against those that do not.

mod answers;
mod bed;
mod failures;
mod request;
mod up_at_retry;
