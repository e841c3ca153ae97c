//! Why a lookup gave nothing.

use std::error::Error as _;

use trunkline_domain::InvalidConfig;

use crate::ForbiddenAddress;

/// The longest text of a network's error that is kept, in characters.
const MAX_PROBLEM_CHARS: usize = 200;

/// Why a lookup gave nothing. The texts hold neither the URL nor what the
/// backend wrote, and may be logged and kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FallbackReason {
    /// No whole answer in time.
    #[error("no whole answer within the deadline")]
    Timeout,
    /// No connection, or it broke before an answer began.
    #[error("no connection: {problem}")]
    Connect {
        /// What the network said.
        problem: String,
    },
    /// A status that is not 2xx; a redirect too.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The answer broke off.
    #[error("the answer broke off: {problem}")]
    Broken {
        /// What the network said.
        problem: String,
    },
    /// The answer is longer than what is read.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// How many are read.
        limit: usize,
    },
    /// The answer is encoded in a way that was not asked for.
    #[error("the answer is compressed, which is not read; it must be plain JSON")]
    Compressed,
    /// The answer is no configuration.
    #[error("the answer cannot be used: {0}")]
    Invalid(InvalidConfig),
    /// The URL leads inside, and a token of the tenant alone wrote it.
    #[error("the URL leads to an internal address, and was written with a token of the tenant")]
    Internal,
    /// The backend did not answer the calls before, and was not asked.
    #[error("the backend did not answer the calls before, and is left in peace for a while")]
    BreakerOpen,
    /// The URL leads to an address that is not asked.
    #[error("the URL leads to {0}")]
    Address(ForbiddenAddress),
    /// The request could not be made at all.
    #[error("the request cannot be made: {problem}")]
    Request {
        /// What is wrong with it.
        problem: String,
    },
}

impl FallbackReason {
    /// Every label that there is.
    pub const LABELS: [&str; 14] = [
        "timeout",
        "connect",
        "status_3xx",
        "status_4xx",
        "status_5xx",
        "status_other",
        "broken",
        "too_large",
        "compressed",
        "invalid",
        "internal",
        "breaker_open",
        "address",
        "request",
    ];

    /// For metrics: a handful of values, whatever backends do.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect { .. } => "connect",
            Self::Status(300..=399) => "status_3xx",
            Self::Status(400..=499) => "status_4xx",
            Self::Status(500..=599) => "status_5xx",
            Self::Status(_) => "status_other",
            Self::Broken { .. } => "broken",
            Self::TooLarge { .. } => "too_large",
            Self::Compressed => "compressed",
            Self::Invalid(_) => "invalid",
            Self::Internal => "internal",
            Self::BreakerOpen => "breaker_open",
            Self::Address(_) => "address",
            Self::Request { .. } => "request",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Status(429 | 502 | 503 | 504) => true,
            Self::Timeout
            | Self::Status(_)
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::Compressed
            | Self::Invalid(_)
            | Self::Internal
            | Self::BreakerOpen
            | Self::Address(_)
            | Self::Request { .. } => false,
        }
    }

    /// Whether the backend is away, or as good as away: what the breaker counts. One that
    /// refuses or answers nonsense is there, and costs no caller's time.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Timeout
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Status(429 | 500..=599) => true,
            Self::Status(_)
            | Self::TooLarge { .. }
            | Self::Compressed
            | Self::Invalid(_)
            | Self::Internal
            | Self::BreakerOpen
            | Self::Address(_)
            | Self::Request { .. } => false,
        }
    }
}

/// The innermost sources say what happened; the outer ones repeat the URL.
pub(crate) fn problem(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    // Many layers repeat the one below.
    texts.dedup_by(|inner, outer| outer.contains(&**inner));
    texts.join(": ").chars().take(MAX_PROBLEM_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_listed() {
        let text = || String::new();
        let mut labels: Vec<&str> = [
            FallbackReason::Timeout,
            FallbackReason::Connect { problem: text() },
            FallbackReason::Broken { problem: text() },
            FallbackReason::TooLarge { limit: 1 },
            FallbackReason::Compressed,
            FallbackReason::Invalid(InvalidConfig::TooLarge { bytes: 1 }),
            FallbackReason::Internal,
            FallbackReason::BreakerOpen,
            FallbackReason::Address(ForbiddenAddress::Never),
            FallbackReason::Request { problem: text() },
        ]
        .iter()
        .map(FallbackReason::as_label)
        .collect();
        let statuses = [301, 404, 500, 600];
        labels.extend(statuses.map(|status| FallbackReason::Status(status).as_label()));
        labels.sort_unstable();
        let mut listed = FallbackReason::LABELS;
        listed.sort_unstable();
        assert_eq!(labels, listed);
    }
}
