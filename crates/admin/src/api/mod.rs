//! The API under `/v1`.
//!
//! Policy:
//! - Every request bears a token, but for the API's description. What a token of one
//!   tenant does not see is answered as what there is not: 404, never 403.
//! - Secrets go in and never come out: an answer says whether one is set.
//! - Numbers of the phone network are shown by their ends, unless an operator asks.
//! - Whatever goes wrong is a problem of RFC 9457, axum's own refusals included.
//! - Every change that is asked for, and every refused authentication, is audited.
//! - Requests are bounded in size and time, tokens and addresses in their rate.
//! - What is live is read from this process, without the database; what is past or
//!   elsewhere, from the database.

mod audit;
mod auth;
mod buckets;
mod checks;
mod cursor;
mod envelope;
mod extract;
mod filters;
mod listeners;
mod openapi;
mod phone;
mod problem;
mod routes;
mod server;
mod state;
mod tls;

use std::time::Duration;

pub use openapi::description;
pub use server::{Api, ApiBindError};
pub use state::{ApiLimits, ApiParts};
pub use tls::{TlsError, TlsFiles};

/// The largest body. A tenant's default configuration has 64 kB at the most, and a
/// prompt of it is what takes the room.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How long a request may take. The database's own limits are below it.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// How many items a page has when the client does not say, and at the most: a tenant's
/// default configuration can have 64 kB. The store gives 200 at the most.
const PAGE_ITEMS: u32 = 50;
const MAX_PAGE_ITEMS: u32 = 100;
