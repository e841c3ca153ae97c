//! What was found.

use std::time::Duration;

use serde::Serialize;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The tenant's row can be run at all.
    Row,
    /// `livekit_url` leads to a LiveKit server.
    Url,
    /// It takes the API key and secret.
    Key,
    /// The agent names are registered.
    Agent,
    /// Trunk and dispatch rule send phone calls to an agent name of the tenant.
    Sip,
    /// The backend answers a sample of `/call-config`.
    Backend,
    /// The model's vendor takes the key, and the model the configuration.
    Model,
}

impl CheckName {
    /// As it is shown, and as JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Url => "url",
            Self::Key => "key",
            Self::Agent => "agent",
            Self::Sip => "sip",
            Self::Backend => "backend",
            Self::Model => "model",
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Worth a look, or not to be found out.
    Warning,
    /// Callers notice it.
    Failed,
}

impl CheckStatus {
    /// As it is shown, and as JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check. The texts hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: CheckName,
    /// How it came out.
    pub status: CheckStatus,
    /// What was found, in words.
    pub detail: String,
    /// What to do about it; `None` where there is nothing to do.
    pub remedy: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

impl Check {
    pub(super) fn ok(name: CheckName, detail: impl Into<String>) -> Self {
        Self {
            name,
            status: CheckStatus::Ok,
            detail: detail.into(),
            remedy: None,
            took_ms: 0,
        }
    }

    pub(super) fn warning(
        name: CheckName,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: CheckStatus::Warning,
            remedy: Some(remedy.into()),
            ..Self::ok(name, detail)
        }
    }

    pub(super) fn failed(
        name: CheckName,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: CheckStatus::Failed,
            ..Self::warning(name, detail, remedy)
        }
    }

    /// It depends on another check, which failed and has the remedy.
    pub(super) fn not_made(name: CheckName, why: &str) -> Self {
        Self {
            remedy: None,
            ..Self::warning(name, format!("not checked: {why}"), "")
        }
    }

    pub(super) fn timed_out(name: CheckName, limit: Duration) -> Self {
        if limit.is_zero() {
            return Self::not_made(name, "the other checks took all the time that there was");
        }
        Self::failed(
            name,
            format!("no answer within {} s", limit.as_secs()),
            "see whether the address can be reached from this machine",
        )
    }
}

/// Everything that was found of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The tenant's slug.
    pub tenant: String,
    /// The version of its row.
    pub version: i64,
    /// The checks, in the order in which a call needs what they look at.
    pub checks: Vec<Check>,
}

impl CheckReport {
    /// Of a tenant whose row cannot be run: there is nothing else to check.
    pub fn of_unusable_row(tenant: &str, version: i64, problem: &str) -> Self {
        let remedy = "mend the row: until then the tenant is parked, and takes no calls";
        Self {
            tenant: tenant.to_owned(),
            version,
            checks: vec![Check::failed(CheckName::Row, problem, remedy)],
        }
    }

    /// Whether callers would notice something.
    pub fn has_failed(&self) -> bool {
        self.checks
            .iter()
            .any(|check| check.status == CheckStatus::Failed)
    }
}
