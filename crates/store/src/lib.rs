//! Postgres: tenants, calls, sealed secrets, the change feed.
//!
//! The database is where tenants are written and calls are recorded. It is not
//! on the way of a call: nothing here is awaited by one. What is read is a whole
//! picture of all tenants ([`Snapshot`]), pushed by notices and repaired by a
//! periodic reconcile ([`TenantFeed`]).
//!
//! A secret is a `SecretString` from the moment it is read. At rest it is sealed
//! under keys that the database does not have ([`Keyring`]).
//!
//! Every wait on the database is bounded, and what was not answered in time
//! costs its connection, not a place in the pool.

mod api;
mod backoff;
mod call_configs;
mod calls;
mod error;
mod feed;
mod keyring;
mod lease;
mod options;
mod picture;
mod refusals;
mod schema;
mod seal;
mod secret;
mod states;
mod store;
mod tenants;
mod violation;

pub use api::{
    AddTokenError, ApiToken, AuditEntry, AuditOutcome, AuditRow, Credential, InvalidToken,
    IssuedToken, NewToken, PresentedToken,
};
pub use call_configs::KnownAnswerKey;
pub use calls::{CallFilter, CallKey, RecordedCall};
pub use error::{DatabaseError, StoreError};
pub use feed::{FeedStatus, Snapshot, TenantFeed};
pub use keyring::{Keyring, KeyringError};
pub use options::{Options, OptionsError};
pub use refusals::{RecordedRefusals, RefusalFilter, RefusalKey, RefusalTotal, RefusedOffers};
pub use schema::{MigrateError, SchemaError};
pub use seal::OpenError;
pub use states::{Reporter, StateReport, TenantState};
pub use store::Store;
pub use tenants::{
    Actor, AddError, ChangeError, Enablement, Expected, HistoryEntry, HistoryPage, ImportAction,
    ImportError, ImportMode, Imported, InnerUrls, KeyUsage, NewTenant, RefusedImport, Rotation,
    RowProblem, TenantChange, TenantFilter, TenantImport, TenantPage, TenantRecord, TenantRow,
    TenantSettings, Twin, Unopened,
};
pub use violation::Violation;
