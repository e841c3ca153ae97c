//! HTTP for operators: health, readiness, metrics, status.
//!
//! The routes ask for no password and change nothing: the address is for the
//! machine or for the cluster's network. No answer holds a secret, a phone
//! number or a room's name.

pub mod api;
mod bounded;
mod listening;
mod page;
mod routes;
mod server;
mod state;

pub use server::{Admin, BindError};
pub use state::{AdminState, Obstacle, Readiness};
