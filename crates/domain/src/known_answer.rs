//! A backend's answer that calls were run with, kept for the day when there is none.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{PhoneNumber, TenantId};

/// Tells backends apart: SHA-256 of the URL. An answer of one is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendMark(pub [u8; 32]);

/// The last answer that a call to a number of a tenant was run with.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownAnswer {
    /// Whose.
    pub tenant_id: TenantId,
    /// The called number. `None`: the trunk does not tell it.
    pub called: Option<PhoneNumber>,
    /// Who gave it.
    pub backend: BackendMark,
    /// As it came: a JSON object.
    pub answer: String,
    /// When it came.
    pub fetched_at: DateTime<Utc>,
}

/// Without the answer, which is the tenant's.
impl fmt::Debug for KnownAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownAnswer")
            .field("tenant_id", &self.tenant_id)
            .field("called", &self.called)
            .field("bytes", &self.answer.len())
            .field("fetched_at", &self.fetched_at)
            .finish_non_exhaustive()
    }
}
