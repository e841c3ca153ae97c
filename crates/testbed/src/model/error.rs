//! The vendor's errors, as the wire has them.

use serde_json::{Value, json};

/// Why a client's event was refused. The session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireError {
    pub(super) kind: &'static str,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

impl WireError {
    pub(super) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self {
            kind: "invalid_request_error",
            code: code.to_owned(),
            message: message.into(),
            param: None,
        }
    }

    pub(super) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(super) fn missing(param: &str) -> Self {
        Self::invalid(
            "missing_required_parameter",
            format!("Missing required parameter: '{param}'."),
        )
        .at(param)
    }

    pub(super) fn unknown(param: &str) -> Self {
        Self::invalid(
            "unknown_parameter",
            format!("Unknown parameter: '{param}'."),
        )
        .at(param)
    }

    pub(super) fn wrong_type(param: &str, expected: &str, got: &Value) -> Self {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let message =
            format!("Invalid type for '{param}': expected {expected}, but got {got} instead.");
        Self::invalid("invalid_type", message).at(param)
    }

    pub(super) fn wrong_value(param: &str, message: impl Into<String>) -> Self {
        Self::invalid("invalid_value", message).at(param)
    }

    /// An error that is no fault of the client, by its code.
    pub(super) fn of_server(code: &str) -> Self {
        let (kind, message) = match code {
            "insufficient_quota" => (
                "insufficient_quota",
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            "rate_limit_exceeded" => ("rate_limit_exceeded", "Rate limit reached."),
            "invalid_api_key" => ("invalid_request_error", "Incorrect API key provided."),
            "session_expired" => (
                "invalid_request_error",
                "Your session hit the maximum duration of 60 minutes.",
            ),
            _ => (
                "server_error",
                "The server had an error while processing your request.",
            ),
        };
        Self {
            kind,
            code: code.to_owned(),
            message: message.to_owned(),
            param: None,
        }
    }

    /// The body of an `error` event, or of an HTTP answer.
    pub(super) fn body(&self, client_event_id: Option<&str>) -> Value {
        json!({
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": client_event_id,
        })
    }
}
