//! What is around every request: an id, a time limit, headers, and what is left of a
//! panic.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use metrics::{counter, histogram};
use tracing::Instrument as _;
use uuid::Uuid;

use super::REQUEST_LIMIT;
use super::problem::{Kind, Problem};

/// The header that an answer carries its id in, and a request may.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a request, in bytes.
const MAX_ID_BYTES: usize = 64;

/// What a request is called in the log, in the audit and in its answer.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// The client's own, where it can be used, so that its log and ours meet.
    fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID);
        let given = given.and_then(|value| value.to_str().ok()).filter(|text| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(fits)
        });
        Self(given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned))
    }
}

/// The middleware.
pub(crate) async fn envelope(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("api", request = id.0, %method, route);
    let started = Instant::now();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = tokio::time::timeout(REQUEST_LIMIT, answer).instrument(span.clone());
    let mut response = match answer.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            // The panic's own text is in the log already, by the hook.
            span.in_scope(|| tracing::error!("a request crashed; please report this fault"));
            Problem::new(Kind::Internal, "a fault of the server; its log says more").into_response()
        }
        Err(_) => Problem::new(
            Kind::TimedOut,
            format!("it was not done within {} s", REQUEST_LIMIT.as_secs()),
        )
        .into_response(),
    };
    let status = response.status().as_u16();
    counter!(
        "trunkline_api_requests_total",
        "method" => known(&method), "route" => route.clone(), "status" => status.to_string(),
    )
    .increment(1);
    histogram!("trunkline_api_request_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
    span.in_scope(|| {
        tracing::debug!(
            status,
            ms = started.elapsed().as_millis() as u64,
            "answered"
        );
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A method as a label. Clients can make up any number of others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_clients_own_id_is_taken_when_it_is_harmless() {
        let id = |given: &str| {
            let request = Request::builder().header(REQUEST_ID, given);
            RequestId::of(&request.body(Body::empty()).unwrap()).0
        };
        assert_eq!(id("trace-1.a_b"), "trace-1.a_b");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert_ne!(id(bad), bad);
        }
    }
}
