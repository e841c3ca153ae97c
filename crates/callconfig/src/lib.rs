//! The lookup of one call's configuration, with its fallback ladder.
//!
//! [`Lookup::resolve`] asks the tenant's backend and always gives a
//! configuration: the backend's answer over the tenant's default, its last answer for the
//! same number, or the default alone, with the reason. The caller of the call never pays
//! for a backend.

mod addresses;
mod breaker;
mod breakers;
mod clients;
mod last_known;
mod lookup;
mod options;
mod question;
mod reason;
mod request;
mod retry;
mod signature;
mod trace;
mod unknown;

pub use addresses::ForbiddenAddress;
pub use last_known::{Haste, LastKnown};
pub use lookup::{Lookup, LookupError, Resolved};
pub use options::Options;
pub use reason::FallbackReason;
pub use request::CallConfigRequest;
