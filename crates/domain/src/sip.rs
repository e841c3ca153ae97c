//! The SIP participant of a room, as LiveKit's SIP bridge describes it in its
//! attributes. Source: `sip.*` attributes of livekit-sip.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::PhoneNumber;

/// How many `sip.*` attributes are kept. A bridge sets about 15, and a trunk may
/// map any number of SIP headers.
pub const MAX_ATTRIBUTES: usize = 128;
/// The longest attribute that is kept whole, in bytes; longer ones are cut.
const MAX_ATTRIBUTE_BYTES: usize = 4096;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallDirection {
    /// The phone network called us; a dispatch rule made the room.
    Inbound,
    /// We called out.
    Outbound,
}

impl CallDirection {
    /// As it is written on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// `sip.callStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallStatus {
    /// An outbound call is being set up.
    Dialing,
    /// The phone rings: nothing that we send is heard yet.
    Ringing,
    /// Digits are being dialled into the answered call.
    Automation,
    /// Both sides hear each other.
    Active,
    /// The phone side is gone.
    Hangup,
    /// No status, or one that this version does not know.
    #[serde(other)]
    Unknown,
}

impl CallStatus {
    /// Reads the attribute's text.
    pub fn parse(text: &str) -> Self {
        match text {
            "dialing" => Self::Dialing,
            "ringing" => Self::Ringing,
            "automation" => Self::Automation,
            "active" => Self::Active,
            "hangup" => Self::Hangup,
            _ => Self::Unknown,
        }
    }
}

/// What the SIP bridge says of the phone side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipParticipant {
    /// The participant's identity in the room. It can hold the phone number.
    pub identity: String,
    /// Who called whom.
    pub direction: CallDirection,
    /// The status when the attributes were read.
    pub status: CallStatus,
    /// The number of the phone side: the caller's of an inbound call. Missing
    /// when the trunk hides it.
    pub caller: Option<PhoneNumber>,
    /// The number that was called.
    pub called: Option<PhoneNumber>,
    /// `ST_…`
    pub trunk_id: Option<String>,
    /// LiveKit's id of the call, `SCL_…`.
    pub sip_call_id: Option<String>,
    /// All `sip.*` attributes, bounded.
    pub attributes: BTreeMap<String, String>,
}

impl SipParticipant {
    /// Reads the attributes of a participant of kind SIP.
    pub fn from_attributes<'a>(
        identity: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut kept: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in attributes {
            if key.starts_with("sip.") && key.len() <= MAX_ATTRIBUTE_BYTES {
                kept.insert(key.to_owned(), bounded(value));
            }
        }
        // The order of a map keeps the bridge's own short names: its headers
        // (`sip.h.*`) are what a stranger can multiply, so they go first.
        while kept.len() > MAX_ATTRIBUTES {
            let victim = kept
                .keys()
                .rev()
                .find(|key| key.starts_with("sip.h."))
                .or_else(|| kept.keys().next_back())
                .cloned();
            if let Some(key) = victim {
                kept.remove(&key);
            }
        }
        let text = |key: &str| kept.get(key).filter(|value| !value.is_empty()).cloned();
        let phone = text("sip.phoneNumber").and_then(|n| PhoneNumber::new(&n));
        let trunk = text("sip.trunkPhoneNumber").and_then(|n| PhoneNumber::new(&n));
        // Only a call that came in was matched by a dispatch rule.
        let (direction, caller, called) = if text("sip.ruleID").is_some() {
            (CallDirection::Inbound, phone, trunk)
        } else {
            (CallDirection::Outbound, trunk, phone)
        };
        Self {
            identity: identity.to_owned(),
            direction,
            status: kept
                .get("sip.callStatus")
                .map_or(CallStatus::Unknown, |s| CallStatus::parse(s)),
            caller,
            called,
            trunk_id: text("sip.trunkID"),
            sip_call_id: text("sip.callID"),
            attributes: kept,
        }
    }
}

fn bounded(value: &str) -> String {
    let end = (0..=value.len().min(MAX_ATTRIBUTE_BYTES))
        .rev()
        .find(|&i| value.is_char_boundary(i))
        .unwrap_or(0);
    value[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbound_call_is_read_from_its_attributes() {
        let sip = SipParticipant::from_attributes(
            "sip_+15557654321",
            [
                ("sip.callID", "SCL_1"),
                ("sip.phoneNumber", "+15557654321"),
                ("sip.trunkPhoneNumber", "+15550001111"),
                ("sip.trunkID", "ST_1"),
                ("sip.ruleID", "SDR_1"),
                ("sip.callStatus", "ringing"),
                ("lk.other", "dropped"),
            ],
        );
        assert_eq!(sip.direction, CallDirection::Inbound);
        assert_eq!(sip.status, CallStatus::Ringing);
        assert_eq!(sip.caller.unwrap().expose(), "+15557654321");
        assert_eq!(sip.called.unwrap().expose(), "+15550001111");
        assert_eq!(sip.trunk_id.as_deref(), Some("ST_1"));
        assert_eq!(sip.sip_call_id.as_deref(), Some("SCL_1"));
        assert!(!sip.attributes.contains_key("lk.other"));
    }

    #[test]
    fn a_hidden_number_is_absent_and_an_unknown_status_is_unknown() {
        let sip = SipParticipant::from_attributes(
            "sip_0123456789abcdef",
            [("sip.ruleID", "SDR_1"), ("sip.callStatus", "levitating")],
        );
        assert_eq!(sip.caller, None);
        assert_eq!(sip.status, CallStatus::Unknown);
    }

    #[test]
    fn a_flood_of_headers_does_not_push_out_the_bridges_own_attributes() {
        let headers: Vec<(String, String)> = (0..500)
            .map(|i| (format!("sip.h.x-{i}"), "ä".repeat(4000)))
            .collect();
        let all = headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .chain([("sip.trunkID", "ST_1"), ("sip.callStatus", "active")]);
        let sip = SipParticipant::from_attributes("sip_x", all);
        assert_eq!(sip.attributes.len(), MAX_ATTRIBUTES);
        assert_eq!(sip.trunk_id.as_deref(), Some("ST_1"));
        assert_eq!(sip.status, CallStatus::Active);
        assert!(
            sip.attributes
                .values()
                .all(|v| v.len() <= MAX_ATTRIBUTE_BYTES)
        );
    }
}
