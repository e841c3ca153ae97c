//! Who asks, and what that allows.
//!
//! A token is looked up with every request, so that a revoked one is refused at once.
//! With the database away, one that was accepted within ten minutes is taken at its
//! word: what is live can be looked at, and calls hung up, just then.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use metrics::counter;
use parking_lot::Mutex;
use trunkline_domain::{AccessScope, TenantId};
use trunkline_store::{
    Actor, ApiToken, AuditOutcome, Credential, InnerUrls, PresentedToken, StoreError,
};
use uuid::Uuid;

use super::audit;
use super::buckets::{Buckets, Rate};
use super::envelope::RequestId;
use super::openapi;
use super::problem::{Kind, Problem};
use super::state::{ApiLimits, ApiState};
use crate::bounded::client;

/// How long a token is taken at its word while the database is away.
const TRUST_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long the database may take to tell of a token that is trusted. It answers within
/// some milliseconds; where it takes connections and never answers, what is live must not
/// wait for its time limits.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long it is not asked about trusted tokens after it let one wait for that.
const REST_AFTER_WAIT: Duration = Duration::from_secs(5);
/// How many tokens are remembered for that.
const MAX_TRUSTED: usize = 1_000;
/// How exact the time of a token's last use is.
const TOUCH_INTERVAL: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// How many requests of a token may come at once, in seconds of its rate.
const BURST_SECONDS: f64 = 5.0;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) token_id: Uuid,
    pub(crate) name: String,
    pub(crate) scope: AccessScope,
    /// The only tenant that is seen.
    pub(crate) tenant: Option<OwnTenant>,
    pub(crate) expires_at: Option<chrono::DateTime<Utc>>,
}

/// The only tenant that a token sees.
#[derive(Debug, Clone)]
pub(crate) struct OwnTenant {
    pub(crate) id: TenantId,
    pub(crate) slug: String,
}

impl Identity {
    fn of(token: &ApiToken) -> Self {
        Self {
            token_id: token.id,
            name: token.name.clone(),
            scope: token.scope,
            tenant: token.tenant_id.map(|id| OwnTenant {
                id: TenantId(id),
                slug: token.tenant.clone().unwrap_or_default(),
            }),
            expires_at: token.expires_at,
        }
    }

    /// As the audit and the history of tenants have it.
    pub(crate) fn actor(&self) -> String {
        actor(&self.name)
    }

    /// The same, with what it may write.
    pub(crate) fn writer(&self, inner: InnerUrls) -> Actor {
        let actor = Actor::new(&self.actor());
        match self.tenant {
            None => actor,
            Some(_) => actor.of_one_tenant(inner),
        }
    }

    /// Whether it sees what belongs to a tenant.
    pub(crate) fn sees(&self, tenant: TenantId) -> bool {
        self.tenant.as_ref().is_none_or(|own| own.id == tenant)
    }

    /// Whether it sees a tenant of this name, as far as the name tells.
    pub(crate) fn sees_slug(&self, slug: &str) -> bool {
        self.tenant.as_ref().is_none_or(|own| own.slug == slug)
    }

    /// For what is of the whole deployment and of no tenant.
    pub(crate) fn of_all_tenants(&self) -> Result<(), Problem> {
        match &self.tenant {
            None => Ok(()),
            Some(_) => Err(Problem::new(
                Kind::Forbidden,
                "the token is of one tenant, and this is of the whole deployment",
            )),
        }
    }

    fn allows(&self, scope: AccessScope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        Err(Problem::new(
            Kind::Forbidden,
            format!(
                "this needs a token of scope {scope}; this one has {}",
                self.scope
            ),
        ))
    }
}

macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident => $scope:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $level(pub(crate) Identity);

        impl FromRequestParts<ApiState> for $level {
            type Rejection = Problem;

            async fn from_request_parts(
                parts: &mut Parts,
                _state: &ApiState,
            ) -> Result<Self, Problem> {
                let identity = parts.extensions.get::<Identity>().cloned();
                let identity = identity.ok_or_else(unauthenticated)?;
                identity.allows(AccessScope::$scope)?;
                Ok(Self(identity))
            }
        }
    )*};
}

levels! {
    /// Who may look.
    Reader => Read;
    /// Who may also switch, hang up and drain.
    Operator => Operator;
    /// Who may also write tenants and tokens.
    Administrator => Admin;
}

/// Counts what is asked, and remembers who was let in.
pub(crate) struct Gate {
    requests: Mutex<Buckets<Uuid>>,
    failures: Mutex<Buckets<IpAddr>>,
    trusted: Mutex<HashMap<String, Trusted>>,
    /// When the database last let a trusted token wait.
    hung_at: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Trusted {
    credential: Credential,
    at: Instant,
}

impl Gate {
    pub(crate) fn new(limits: ApiLimits) -> Self {
        let per_second = f64::from(limits.requests_per_second);
        let failures = f64::from(limits.failures_per_minute);
        Self {
            requests: Mutex::new(Buckets::new(Rate {
                per_second,
                burst: per_second * BURST_SECONDS,
            })),
            failures: Mutex::new(Buckets::new(Rate {
                per_second: failures / 60.0,
                burst: failures,
            })),
            trusted: Mutex::new(HashMap::new()),
            hung_at: Mutex::new(None),
        }
    }

    fn trust(&self, prefix: &str, credential: &Credential) {
        let mut trusted = self.trusted.lock();
        if trusted.len() >= MAX_TRUSTED && !trusted.contains_key(prefix) {
            trusted.retain(|_, known| known.at.elapsed() < TRUST_LIMIT);
            if trusted.len() >= MAX_TRUSTED {
                return;
            }
        }
        let known = Trusted {
            credential: credential.clone(),
            at: Instant::now(),
        };
        trusted.insert(prefix.to_owned(), known);
    }

    fn trusted(&self, prefix: &str) -> Option<Credential> {
        let trusted = self.trusted.lock();
        let known = trusted.get(prefix)?;
        (known.at.elapsed() < TRUST_LIMIT).then(|| known.credential.clone())
    }

    /// What the database says of a token. Of one that is trusted it has not long to say it.
    async fn ask(
        &self,
        state: &ApiState,
        token: &PresentedToken,
    ) -> Result<Option<Credential>, StoreError> {
        let asking = state.store().api_credential(token.prefix());
        let is_trusted = self
            .trusted(token.prefix())
            .is_some_and(|known| token.matches(&known.secret_sha256));
        if !is_trusted {
            return asking.await;
        }
        let hung = StoreError::TimedOut { limit: PATIENCE };
        let rests = |at: Instant| at.elapsed() < REST_AFTER_WAIT;
        if self.hung_at.lock().is_some_and(rests) {
            return Err(hung);
        }
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        *self.hung_at.lock() = answer.is_err().then(Instant::now);
        answer.unwrap_or(Err(hung))
    }

    fn forget(&self, prefix: &str) {
        self.trusted.lock().remove(prefix);
    }
}

/// Who acts with a token.
fn actor(token: &str) -> String {
    format!("api:{token}")
}

fn unauthenticated() -> Problem {
    Problem::new(
        Kind::Unauthenticated,
        "send the header authorization: Bearer tl_…; make a token with `trunkline token add`",
    )
}

/// Why a token was refused, for the audit. The client reads one text for all.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    NoToken,
    NoSuchToken,
    Revoked,
    Expired,
    TenantGone,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no token",
            Self::NoSuchToken => "no such token",
            Self::Revoked => "the token is revoked",
            Self::Expired => "the token has expired",
            Self::TenantGone => "the token's tenant is gone",
        }
    }
}

/// The middleware: lets in who bears a valid token.
pub(crate) async fn authenticate(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    if matched.is_some_and(|path| path.as_str() == openapi::PATH) {
        return next.run(request).await;
    }
    let address = address(&request);
    let presented = bearer(request.headers());
    let gate = state.gate();
    // Who fails too often is not even looked up; who was let in before is.
    let is_known = presented.as_ref().is_some_and(|token| {
        let trusted = gate.trusted(token.prefix());
        trusted.is_some_and(|known| token.matches(&known.secret_sha256))
    });
    if !is_known && let Some(wait) = gate.failures.lock().wait(Instant::now(), &address) {
        counter!("trunkline_api_rejections_total", "reason" => "failures").increment(1);
        return Problem::too_many("too many failed attempts from this address", wait)
            .into_response();
    }
    let verdict = match &presented {
        None => Ok(Err((Refusal::NoToken, None))),
        Some(token) => judge(&state, token).await,
    };
    let identity = match verdict {
        Ok(Ok(identity)) => identity,
        Ok(Err((refusal, token))) => {
            counter!("trunkline_api_rejections_total", "reason" => "token").increment(1);
            // Full or not: the next one from there is asked first.
            let _ = gate.failures.lock().take(Instant::now(), address);
            let problem = unauthenticated();
            let request_id = request.extensions().get::<RequestId>();
            audit::Entry {
                request_id: request_id.map(|id| id.0.clone()),
                actor: token
                    .as_ref()
                    .map_or_else(|| "anonymous".to_owned(), |token| actor(&token.name)),
                token_id: token.as_ref().map(|token| token.id),
                tenant_id: token.and_then(|token| token.tenant_id),
                address: Some(address.to_string()),
                action: "authenticate".to_owned(),
                target: Some(format!("{} {}", request.method(), request.uri().path())),
                outcome: AuditOutcome::Refused,
                status: problem.status().as_u16(),
                detail: Some(refusal.as_str().to_owned()),
            }
            .write(&state)
            .await;
            return problem.into_response();
        }
        Err(problem) => return problem.into_response(),
    };
    if let Err(wait) = gate.requests.lock().take(Instant::now(), identity.token_id) {
        counter!("trunkline_api_rejections_total", "reason" => "rate").increment(1);
        return Problem::too_many("too many requests with this token", wait).into_response();
    }
    request.extensions_mut().insert(identity);
    next.run(request).await
}

type Verdict = Result<Identity, (Refusal, Option<ApiToken>)>;

async fn judge(state: &ApiState, token: &PresentedToken) -> Result<Verdict, Problem> {
    let gate = state.gate();
    let (credential, is_fresh) = match gate.ask(state, token).await {
        Ok(credential) => (credential, true),
        Err(error) if error.is_transient() => match gate.trusted(token.prefix()) {
            Some(credential) => (Some(credential), false),
            None => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    let Some(credential) = credential else {
        return Ok(Err((Refusal::NoSuchToken, None)));
    };
    // Who does not know the secret is told nothing of the token, and the audit names
    // no one who did not ask.
    if !token.matches(&credential.secret_sha256) {
        return Ok(Err((Refusal::NoSuchToken, None)));
    }
    let info = &credential.info;
    let now = Utc::now();
    let refusal = if info.revoked_at.is_some() {
        Some(Refusal::Revoked)
    } else if info.expires_at.is_some_and(|at| at <= now) {
        Some(Refusal::Expired)
    } else if credential.is_orphaned {
        Some(Refusal::TenantGone)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        gate.forget(token.prefix());
        return Ok(Err((refusal, Some(credential.info))));
    }
    if is_fresh {
        gate.trust(token.prefix(), &credential);
        let is_old = |at| now - at > TOUCH_INTERVAL;
        if info.last_used_at.is_none_or(is_old) {
            let noting = state.store().touch_api_token(info.id);
            match tokio::time::timeout(PATIENCE, noting).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = error.one_line(), "a token's use was not noted");
                }
                Err(_) => tracing::debug!("a token's use was not noted in time"),
            }
        }
    }
    Ok(Ok(Identity::of(info)))
}

fn bearer(headers: &HeaderMap) -> Option<PresentedToken> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| PresentedToken::parse(token.trim()).ok())
        .flatten()
}

/// The client that a request came from.
pub(crate) fn address(request: &Request) -> IpAddr {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    client(info.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_of_our_form_is_one() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).is_some()
        };
        let token = format!("tl_0123456789ab_{}", "x".repeat(43));
        assert!(with(&format!("Bearer {token}")));
        assert!(with(&format!("bearer  {token} ")));
        assert!(!with(&token));
        assert!(!with(&format!("Basic {token}")));
        assert!(!with("Bearer sk-1234"));
    }
}
