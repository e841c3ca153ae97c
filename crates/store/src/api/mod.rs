//! The API's tokens, and the audit of what it was asked for.

mod audit;
mod secret;
mod tokens;

pub use audit::{AuditEntry, AuditOutcome, AuditRow};
pub use secret::{InvalidToken, PresentedToken};
pub use tokens::{AddTokenError, ApiToken, Credential, IssuedToken, NewToken};
