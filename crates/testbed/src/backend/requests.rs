//! What the simulated backend was asked.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::http::HeaderMap;
use serde_json::Value;
use tokio::sync::watch;

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it had arrived in full.
    pub at: Instant,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; `null` when it was not JSON.
    pub body: Value,
}

/// All requests, in order of arrival. Bounded by the test that asks.
pub(super) struct Requests {
    all: watch::Sender<Vec<Request>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            all: watch::Sender::new(Vec::new()),
        }
    }
}

impl Requests {
    pub(super) fn push(&self, request: Request) {
        self.all.send_modify(|all| all.push(request));
    }

    pub(super) fn all(&self) -> Vec<Request> {
        self.all.borrow().clone()
    }

    pub(super) async fn wait_for(
        &self,
        count: usize,
        limit: Duration,
    ) -> anyhow::Result<Vec<Request>> {
        let mut watcher = self.all.subscribe();
        let enough = watcher.wait_for(|all| all.len() >= count);
        match tokio::time::timeout(limit, enough).await {
            Ok(all) => Ok(all.context("the backend is gone")?.clone()),
            Err(_) => anyhow::bail!(
                "the backend was asked {} times in {} ms, not {count} times",
                self.all.borrow().len(),
                limit.as_millis()
            ),
        }
    }
}
