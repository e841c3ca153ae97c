//! The lookup of one call's configuration, with its fallback ladder.
//!
//! [`Lookup::resolve`] asks the tenant's backend and always gives a
//! configuration: the backend's answer over the tenant's default, or the default
//! alone with the reason. The caller of the call never pays for a backend.

mod lookup;
mod options;
mod outer_names;
mod reason;
mod request;
mod signature;
mod unknown;

pub use lookup::{Lookup, LookupError, Resolved};
pub use options::Options;
pub use reason::FallbackReason;
pub use request::CallConfigRequest;
