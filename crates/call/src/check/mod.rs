//! Whether a tenant's calls would work, found out from end to end: the LiveKit
//! project, the way that phone calls take to our agent, the tenant's backend, the
//! model. Nothing is changed anywhere, and no caller notices.
//!
//! Each check has a deadline and an answer in words. Those that do not need each
//! other's result run side by side. A check that says *failed* means that callers
//! would notice; a *warning*, that they may, or that it could not be found out.

mod backend;
mod model;
mod project;
mod registration;
mod report;
mod sip;

use std::time::{Duration, Instant};

use tokio::time::{Instant as Deadline, timeout_at};
use trunkline_domain::Tenant;

use crate::Services;

pub use backend::SampleCall;
pub use registration::{Registration, judge_registrations};
pub use report::{Check, CheckName, CheckReport, CheckStatus};

/// One check. The slowest of them waits for a backend (30 s is the most that a
/// tenant may allow it); somebody looks at a terminal meanwhile.
const LIMIT: Duration = Duration::from_secs(35);

impl Services {
    /// Checks a tenant. `registrations` is what running replicas said lately of
    /// this tenant's workers: LiveKit has no call that lists them. The backend is asked about
    /// `sample`. `limit` is how long all checks together may take.
    pub async fn check(
        &self,
        tenant: &Tenant,
        registrations: &[Registration],
        sample: &SampleCall,
        limit: Duration,
    ) -> CheckReport {
        let bounds = Bounds::beginning(limit);
        let livekit = async {
            let (url, key) = bounds.pair(project::check(&tenant.project)).await;
            let failed = CheckStatus::Failed;
            let sip = if url.status == failed || key.status == failed {
                Check::not_made(CheckName::Sip, "the project does not let us in")
            } else {
                bounds.one(CheckName::Sip, sip::check(tenant)).await
            };
            (url, key, sip)
        };
        let model = async {
            let (limit, answer) = bounds
                .within(backend::check(&self.lookup, tenant, sample))
                .await;
            let (backend, config) = answer.unwrap_or_else(|| {
                (
                    Check::timed_out(CheckName::Backend, limit),
                    tenant.default_config.clone(),
                )
            });
            // With the very model and voice that a call would have.
            let endpoint = self.endpoint(&tenant.provider);
            let check = model::check(&self.models, endpoint, &config);
            (backend, bounds.one(CheckName::Model, check).await)
        };
        let ((url, key, sip), (backend, model)) = tokio::join!(livekit, model);
        let agent = judge_registrations(tenant, registrations);
        CheckReport {
            tenant: tenant.slug.to_string(),
            version: tenant.version.0,
            checks: vec![url, key, agent, sip, backend, model],
        }
    }
}

/// How long checks may take.
struct Bounds {
    /// When all must be over.
    end: Deadline,
}

impl Bounds {
    fn beginning(limit: Duration) -> Self {
        Self {
            end: Deadline::now() + limit,
        }
    }

    /// What comes out, if it does within the limit that is given beside it.
    async fn within<T>(&self, check: impl Future<Output = T>) -> (Duration, Option<T>) {
        let now = Deadline::now();
        let until = self.end.min(now + LIMIT);
        let limit = until.saturating_duration_since(now);
        if limit.is_zero() {
            return (limit, None);
        }
        (limit, timeout_at(until, check).await.ok())
    }

    async fn one(&self, name: CheckName, check: impl Future<Output = Check>) -> Check {
        let started = Instant::now();
        let (limit, answer) = self.within(check).await;
        let mut check = answer.unwrap_or_else(|| Check::timed_out(name, limit));
        check.took_ms = started.elapsed().as_millis() as u64;
        check
    }

    async fn pair(&self, checks: impl Future<Output = (Check, Check)>) -> (Check, Check) {
        let (limit, answers) = self.within(checks).await;
        answers.unwrap_or_else(|| {
            (
                Check::timed_out(CheckName::Url, limit),
                Check::not_made(CheckName::Key, "the project does not answer"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_given_up_in_time_and_what_comes_behind_it_is_not_begun() {
        let bounds = Bounds::beginning(Duration::from_secs(50));
        let hang = std::future::pending::<Check>;
        let first = bounds.one(CheckName::Backend, hang()).await;
        assert!(first.detail.contains("within 35 s"), "{first:?}");
        let second = bounds.one(CheckName::Model, hang()).await;
        assert!(second.detail.contains("within 15 s"), "{second:?}");
        let third = bounds.one(CheckName::Sip, hang()).await;
        assert_eq!(third.status, CheckStatus::Warning, "{third:?}");
        let (url, key) = bounds.pair(std::future::pending()).await;
        assert_eq!(url.status, CheckStatus::Warning, "{url:?}");
        assert_eq!(key.status, CheckStatus::Warning, "{key:?}");
    }
}
