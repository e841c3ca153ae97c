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

use tokio::time::timeout;
use trunkline_domain::Tenant;

use crate::Services;

pub use registration::Registration;
pub use report::{Check, CheckName, CheckReport, CheckStatus};

/// One check. The slowest of them waits for a backend (30 s is the most that a
/// tenant may allow it); somebody looks at a terminal meanwhile.
const LIMIT: Duration = Duration::from_secs(35);

impl Services {
    /// Checks a tenant. `registrations` is what running replicas said lately of
    /// this tenant's workers: LiveKit has no call that lists them.
    pub async fn check(&self, tenant: &Tenant, registrations: &[Registration]) -> CheckReport {
        let livekit = async {
            let (url, key) = bounded_pair(project::check(&tenant.project)).await;
            let failed = CheckStatus::Failed;
            let sip = if url.status == failed || key.status == failed {
                Check::not_made(CheckName::Sip, "the project does not let us in")
            } else {
                bounded(CheckName::Sip, sip::check(tenant)).await
            };
            (url, key, sip)
        };
        let model = async {
            let answer = timeout(LIMIT, backend::check(&self.lookup, tenant)).await;
            let (backend, config) = answer.unwrap_or_else(|_| {
                (
                    Check::timed_out(CheckName::Backend, LIMIT),
                    tenant.default_config.clone(),
                )
            });
            // With the very model and voice that a call would have.
            let endpoint = self.endpoint(tenant);
            let check = model::check(&self.models, endpoint, &config);
            (backend, bounded(CheckName::Model, check).await)
        };
        let ((url, key, sip), (backend, model)) = tokio::join!(livekit, model);
        let agent = registration::judge(tenant, registrations);
        CheckReport {
            tenant: tenant.slug.to_string(),
            version: tenant.version.0,
            checks: vec![url, key, agent, sip, backend, model],
        }
    }
}

async fn bounded(name: CheckName, check: impl Future<Output = Check>) -> Check {
    let started = Instant::now();
    let mut check = timeout(LIMIT, check)
        .await
        .unwrap_or_else(|_| Check::timed_out(name, LIMIT));
    check.took_ms = started.elapsed().as_millis() as u64;
    check
}

async fn bounded_pair(checks: impl Future<Output = (Check, Check)>) -> (Check, Check) {
    timeout(LIMIT, checks).await.unwrap_or_else(|_| {
        (
            Check::timed_out(CheckName::Url, LIMIT),
            Check::not_made(CheckName::Key, "the project does not answer"),
        )
    })
}
