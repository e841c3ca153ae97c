//! What the routes know.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trunkline_call::{LiveCalls, Services};
use trunkline_store::{InnerUrls, Reporter, Store};
use trunkline_supervisor::{Handle, LoadMeter};

use super::auth::Gate;
use super::checks::Checks;
use super::listeners::Listeners;

/// How much may be asked for.
#[derive(Debug, Clone, Copy)]
pub struct ApiLimits {
    /// Requests per second of one token. Five times as many may come at once.
    pub requests_per_second: u32,
    /// Failed authentications per minute from one address.
    pub failures_per_minute: u32,
    /// Whether URLs that a token of one tenant writes may lead to internal addresses.
    pub inner_urls: InnerUrls,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            // A page that shows everything asks for some ten things a second.
            requests_per_second: 50,
            // A person mistypes thrice; a script that guesses is stopped. Nothing
            // can be guessed: this keeps the database out of it.
            failures_per_minute: 10,
            inner_urls: InnerUrls::Refused,
        }
    }
}

/// What the API is made of.
pub struct ApiParts {
    /// Who this process is in the states that it reports.
    pub replica: Reporter,
    /// The database.
    pub store: Store,
    /// How the projects are doing.
    pub projects: Handle,
    /// What its calls share: the calls under way, and what a tenant is checked with.
    pub services: Arc<Services>,
    /// How busy the process is.
    pub load: LoadMeter,
    /// Cancelled, this process takes no more calls and ends with the last one.
    pub drain: CancellationToken,
    /// How much may be asked for.
    pub limits: ApiLimits,
}

/// What the routes read. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiState {
    inner: Arc<Inner>,
}

struct Inner {
    parts: ApiParts,
    gate: Gate,
    listeners: Listeners,
    checks: Checks,
}

impl ApiState {
    pub(crate) fn new(parts: ApiParts) -> Self {
        Self {
            inner: Arc::new(Inner {
                gate: Gate::new(parts.limits),
                parts,
                listeners: Listeners::default(),
                checks: Checks::default(),
            }),
        }
    }

    pub(crate) fn replica(&self) -> &Reporter {
        &self.inner.parts.replica
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    pub(crate) fn projects(&self) -> &Handle {
        &self.inner.parts.projects
    }

    pub(crate) fn load(&self) -> &LoadMeter {
        &self.inner.parts.load
    }

    pub(crate) fn calls(&self) -> &LiveCalls {
        self.inner.parts.services.live()
    }

    pub(crate) fn services(&self) -> &Services {
        &self.inner.parts.services
    }

    pub(crate) fn checks(&self) -> &Checks {
        &self.inner.checks
    }

    pub(crate) fn drain(&self) -> &CancellationToken {
        &self.inner.parts.drain
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    pub(crate) fn inner_urls(&self) -> InnerUrls {
        self.inner.parts.limits.inner_urls
    }

    pub(crate) fn listeners(&self) -> &Listeners {
        &self.inner.listeners
    }
}

/// How long a listener to events is served before it has to come again, and show its
/// token again: what was revoked listens no longer than this.
pub(crate) const LISTEN_LIMIT: Duration = Duration::from_secs(15 * 60);
