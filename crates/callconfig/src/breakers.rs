//! The breakers of all tenants: one for each backend that lately failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use metrics::{counter, gauge};
use parking_lot::Mutex;
use trunkline_domain::{BackendMark, Tenant, TenantId, TenantSlug};

use crate::breaker::{Breaker, Change, Limits, Permit};

/// Backends whose failures are remembered. Far more than fail at the same time; one that
/// finds no place is asked as if it had never failed.
const MAX_FAILING: usize = 10_000;

/// The breakers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Breakers {
    limits: Limits,
    failing: Arc<Mutex<HashMap<TenantId, (BackendMark, Breaker)>>>,
}

impl Breakers {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            failing: Arc::default(),
        }
    }

    /// A call of this tenant wants to ask. `None`: its backend has peace.
    pub(crate) fn ask(&self, tenant: &Tenant, backend: BackendMark) -> Option<Asking> {
        let mut failing = self.failing.lock();
        let is_other = |(of, _): &(BackendMark, Breaker)| *of != backend;
        if failing.get(&tenant.id).is_some_and(is_other) {
            // Another URL: its failures are not this one's.
            failing.remove(&tenant.id);
            count_open(&failing);
        }
        let permit = match failing.get_mut(&tenant.id) {
            Some((_, breaker)) => breaker.ask(Instant::now())?,
            None => Permit::Ask,
        };
        Some(Asking {
            breakers: self.clone(),
            tenant: tenant.id,
            slug: tenant.slug.clone(),
            backend,
            permit,
            is_settled: false,
        })
    }

    /// Runs `step` with the breaker of that backend, which is forgotten when there is
    /// nothing more to know of it.
    fn with(&self, asking: &Asking, step: impl FnOnce(&mut Breaker) -> Option<Change>) {
        let mut failing = self.failing.lock();
        let has_place = failing.len() < MAX_FAILING || failing.contains_key(&asking.tenant);
        let mut new = (asking.backend, Breaker::new(self.limits));
        let (backend, breaker) = if has_place {
            failing.entry(asking.tenant).or_insert(new)
        } else {
            &mut new
        };
        if *backend != asking.backend {
            // The URL was changed while this call asked.
            return;
        }
        let change = step(breaker);
        if breaker.is_new() {
            failing.remove(&asking.tenant);
        }
        if change.is_some() {
            count_open(&failing);
        }
        drop(failing);
        match change {
            Some(Change::Opened(pause)) => {
                counter!(
                    "trunkline_lookup_breaker_opened_total", "tenant" => asking.slug.to_string()
                )
                .increment(1);
                if asking.permit == Permit::Probe {
                    tracing::debug!(tenant = %asking.slug, "the backend still does not answer");
                } else {
                    tracing::warn!(
                        tenant = %asking.slug,
                        pause_ms = pause.as_millis(),
                        "the backend does not answer: its calls do without it until one call's \
                         question is answered again"
                    );
                }
            }
            Some(Change::Closed) => {
                tracing::info!(tenant = %asking.slug, "the backend answers again");
            }
            None => {}
        }
    }
}

fn count_open(failing: &HashMap<TenantId, (BackendMark, Breaker)>) {
    let open = failing.values().filter(|(_, breaker)| breaker.is_open());
    gauge!("trunkline_lookup_breakers_open").set(open.count() as f64);
}

/// A call that asks. Dropped before anything came of it, it says that the call went away.
pub(crate) struct Asking {
    breakers: Breakers,
    tenant: TenantId,
    slug: TenantSlug,
    backend: BackendMark,
    permit: Permit,
    is_settled: bool,
}

impl Asking {
    /// The backend is there.
    pub(crate) fn succeeded(mut self) {
        self.is_settled = true;
        self.breakers.with(&self, Breaker::succeeded);
    }

    /// The backend is not.
    pub(crate) fn failed(mut self) {
        self.is_settled = true;
        self.breakers.with(&self, |breaker| {
            breaker.failed(self.permit, Instant::now(), rand::random())
        });
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_settled && self.permit == Permit::Probe {
            self.breakers.with(self, |breaker| {
                breaker.abandoned(self.permit, Instant::now());
                None
            });
        }
    }
}
