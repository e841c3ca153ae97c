//! What a backend is asked.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use trunkline_domain::{CallDirection, CallId, PhoneNumber, SipParticipant, Tenant, TenantSlug};

/// The version of the request's shape. Fields may be added without a new one.
const VERSION: u32 = 1;

/// The body of `POST /call-config`. Everything that is known of the caller comes
/// from the phone network, and is data that a stranger wrote.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallConfigRequest {
    /// The version of this shape.
    pub version: u32,
    /// Our id of the call; the `Idempotency-Key` as well.
    pub call_id: CallId,
    /// The tenant's slug.
    pub tenant: TenantSlug,
    /// Who called whom.
    pub call_direction: CallDirection,
    /// `None` where the trunk hides it.
    pub caller_phone: Option<PhoneNumber>,
    /// The number that was called.
    pub called_phone: Option<PhoneNumber>,
    /// `ST_…`
    pub trunk_id: Option<String>,
    /// LiveKit's id of the SIP call.
    pub sip_call_id: Option<String>,
    /// The room's name.
    pub room: String,
    /// All `sip.*` attributes, bounded.
    pub attributes: BTreeMap<String, String>,
    /// Somebody looks whether the backend answers; there is no call.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

impl CallConfigRequest {
    /// The request for a call.
    pub fn new(tenant: &Tenant, call_id: CallId, room: &str, sip: &SipParticipant) -> Self {
        Self {
            version: VERSION,
            call_id,
            tenant: tenant.slug.clone(),
            call_direction: sip.direction,
            caller_phone: sip.caller.clone(),
            called_phone: sip.called.clone(),
            trunk_id: sip.trunk_id.clone(),
            sip_call_id: sip.sip_call_id.clone(),
            room: room.to_owned(),
            attributes: sip.attributes.clone(),
            test: false,
        }
    }

    /// The same request, marked as one that no call is behind.
    #[must_use]
    pub fn as_test(self) -> Self {
        Self { test: true, ..self }
    }
}

/// Without the room and the attributes, which hold phone numbers.
impl fmt::Debug for CallConfigRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallConfigRequest")
            .field("call_id", &self.call_id)
            .field("tenant", &self.tenant)
            .field("call_direction", &self.call_direction)
            .field("caller_phone", &self.caller_phone)
            .field("called_phone", &self.called_phone)
            .finish_non_exhaustive()
    }
}
