//! What goes wrong, as `application/problem+json` (RFC 9457).
//!
//! A problem says what the client may know. The cause that it may not know is
//! logged where the problem is made. No text here repeats a value that was sent:
//! it could be a secret.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use trunkline_store::StoreError;
use utoipa::ToSchema;

/// What a type of problem begins with; the rest is its name. Names, not addresses:
/// what they mean is in `docs/api/README.md`.
const TYPE_PREFIX: &str = "urn:trunkline:problem:";

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $name:literal, $status:ident, $title:literal;)*) => {
        /// Every type of problem there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them, for those who write about them.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    /// The request cannot be read.
    Malformed, "malformed", BAD_REQUEST, "The request cannot be read";
    /// There is no token, or none that holds.
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "A valid token is needed";
    /// The token does not allow it.
    Forbidden, "forbidden", FORBIDDEN, "The token does not allow this";
    /// There is no such thing, or the token does not see it.
    NotFound, "not-found", NOT_FOUND, "There is no such thing";
    /// There is such a thing, and not this method.
    MethodNotAllowed, "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The name is taken.
    NameTaken, "name-taken", CONFLICT, "The name is taken";
    /// LiveKit could not tell two tenants apart.
    AgentTaken, "agent-taken", CONFLICT, "Another tenant has this agent";
    /// It cannot be done in the state that it is in.
    WrongState, "wrong-state", CONFLICT, "It is not in a state for this";
    /// Somebody else was faster.
    VersionConflict, "version-conflict", PRECONDITION_FAILED, "It has changed meanwhile";
    /// The body is too large.
    TooLarge, "too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not JSON by its header.
    NotJson, "not-json", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON";
    /// Fields are wrong.
    Invalid, "invalid", UNPROCESSABLE_ENTITY, "The request has wrong fields";
    /// Too much in too little time.
    TooMany, "too-many-requests", TOO_MANY_REQUESTS, "Too many requests";
    /// A fault of ours.
    Internal, "internal", INTERNAL_SERVER_ERROR, "A fault of the server";
    /// The database is away.
    DatabaseAway, "database-away", SERVICE_UNAVAILABLE, "The database cannot be reached";
    /// It took too long.
    TimedOut, "timed-out", GATEWAY_TIMEOUT, "It took too long";
}

/// What went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldProblem>,
    current_version: Option<i64>,
    retry_after: Option<Duration>,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Which kind of problem: `urn:trunkline:problem:` and its name.
    #[serde(rename = "type")]
    #[schema(example = "urn:trunkline:problem:not-found")]
    kind: String,
    /// The kind in words, always the same.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// What is wrong with each field, where fields are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// The version that there is, where another was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<i64>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// Which one; with dots where it is within another.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// What the audit says of an answer that is a problem.
#[derive(Debug, Clone)]
pub(crate) struct ProblemNote(pub(crate) String);

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            current_version: None,
            retry_after: None,
        }
    }

    /// Fields that are wrong.
    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        Self {
            errors: errors.clone(),
            ..Self::new(Kind::Invalid, format!("wrong: {}", fields.join(", ")))
        }
    }

    /// A tenant that there is not, or that the token does not see: the same words.
    pub(crate) fn no_tenant(slug: &str) -> Self {
        let slug: String = slug.chars().take(64).collect();
        Self::new(Kind::NotFound, format!("there is no tenant {slug:?}"))
    }

    pub(crate) fn version_conflict(current: i64) -> Self {
        Self {
            current_version: Some(current),
            ..Self::new(
                Kind::VersionConflict,
                format!(
                    "it is of version {current} now; read it again and repeat the change over that"
                ),
            )
        }
    }

    pub(crate) fn too_many(detail: &str, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(Kind::TooMany, detail)
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status()
    }
}

impl FieldProblem {
    pub(crate) fn new(
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// A text of the domain that begins with the field's name and says what it must
    /// be, which is both what is wrong and what to do.
    pub(crate) fn of_text(text: &str) -> Self {
        let split = text.find([' ', ':']).unwrap_or(text.len());
        let (field, rest) = text.split_at(split);
        let rest = rest.trim_start_matches([' ', ':']);
        let remedy = match rest.strip_prefix("must ") {
            Some(rule) => {
                let rule = rule.split(", not ").next().unwrap_or(rule);
                format!("it must {rule}")
            }
            None => match rest.split_once("; ") {
                Some((problem, remedy)) => return Self::new(field, problem, remedy),
                None => "see the field's description in /v1/openapi.json".to_owned(),
            },
        };
        Self::new(field, rest, remedy)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            tracing::warn!(error = error.one_line(), "the API waits for the database");
            return Self {
                retry_after: Some(Duration::from_secs(5)),
                ..Self::new(
                    Kind::DatabaseAway,
                    "calls go on; what needs the database must be tried again later",
                )
            };
        }
        if let StoreError::Violated(violation) = &error {
            return Self::invalid(vec![FieldProblem::of_text(&violation.to_string())]);
        }
        tracing::error!(error = error.one_line(), "the API cannot use the database");
        Self::new(
            Kind::Internal,
            "the database refused; the log of the replica says why, under this answer's \
             x-request-id",
        )
    }
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", problem.kind.name()),
            title: problem.kind.title(),
            status: problem.status().as_u16(),
            detail: problem.detail,
            errors: problem.errors,
            current_version: problem.current_version,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let note = ProblemNote(format!("{}: {}", self.kind.title(), self.detail));
        let status = self.status();
        let retry_after = self.retry_after;
        let mut response = (status, Json(ProblemBody::from(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = retry_after {
            // Whole seconds, rounded up: who comes at that time is let in.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.max(1).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"trunkline\""),
            );
        }
        response.extensions_mut().insert(note);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_domain_names_its_field() {
        assert_eq!(
            FieldProblem::of_text("max_calls must be 1 or more, not 0"),
            FieldProblem::new(
                "max_calls",
                "must be 1 or more, not 0",
                "it must be 1 or more"
            )
        );
        let config = FieldProblem::of_text("default_config: voice must be a text");
        assert_eq!(config.field, "default_config");
        assert_eq!(config.problem, "voice must be a text");
    }

    #[test]
    fn every_kind_is_told_in_the_documentation() {
        let page = include_str!("../../../../docs/api/README.md");
        for kind in Kind::ALL {
            let row = format!("| `{}` | {} |", kind.name(), kind.status().as_u16());
            assert!(page.contains(&row), "docs/api/README.md has no row {row}");
        }
    }
}
