//! The lookup: one question, one deadline, and always a configuration in the end.
//!
//! The ladder: the backend's answer, at once or after some repetitions; the last answer
//! that a call to the same number was run with; the tenant's default.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use tokio::time::timeout_at;
use trunkline_domain::{
    CallConfig, CallConfigPatch, ConfigSource, KnownAnswer, LookupSettings, Reach, Tenant,
};
use url::Url;

use crate::breakers::Breakers;
use crate::clients::Clients;
use crate::last_known::mark;
use crate::question::{Answer, Attempts, Keeping, Question, no_answer, read};
use crate::trace::Sampling;
use crate::unknown::UnknownFields;
use crate::{CallConfigRequest, FallbackReason, LastKnown, Options};

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
    clients: Clients,
    attempts: Attempts,
    sampling: Sampling,
    breakers: Breakers,
    last_known: LastKnown,
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
        Ok(Self {
            clients: Clients::new(options).map_err(LookupError::Client)?,
            attempts: Attempts {
                most: options.max_attempts,
                hedge_after: options.hedge_after(),
            },
            sampling: options.sampling(),
            breakers: Breakers::new(options.breaker()),
            last_known: LastKnown::new(options.last_known_max_age()),
            unknown: Arc::default(),
        })
    }

    /// The same, where every URL may lead where an operator's may, whoever wrote it.
    #[must_use]
    pub fn with_inner_urls(self) -> Self {
        Self {
            clients: self.clients.with_inner_urls(),
            ..self
        }
    }

    /// The last answers, for who brings them to the database and back.
    pub fn last_known(&self) -> &LastKnown {
        &self.last_known
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
        let (config, source, reason) = match &tenant.lookup {
            None => (tenant.default_config.clone(), ConfigSource::NoLookup, None),
            Some(settings) => {
                let until = deadline.min(started + settings.deadline);
                match self.ask(tenant, settings, request, until).await {
                    Ok(answer) => {
                        let config = self.use_answer(tenant, settings, request, answer);
                        (config, ConfigSource::Fresh, None)
                    }
                    Err(reason) => {
                        let (config, source) = self.fall_back(tenant, settings, request, &reason);
                        (config, source, Some(reason))
                    }
                }
            }
        };
        let took = started.elapsed();
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
            let response = self.clients.of(reach, &url)?.get(url).send().await;
            let response = response.map_err(|error| no_answer(error, reach))?;
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

    async fn ask(
        &self,
        tenant: &Tenant,
        settings: &LookupSettings,
        request: &CallConfigRequest,
        until: Instant,
    ) -> Result<Answer, FallbackReason> {
        let client = self.clients.of(settings.reach, &settings.url)?;
        let question = Question::new(client, settings, request, self.sampling)?;
        if until <= Instant::now() {
            // The backend was not asked, and has not failed.
            return Err(FallbackReason::Timeout);
        }
        let asking = async {
            timeout_at(until.into(), question.ask(self.attempts, until))
                .await
                .unwrap_or(Err(FallbackReason::Timeout))
        };
        if request.test {
            return asking.await;
        }
        let asked = self.breakers.ask(tenant, mark(&settings.url));
        let asked = asked.ok_or(FallbackReason::BreakerOpen)?;
        let result = asking.await;
        match &result {
            Err(reason) if reason.is_outage() => asked.failed(),
            Ok(_) | Err(_) => asked.succeeded(),
        }
        result
    }

    /// The configuration that the backend gave.
    fn use_answer(
        &self,
        tenant: &Tenant,
        settings: &LookupSettings,
        request: &CallConfigRequest,
        answer: Answer,
    ) -> CallConfig {
        if let Some(fields) = self.unknown.news(tenant.id, &answer.patch.unknown) {
            tracing::info!(
                tenant = %tenant.slug,
                fields,
                "the backend sends fields that this version does not know"
            );
        }
        if answer.keeping == Keeping::Kept
            && !request.test
            && let Ok(text) = std::str::from_utf8(&answer.body)
        {
            self.last_known.remember(KnownAnswer {
                tenant_id: tenant.id,
                called: request.called_phone.clone(),
                backend: mark(&settings.url),
                answer: text.to_owned(),
                fetched_at: Utc::now(),
            });
        }
        answer.patch.over(&tenant.default_config)
    }

    /// The configuration where the backend gave none.
    fn fall_back(
        &self,
        tenant: &Tenant,
        settings: &LookupSettings,
        request: &CallConfigRequest,
        reason: &FallbackReason,
    ) -> (CallConfig, ConfigSource) {
        let default = &tenant.default_config;
        let (slug, call) = (&tenant.slug, request.call_id);
        let now = Utc::now();
        let known = match request.test {
            // Who tests wants to know what the backend says now.
            true => None,
            false => self.last_known.find(
                tenant.id,
                request.called_phone.as_ref(),
                mark(&settings.url),
                now,
            ),
        };
        let known = known.and_then(|(answer, fetched_at)| {
            // Another version may have written it, with other bounds.
            let patch = CallConfigPatch::parse(answer.as_bytes()).ok()?;
            Some((patch, now.signed_duration_since(fetched_at)))
        });
        match known {
            Some((patch, age)) => {
                tracing::warn!(
                    tenant = %slug,
                    %call,
                    %reason,
                    age_s = age.num_seconds(),
                    "no configuration from the backend: its last answer for this number is used"
                );
                (patch.over(default), ConfigSource::LastKnown)
            }
            None => {
                tracing::warn!(
                    tenant = %slug,
                    %call,
                    %reason,
                    "no configuration from the backend: the tenant's default is used"
                );
                (default.clone(), ConfigSource::TenantDefault)
            }
        }
    }
}
