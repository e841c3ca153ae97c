//! One question to one backend: an attempt, and as many more as fit into the deadline.
//!
//! Only what passes by itself is asked again: no connection, 429, 502, 503, 504.
//! Everything else would fail again, and the phone is ringing. All attempts carry the same
//! idempotency key, so that a backend may tell a repetition.

use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response};
use secrecy::ExposeSecret as _;
use trunkline_domain::{CallConfigPatch, CallId, LookupSettings, MAX_CONFIG_BYTES, Reach};

use crate::addresses::forbidden;
use crate::reason::problem;
use crate::signature::{SIGNATURE, TIMESTAMP, signature};
use crate::trace::{Sampling, traceparent};
use crate::{CallConfigRequest, FallbackReason, ForbiddenAddress, retry};

/// An attempt is not begun with less time than this. A backend that is near
/// answers in 5 to 50 ms.
const LEAST_ATTEMPT: Duration = Duration::from_millis(50);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How often is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    /// All of them together.
    pub(crate) most: u32,
    /// When a second one goes out beside a silent one.
    pub(crate) hedge_after: Option<Duration>,
}

/// A configuration that a backend gave.
pub(crate) struct Answer {
    pub(crate) patch: CallConfigPatch,
    /// As it came.
    pub(crate) body: Bytes,
    pub(crate) keeping: Keeping,
}

/// Whether an answer may stand in for one that does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Kept,
    /// The backend says that it is for this caller or this moment alone.
    Refused,
}

/// What is asked, ready to be sent many times.
pub(crate) struct Question<'a> {
    client: &'a Client,
    settings: &'a LookupSettings,
    call: CallId,
    sampling: Sampling,
    body: Bytes,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        client: &'a Client,
        settings: &'a LookupSettings,
        request: &CallConfigRequest,
        sampling: Sampling,
    ) -> Result<Self, FallbackReason> {
        let body = serde_json::to_vec(request).map_err(|error| FallbackReason::Request {
            problem: error.to_string(),
        })?;
        Ok(Self {
            client,
            settings,
            call: request.call_id,
            sampling,
            body: body.into(),
        })
    }

    /// Asks until there is an answer, a failure that does not pass, or no time for another
    /// attempt. The caller bounds it by the deadline.
    pub(crate) async fn ask(
        &self,
        attempts: Attempts,
        until: Instant,
    ) -> Result<Answer, FallbackReason> {
        let mut under_way = FuturesUnordered::from_iter([self.attempt()]);
        let mut asked = 1;
        let mut failed = 0;
        let mut hedge = attempts.hedge_after;
        loop {
            let is_hedged = hedge.is_some() && asked < attempts.most;
            let result = tokio::select! {
                result = under_way.next() => result,
                () = tokio::time::sleep(hedge.unwrap_or_default()), if is_hedged => {
                    hedge = None;
                    asked += 1;
                    metrics::counter!("trunkline_lookup_hedges_total").increment(1);
                    under_way.push(self.attempt());
                    continue;
                }
            };
            let failure = match result {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(failure)) => failure,
                // There is always one under way: the loop pushes one or returns.
                None => return Err(FallbackReason::Timeout),
            };
            if !failure.reason.is_passing() {
                return Err(failure.reason);
            }
            failed += 1;
            if !under_way.is_empty() {
                continue;
            }
            let pause = retry::pause(failed, failure.not_before, &mut rand::rng());
            let fits = Instant::now()
                .checked_add(pause.saturating_add(LEAST_ATTEMPT))
                .is_some_and(|end| end <= until);
            if asked >= attempts.most || !fits {
                return Err(failure.reason);
            }
            let label = failure.reason.as_label();
            tracing::debug!(reason = %failure.reason, "asking once more");
            metrics::counter!("trunkline_lookup_retries_total", "reason" => label).increment(1);
            tokio::time::sleep(pause).await;
            asked += 1;
            under_way.push(self.attempt());
        }
    }

    async fn attempt(&self) -> Result<Answer, Failure> {
        let settings = self.settings;
        let mut request = self
            .client
            .post(settings.url.clone())
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(IDEMPOTENCY_KEY, self.call.to_string())
            .header(
                TRACEPARENT,
                traceparent(self.call, rand::random(), self.sampling),
            )
            .body(self.body.clone());
        if let Some(bearer) = &settings.bearer {
            request = request.bearer_auth(bearer.expose_secret());
        }
        // Anew for each attempt: what is repeated is as fresh as what was first.
        if let Some(secret) = &settings.signing_secret {
            let now = Utc::now().timestamp();
            request = request
                .header(TIMESTAMP, now)
                .header(SIGNATURE, signature(secret, now, &self.body));
        }
        let response = request.send().await;
        let response = response.map_err(|error| no_answer(error, settings.reach))?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure {
                reason: FallbackReason::Status(status.as_u16()),
                not_before: not_before(&response),
            });
        }
        // Nothing but plain text was asked for, and the bytes would be read as such.
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(FallbackReason::Compressed.into());
        }
        let keeping = keeping(&response);
        let body = read(response, MAX_CONFIG_BYTES).await?;
        let patch = CallConfigPatch::parse(&body).map_err(FallbackReason::Invalid)?;
        Ok(Answer {
            patch,
            body,
            keeping,
        })
    }
}

/// A failed attempt.
struct Failure {
    reason: FallbackReason,
    /// What the backend asked for.
    not_before: Option<Duration>,
}

impl From<FallbackReason> for Failure {
    fn from(reason: FallbackReason) -> Self {
        Self {
            reason,
            not_before: None,
        }
    }
}

fn not_before(response: &Response) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER)?;
    retry::retry_after(header.to_str().ok()?, SystemTime::now())
}

/// `Cache-Control: no-store`, or `private`: for this caller.
fn keeping(response: &Response) -> Keeping {
    let values = response.headers().get_all(CACHE_CONTROL);
    let is_refusal = |directive: &str| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("private")
    };
    let mut values = values.iter().filter_map(|value| value.to_str().ok());
    if values.any(|value| value.split(',').any(is_refusal)) {
        Keeping::Refused
    } else {
        Keeping::Kept
    }
}

/// No answer began.
pub(crate) fn no_answer(error: reqwest::Error, reach: Reach) -> FallbackReason {
    match (forbidden(&error), reach) {
        (Some(ForbiddenAddress::Private), Reach::Outside) => return FallbackReason::Internal,
        (Some(why), _) => return FallbackReason::Address(why),
        (None, _) => {}
    }
    let is_builder = error.is_builder();
    let problem = problem(error);
    if is_builder {
        FallbackReason::Request { problem }
    } else {
        FallbackReason::Connect { problem }
    }
}

/// The body, as far as it is read at all.
pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Bytes, FallbackReason> {
    if response.content_length().is_some_and(|n| n > limit as u64) {
        return Err(FallbackReason::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| FallbackReason::Broken {
            problem: problem(error),
        })?
    {
        if body.len() + chunk.len() > limit {
            return Err(FallbackReason::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
