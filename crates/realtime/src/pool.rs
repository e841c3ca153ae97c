//! Sessions that are open before they are wanted: opening one takes as long as a phone
//! rings once.
//!
//! Whoever had a session lately is likely to want another one, so one spare is kept for
//! each of the latest endpoints and models, and is opened anew before it is stale.

mod spares;

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{ConnectError, Connector, Endpoint, Options, Session};

use spares::{Spares, Want};

/// Spares that are being opened at once. One that is wanted at once is opened without
/// waiting for these.
const MAX_OPENING: usize = 4;

/// See the module. One for the process, cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    connector: Connector,
    spares: Arc<Mutex<Spares<Session>>>,
    changed: Arc<Notify>,
}

impl Pool {
    /// A pool that opens its sessions with `connector`. It keeps no spares until
    /// [`Pool::run`] does.
    pub fn new(connector: Connector, options: &Options) -> Self {
        Self {
            connector,
            spares: Arc::new(Mutex::new(Spares::new(options.warm_sessions as usize))),
            changed: Arc::default(),
        }
    }

    /// A session with `model`: the spare one if there is one, else a new one, as
    /// [`Connector::connect`] opens it.
    ///
    /// # Errors
    /// When the vendor cannot be reached, refuses, or takes too long.
    pub async fn connect(&self, endpoint: &Endpoint, model: &str) -> Result<Session, ConnectError> {
        let want = Want::new(endpoint, model);
        let spare = self.spares.lock().take(&want, Instant::now());
        self.changed.notify_one();
        let spare = spare.filter(Session::is_open);
        let source = if spare.is_some() { "spare" } else { "new" };
        metrics::counter!("trunkline_realtime_sessions_taken_total", "from" => source).increment(1);
        match spare {
            Some(session) => Ok(session),
            None => self.connector.connect(endpoint, model).await,
        }
    }

    /// A new session, whatever there is in reserve: to find out whether one can be had.
    ///
    /// # Errors
    /// As [`Pool::connect`].
    pub async fn connect_anew(
        &self,
        endpoint: &Endpoint,
        model: &str,
    ) -> Result<Session, ConnectError> {
        self.connector.connect(endpoint, model).await
    }

    /// Keeps spares until `stop` is cancelled, then lets them go.
    pub async fn run(self, stop: CancellationToken) {
        let mut opening = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            while opening.len() < MAX_OPENING {
                let Some(want) = self.spares.lock().next_to_open(now, Session::is_open) else {
                    break;
                };
                let connector = self.connector.clone();
                opening.push(async move {
                    let opened = connector.connect(&want.endpoint, &want.model).await;
                    (want, opened)
                });
            }
            let due = self.spares.lock().due(now);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(due.into()) => {}
                Some((want, opened)) = opening.next() => {
                    let now = Instant::now();
                    match opened {
                        Ok(session) => self.spares.lock().put(&want, session, now),
                        Err(error) => {
                            tracing::debug!(%error, "no session in reserve");
                            self.spares.lock().failed(&want, now);
                        }
                    }
                }
            }
        }
        self.spares.lock().clear();
    }
}
