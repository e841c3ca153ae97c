//! The lookup: one question, at most one repetition, one deadline, and always a
//! configuration in the end.
//!
//! Only what passes by itself is asked again: no connection, 429, 502, 503, 504.
//! Everything else would fail again, and the phone is ringing. The request
//! carries an idempotency key, so that a backend may tell a repetition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use reqwest::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder, Response};
use secrecy::ExposeSecret as _;
use tokio::time::timeout_at;
use trunkline_domain::{
    CallConfig, CallConfigPatch, ConfigSource, LookupSettings, MAX_CONFIG_BYTES, Reach, Tenant,
    leads_inside,
};
use url::Url;

use crate::outer_names::{OuterNames, is_internal};
use crate::reason::problem;
use crate::signature::{SIGNATURE, TIMESTAMP, signature};
use crate::unknown::UnknownFields;
use crate::{CallConfigRequest, FallbackReason, Options};

/// The pause before the repetition, in milliseconds: long enough for a restarted
/// backend's balancer to notice, short enough for a caller who hears ringing.
/// Random, so that the calls of one moment do not come back in one moment.
const PAUSE_MS: std::ops::Range<u64> = 50..200;
/// A repetition is not begun with less time than this. A backend that is near
/// answers in 5 to 50 ms.
const LEAST_ATTEMPT: Duration = Duration::from_millis(50);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// No lookup can be made in this process.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The process has installed no provider for rustls.
    #[error("no crypto provider is installed")]
    NoCryptoProvider,
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// Whether backends of the inside are asked, when the URL may lead to the outside only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InnerUrls {
    Refused,
    Asked,
}

/// The configuration of a call, and where it is from.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// What the call is run with.
    pub config: CallConfig,
    /// Which rung gave it.
    pub source: ConfigSource,
    /// Why it was not the first rung.
    pub reason: Option<FallbackReason>,
    /// How long it took.
    pub took: Duration,
}

/// Asks tenants' backends. One for the process, cheap to clone: connections are
/// kept and shared.
#[derive(Debug, Clone)]
pub struct Lookup {
    client: Client,
    /// For URLs that may lead to the outside only.
    confined: Client,
    inner: InnerUrls,
    unknown: Arc<UnknownFields>,
}

impl Lookup {
    /// Builds the client. Needs rustls' provider installed.
    ///
    /// # Errors
    /// When there is none, or the system's root certificates cannot be used.
    pub fn new(options: &Options) -> Result<Self, LookupError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(LookupError::NoCryptoProvider);
        }
        let confined = client(options)
            .dns_resolver(OuterNames)
            .build()
            .map_err(LookupError::Client)?;
        let client = client(options).build().map_err(LookupError::Client)?;
        Ok(Self {
            client,
            confined,
            inner: InnerUrls::Refused,
            unknown: Arc::default(),
        })
    }

    /// The same, where every URL may lead anywhere, whoever wrote it.
    #[must_use]
    pub fn with_inner_urls(self) -> Self {
        Self {
            confined: self.client.clone(),
            inner: InnerUrls::Asked,
            ..self
        }
    }

    /// The configuration for a call, at the latest when `deadline` or the
    /// tenant's own is reached. Never fails: the last rung is the tenant's default.
    pub async fn resolve(
        &self,
        tenant: &Tenant,
        request: &CallConfigRequest,
        deadline: Instant,
    ) -> Resolved {
        let started = Instant::now();
        let default = &tenant.default_config;
        let (config, source, reason) = match &tenant.lookup {
            None => (default.clone(), ConfigSource::NoLookup, None),
            Some(settings) => {
                let until = deadline.min(started + settings.deadline);
                match self.ask(settings, request, until).await {
                    Ok(patch) => {
                        if let Some(fields) = self.unknown.news(tenant.id, &patch.unknown) {
                            tracing::info!(
                                tenant = %tenant.slug,
                                fields,
                                "the backend sends fields that this version does not know"
                            );
                        }
                        (patch.over(default), ConfigSource::Fresh, None)
                    }
                    Err(reason) => (default.clone(), ConfigSource::TenantDefault, Some(reason)),
                }
            }
        };
        let took = started.elapsed();
        if let Some(reason) = &reason {
            tracing::warn!(
                tenant = %tenant.slug,
                call = %request.call_id,
                %reason,
                took_ms = took.as_millis(),
                "no configuration from the backend: the tenant's default is used"
            );
        }
        let label = reason.as_ref().map_or("none", FallbackReason::as_label);
        metrics::counter!(
            "trunkline_lookups_total",
            "tenant" => tenant.slug.to_string(), "source" => source.as_str(), "reason" => label
        )
        .increment(1);
        if source != ConfigSource::NoLookup {
            metrics::histogram!(
                "trunkline_lookup_duration_seconds", "source" => source.as_str()
            )
            .record(took.as_secs_f64());
        }
        Resolved {
            config,
            source,
            reason,
            took,
        }
    }

    /// Gets a file of at most so many bytes that a configuration names.
    ///
    /// # Errors
    /// When it does not come in time, is too large, or is refused.
    pub async fn fetch(
        &self,
        url: Url,
        reach: Reach,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<Bytes, FallbackReason> {
        let get = async {
            let response = self.client(reach, &url)?.get(url).send().await;
            let response = response.map_err(connect)?;
            let status = response.status();
            if !status.is_success() {
                return Err(FallbackReason::Status(status.as_u16()));
            }
            read(response, max_bytes).await
        };
        timeout_at(deadline.into(), get)
            .await
            .unwrap_or(Err(FallbackReason::Timeout))
    }

    /// The client that goes no further than it may.
    fn client(&self, reach: Reach, url: &Url) -> Result<&Client, FallbackReason> {
        match reach {
            Reach::Anywhere => Ok(&self.client),
            // Names are looked at as they are resolved; an address is not resolved.
            Reach::Outside if self.inner == InnerUrls::Refused && leads_inside(url) => {
                Err(FallbackReason::Internal)
            }
            Reach::Outside => Ok(&self.confined),
        }
    }

    async fn ask(
        &self,
        settings: &LookupSettings,
        request: &CallConfigRequest,
        until: Instant,
    ) -> Result<CallConfigPatch, FallbackReason> {
        let question = Question::new(settings, request)?;
        timeout_at(until.into(), self.attempts(&question, until))
            .await
            .unwrap_or(Err(FallbackReason::Timeout))
    }

    async fn attempts(
        &self,
        question: &Question<'_>,
        until: Instant,
    ) -> Result<CallConfigPatch, FallbackReason> {
        let failure = match self.attempt(question).await {
            Ok(patch) => return Ok(patch),
            Err(failure) => failure,
        };
        let jitter = Duration::from_millis(rand::random_range(PAUSE_MS));
        let pause = failure.not_before.unwrap_or_default().max(jitter);
        let fits = Instant::now()
            .checked_add(pause.saturating_add(LEAST_ATTEMPT))
            .is_some_and(|end| end <= until);
        if !failure.reason.is_passing() || !fits {
            return Err(failure.reason);
        }
        tracing::debug!(reason = %failure.reason, "asking once more");
        metrics::counter!("trunkline_lookup_retries_total", "reason" => failure.reason.as_label())
            .increment(1);
        tokio::time::sleep(pause).await;
        self.attempt(question)
            .await
            .map_err(|failure| failure.reason)
    }

    async fn attempt(&self, question: &Question<'_>) -> Result<CallConfigPatch, Failure> {
        let settings = question.settings;
        let mut request = self
            .client(settings.reach, &settings.url)?
            .post(settings.url.clone())
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(IDEMPOTENCY_KEY, &question.key)
            .body(question.body.clone());
        if let Some(bearer) = &settings.bearer {
            request = request.bearer_auth(bearer.expose_secret());
        }
        // Anew for each attempt: what is repeated is as fresh as what was first.
        if let Some(secret) = &settings.signing_secret {
            let now = Utc::now().timestamp();
            request = request
                .header(TIMESTAMP, now)
                .header(SIGNATURE, signature(secret, now, &question.body));
        }
        let response = request.send().await.map_err(connect)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure {
                reason: FallbackReason::Status(status.as_u16()),
                not_before: retry_after(&response),
            });
        }
        // Nothing but plain text was asked for, and the bytes would be read as such.
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(FallbackReason::Compressed.into());
        }
        let body = read(response, MAX_CONFIG_BYTES).await?;
        Ok(CallConfigPatch::parse(&body).map_err(FallbackReason::Invalid)?)
    }
}

fn client(options: &Options) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
        // A redirect could lead the bearer token and the caller anywhere.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout())
        .pool_idle_timeout(options.idle_timeout())
        .pool_max_idle_per_host(options.idle_connections as usize)
}

/// What is asked, ready to be sent twice.
struct Question<'a> {
    settings: &'a LookupSettings,
    key: String,
    body: Bytes,
}

impl<'a> Question<'a> {
    fn new(
        settings: &'a LookupSettings,
        request: &CallConfigRequest,
    ) -> Result<Self, FallbackReason> {
        let body = serde_json::to_vec(request).map_err(|error| FallbackReason::Request {
            problem: error.to_string(),
        })?;
        Ok(Self {
            settings,
            key: request.call_id.to_string(),
            body: body.into(),
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

/// `Retry-After` in seconds. Its other form, a date, is never within a deadline.
fn retry_after(response: &Response) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER)?;
    let seconds = header.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// No answer began.
fn connect(error: reqwest::Error) -> FallbackReason {
    if is_internal(&error) {
        return FallbackReason::Internal;
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
async fn read(mut response: Response, limit: usize) -> Result<Bytes, FallbackReason> {
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
