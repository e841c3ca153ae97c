//! One phone call: a sans-IO machine, and the task that drives room, backend
//! and model with it.

mod assignment;

pub use assignment::{Assignment, JobReporter, JobStatus};
