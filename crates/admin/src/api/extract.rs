//! What a request carries, with problems instead of axum's own texts. Those repeat
//! values, which can be secrets.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trunkline_domain::MAX_APOLOGY_BYTES;

use super::problem::{FieldProblem, Kind, Problem};

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

/// A body that is a recording, whatever its header says of it.
pub(crate) struct Wav(pub(crate) Vec<u8>);

/// The query.
pub(crate) struct Query<T>(pub(crate) T);

/// The variable parts of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Kind::NotJson,
                "send the header content-type: application/json",
            ));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| unread(&rejection, super::MAX_BODY_BYTES))?;
        parse(&body).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Wav {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        DefaultBodyLimit::max(MAX_APOLOGY_BYTES).apply(&mut request);
        let body = Bytes::from_request(request, state).await;
        body.map(|body| Self(body.into()))
            .map_err(|rejection| unread(&rejection, MAX_APOLOGY_BYTES))
    }
}

/// Why a body of so many bytes at most was not read.
fn unread(rejection: &BytesRejection, most: usize) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(
                Kind::TooLarge,
                format!("{most} bytes are taken at the most"),
            )
        }
        _ => Problem::new(Kind::Malformed, "the body broke off"),
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        without_nul(parts)?;
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let wrong = |rejection: axum::extract::rejection::QueryRejection| {
            use std::error::Error as _;
            // The innermost error names the parameter and what is expected.
            let text = rejection
                .source()
                .map_or_else(|| rejection.to_string(), ToString::to_string);
            let (field, problem) = match text.split_once(": ") {
                Some((field, rest)) if !field.contains(' ') => (field, rest),
                _ => ("query", text.as_str()),
            };
            Problem::invalid(vec![told(field, problem)])
        };
        query.map(|query| Self(query.0)).map_err(wrong)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What cannot be a name names nothing.
        let nothing = || Problem::new(Kind::NotFound, "there is nothing of this name");
        if parts.uri.path().contains("%00") {
            return Err(nothing());
        }
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_| nothing())
    }
}

/// No text of the database holds a NUL, so it finds nothing by one and refuses.
fn without_nul(parts: &Parts) -> Result<(), Problem> {
    let Ok(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
        // What it is that cannot be read is told by who reads it.
        return Ok(());
    };
    match pairs.0.iter().find(|(_, value)| value.contains('\0')) {
        None => Ok(()),
        Some((name, _)) => Err(Problem::invalid(vec![nul(name)])),
    }
}

fn nul(field: &str) -> FieldProblem {
    let field: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
    FieldProblem::new(field, "holds a NUL character", "leave it out")
}

/// The place of the first text that holds a NUL.
fn place_of_nul(value: &Value) -> Option<String> {
    let under = |name: &str, value: &Value| {
        place_of_nul(value).map(|place| match place.as_str() {
            "" => name.to_owned(),
            place => format!("{name}.{place}"),
        })
    };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| under(&index.to_string(), item))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') {
                return Some(name.clone());
            }
            under(name, value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|v| v.split(';').next()).map(str::trim);
    essence.is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })
}

/// How a NUL is written in JSON, which has no other way.
const NUL: &[u8] = br"\u0000";

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.windows(NUL.len()).any(|bytes| bytes == NUL)
        && let Ok(value) = serde_json::from_slice(body)
        && let Some(place) = place_of_nul(&value)
    {
        return Err(Problem::invalid(vec![nul(&place)]));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            Problem::invalid(vec![told(&path, &inner.to_string())])
        } else {
            malformed(&inner)
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(
        Kind::Malformed,
        format!(
            "the body is not JSON: line {}, column {}",
            error.line(),
            error.column()
        ),
    )
}

/// What serde says, without the value that it found.
fn told(path: &str, text: &str) -> FieldProblem {
    let place = text.rfind(" at line ").unwrap_or(text.len());
    let text = &text[..place];
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    let under = |name: String| match path {
        "." | "" | "query" => name,
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    let expected = text.rsplit_once("expected ").map(|(_, what)| what);
    if let Some(name) = text.strip_prefix("unknown field ").and_then(quoted) {
        let remedy = match expected {
            Some(known) => format!("there are {}", known.trim_start_matches("one of ")),
            None => "leave it out".to_owned(),
        };
        let name: String = name.chars().take(64).collect();
        FieldProblem::new(under(name), "is not known", remedy)
    } else if let Some(name) = text.strip_prefix("missing field ").and_then(quoted) {
        FieldProblem::new(under(name), "is missing", "add it")
    } else {
        let remedy = match expected {
            Some(what) => format!("it must be {what}"),
            None => "see its description in /v1/openapi.json".to_owned(),
        };
        let field = if path == "." { "body" } else { path };
        FieldProblem::new(field, "has a value that cannot be used", remedy)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::api::problem::ProblemBody;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its reading is tested")]
        secret: String,
        #[expect(dead_code, reason = "only its reading is tested")]
        number: Option<i32>,
    }

    fn problem(body: &str) -> String {
        let problem = parse::<Outer>(body.as_bytes()).unwrap_err();
        serde_json::to_string(&ProblemBody::from(problem)).unwrap()
    }

    #[test]
    fn a_wrong_body_is_told_by_field_and_no_value_is_repeated() {
        let text = problem(r#"{"secret": 123456789}"#);
        assert!(text.contains(r#""field":"secret""#), "{text}");
        assert!(text.contains("it must be a string"), "{text}");
        assert!(!text.contains("123456789"), "{text}");
        let text = problem(r#"{"secret": "a", "number": "hunter2, expected hunter3"}"#);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains(r#""field":"number""#), "{text}");
    }

    #[test]
    fn a_nul_is_found_where_it_is() {
        let text = problem(r#"{"secret": "a\u0000b"}"#);
        assert!(
            text.contains(r#""field":"secret""#) && text.contains("NUL"),
            "{text}"
        );
        assert!(parse::<Outer>(br#"{"secret": "a\\u0000b"}"#).is_ok());
        let within = serde_json::json!({"a": [{"b": "\0"}]});
        assert_eq!(place_of_nul(&within).as_deref(), Some("a.0.b"));
    }

    #[test]
    fn unknown_and_missing_fields_are_named() {
        let text = problem(r#"{"secret": "a", "colour": 1}"#);
        assert!(
            text.contains(r#""field":"colour","problem":"is not known""#),
            "{text}"
        );
        let text = problem("{}");
        assert!(
            text.contains(r#""field":"secret","problem":"is missing""#),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_json_is_malformed_and_nothing_may_follow() {
        for body in ["", "{", "hunter2", r#"{"secret": "a"} {}"#] {
            let text = problem(body);
            assert!(text.contains("problem:malformed"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
