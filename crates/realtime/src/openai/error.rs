//! The vendor's complaints, sorted.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::text::Cleaner;
use crate::{Trouble, VendorError};

/// An error as it is in `error` events, in failed responses and in HTTP bodies.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireError {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) code: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) message: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) param: Option<String>,
    /// Which event of ours it is about.
    #[serde(deserialize_with = "lenient")]
    pub(super) event_id: Option<String>,
}

/// A complaint must not get lost because a server writes its code as a number.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// How bad an `error` event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// What happens in the ordinary course of things.
    Harmless,
    /// The session goes on.
    Warning,
    /// The session is of no more use.
    Fatal,
}

impl WireError {
    pub(super) fn trouble(&self) -> Trouble {
        let code = self.code.as_deref().unwrap_or_default();
        let kind = self.kind.as_deref().unwrap_or_default();
        match code {
            "invalid_api_key" | "account_deactivated" | "missing_api_key" => Trouble::Credentials,
            "insufficient_quota" | "billing_hard_limit_reached" => Trouble::Quota,
            "rate_limit_exceeded" | "too_many_requests" | "overloaded" | "server_overloaded" => {
                Trouble::Overload
            }
            "session_expired" => Trouble::Expired,
            "server_error" | "internal_error" => Trouble::Server,
            _ => match kind {
                "authentication_error" | "permission_error" => Trouble::Credentials,
                "insufficient_quota" => Trouble::Quota,
                "rate_limit_error" | "overloaded_error" => Trouble::Overload,
                "server_error" => Trouble::Server,
                "invalid_request_error" => Trouble::Invalid,
                _ => Trouble::Other,
            },
        }
    }

    pub(super) fn severity(&self) -> Severity {
        if self.code.as_deref() == Some("response_cancel_not_active") {
            return Severity::Harmless;
        }
        match self.trouble() {
            Trouble::Credentials | Trouble::Quota | Trouble::Expired => Severity::Fatal,
            Trouble::Overload
            | Trouble::Server
            | Trouble::Invalid
            | Trouble::Garbage
            | Trouble::Other => Severity::Warning,
        }
    }

    pub(super) fn to_vendor_error(&self, cleaner: &Cleaner) -> VendorError {
        let code = self.code.as_deref().or(self.kind.as_deref());
        VendorError {
            trouble: self.trouble(),
            code: cleaner.code(code.unwrap_or_default()),
            param: cleaner.code(self.param.as_deref().unwrap_or_default()),
            message: cleaner.message(self.message.as_deref().unwrap_or_default()),
        }
    }
}

/// What a refused handshake says. The body counts more than the status, where it
/// says more: 429 is a used-up quota as well as a passing overload.
pub(crate) fn from_http(status: u16, body: &[u8], cleaner: &Cleaner) -> VendorError {
    #[derive(Deserialize)]
    struct Body {
        error: WireError,
    }
    let wire = serde_json::from_slice::<Body>(body)
        .map(|body| body.error)
        .unwrap_or_default();
    let by_status = match status {
        401 | 403 => Trouble::Credentials,
        402 => Trouble::Quota,
        408 | 425 | 429 | 503 | 529 => Trouble::Overload,
        500..=599 => Trouble::Server,
        300..=499 => Trouble::Invalid,
        _ => Trouble::Garbage,
    };
    let mut error = wire.to_vendor_error(cleaner);
    if !matches!(error.trouble, Trouble::Credentials | Trouble::Quota) {
        error.trouble = by_status;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recovery;

    fn error(kind: &str, code: &str) -> WireError {
        WireError {
            kind: Some(kind.to_owned()),
            code: Some(code.to_owned()),
            ..WireError::default()
        }
    }

    #[test]
    fn errors_are_sorted_by_what_can_be_done() {
        let request = "invalid_request_error";
        for (kind, code, trouble, severity) in [
            (
                request,
                "response_cancel_not_active",
                Trouble::Invalid,
                Severity::Harmless,
            ),
            (
                request,
                "conversation_already_has_active_response",
                Trouble::Invalid,
                Severity::Warning,
            ),
            (
                request,
                "invalid_api_key",
                Trouble::Credentials,
                Severity::Fatal,
            ),
            (
                request,
                "account_deactivated",
                Trouble::Credentials,
                Severity::Fatal,
            ),
            (
                "insufficient_quota",
                "insufficient_quota",
                Trouble::Quota,
                Severity::Fatal,
            ),
            (
                "",
                "billing_hard_limit_reached",
                Trouble::Quota,
                Severity::Fatal,
            ),
            (
                request,
                "session_expired",
                Trouble::Expired,
                Severity::Fatal,
            ),
            ("server_error", "", Trouble::Server, Severity::Warning),
            (
                "rate_limit_error",
                "rate_limit_exceeded",
                Trouble::Overload,
                Severity::Warning,
            ),
            ("novel", "novel", Trouble::Other, Severity::Warning),
        ] {
            let error = error(kind, code);
            assert_eq!(
                (error.trouble(), error.severity()),
                (trouble, severity),
                "{kind} {code}"
            );
        }
    }

    #[test]
    fn a_refused_handshake_says_what_to_do() {
        let cleaner = Cleaner::new("a-secret-key".into());
        let quota = br#"{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"Pay."}}"#;
        for (status, body, trouble, recovery) in [
            (401, &b""[..], Trouble::Credentials, Recovery::Person),
            (429, &b"slow down"[..], Trouble::Overload, Recovery::Later),
            (429, &quota[..], Trouble::Quota, Recovery::Person),
            (404, &b"{}"[..], Trouble::Invalid, Recovery::Person),
            (500, &b"\xff"[..], Trouble::Server, Recovery::Later),
            (503, &b""[..], Trouble::Overload, Recovery::Later),
            (301, &b""[..], Trouble::Invalid, Recovery::Person),
            (200, &b""[..], Trouble::Garbage, Recovery::Reconnect),
        ] {
            let error = from_http(status, body, &cleaner);
            assert_eq!(
                (error.trouble, error.recovery()),
                (trouble, recovery),
                "{status}"
            );
        }
        assert_eq!(from_http(429, quota, &cleaner).message, "Pay.");
    }
}
