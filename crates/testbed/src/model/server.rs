//! The shell: HTTP, WebSockets, the clock, and the handle that tests hold.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::behaviour::{Behaviour, Opening};
use super::connection;
use super::core::{Core, Opened};
use super::error::WireError;
use super::record::{NotSeen, Note, SessionRecord};
use super::speech::Speaker;

/// How long a session may last, by its `expires_at`. Source: the vendor's limit.
const SESSION_LIFE: Duration = Duration::from_secs(3_600);
/// Orders to a connection that it has not carried out yet.
const MAX_INJECTIONS: usize = 16;

/// How to start a model.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// The key that clients must have. Without one, the model makes its own.
    pub api_key: Option<SecretString>,
    /// How connections go, unless told otherwise.
    pub behaviour: Behaviour,
}

/// The model could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the simulated model found no port to listen on")]
pub struct StartError(#[source] std::io::Error);

/// Something done to a connection from outside.
#[derive(Debug, Clone)]
pub enum Injection {
    /// Closes the WebSocket with this code.
    Close(u16),
    /// Cuts the connection, without a close.
    Cut,
    /// Sends an `error` event with this code.
    Error(String),
    /// Sends this text.
    Text(String),
}

/// A model that listens on a port of this machine, until it is dropped.
#[derive(Debug)]
pub struct SimulatedModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
pub(super) struct Shared {
    api_key: SecretString,
    speaker: Arc<Speaker>,
    behaviour: Mutex<Behaviour>,
    /// For the next connections, one each.
    next: Mutex<VecDeque<Behaviour>>,
    sessions: Mutex<Vec<Arc<Session>>>,
    refused: Mutex<usize>,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) record: Mutex<SessionRecord>,
    orders: mpsc::Sender<Injection>,
}

impl SimulatedModel {
    /// Starts a model on a free port.
    ///
    /// # Errors
    /// If there is no port to be had.
    pub async fn start(options: ModelOptions) -> Result<Self, StartError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(StartError)?;
        let address = listener.local_addr().map_err(StartError)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
            api_key: options.api_key.unwrap_or_else(new_key),
            speaker: Arc::default(),
            behaviour: Mutex::new(options.behaviour),
            next: Mutex::default(),
            sessions: Mutex::default(),
            refused: Mutex::default(),
            changes: watch::Sender::new(0),
            stop: stop.clone(),
            tasks: tasks.clone(),
        });
        let router = Router::new()
            .route("/v1/realtime", get(open))
            .with_state(Arc::clone(&shared));
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the simulated model has stopped listening");
            }
        });
        Ok(Self {
            address,
            shared,
            stop,
            tasks,
        })
    }

    /// The base URL, as the product is configured with it: `ws://127.0.0.1:<port>/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("ws://{}/v1", self.address)
    }

    /// The address of the socket for `model`, as clients open it.
    #[must_use]
    pub fn realtime_url(&self, model: &str) -> String {
        format!("{}/realtime?model={model}", self.base_url())
    }

    /// The key that clients must have.
    #[must_use]
    pub fn api_key(&self) -> &SecretString {
        &self.shared.api_key
    }

    /// How connections go from now on. Those that are open stay as they are.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock() = behaviour;
    }

    /// How the next connection goes; called again, the one after it.
    pub fn next_connection(&self, behaviour: Behaviour) {
        self.shared.next.lock().push_back(behaviour);
    }

    /// All connections that were opened, from the first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionRecord> {
        self.shared
            .sessions
            .lock()
            .iter()
            .map(|session| session.record.lock().clone())
            .collect()
    }

    /// How many connections were refused by an HTTP status.
    #[must_use]
    pub fn refused(&self) -> usize {
        *self.shared.refused.lock()
    }

    /// Does something to the connection of this number. Nothing, if it is over.
    pub fn inject(&self, session: usize, injection: Injection) {
        let session = self.shared.sessions.lock().get(session).cloned();
        if let Some(session) = session
            && let Err(error) = session.orders.try_send(injection)
        {
            tracing::debug!(%error, "a connection of the simulated model takes no orders");
        }
    }

    /// Waits until `look` finds what it looks for in the sessions.
    ///
    /// # Errors
    /// If it finds nothing within `limit`: with the story of what there was instead.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&[SessionRecord]) -> Option<T>,
    ) -> Result<T, NotSeen> {
        let mut changes = self.shared.changes.subscribe();
        let looking = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look(&self.sessions()) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    // Only with the model itself is the sender gone, and we hold that.
                    std::future::pending::<()>().await;
                }
            }
        };
        let found = tokio::time::timeout(limit, looking).await;
        found.map_err(|_| NotSeen {
            what: what.to_owned(),
            limit,
            seen: self.story(),
        })
    }

    fn story(&self) -> String {
        let lines: Vec<String> = self.sessions().iter().map(SessionRecord::summary).collect();
        if lines.is_empty() {
            "no connection".to_owned()
        } else {
            lines.join("; ")
        }
    }

    /// Ends all connections, and waits until they are over.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SimulatedModel {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    pub(super) fn note(&self, session: &Session, note: Note) {
        let wakes = note.wakes();
        session.record.lock().apply(note, std::time::Instant::now());
        if wakes {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn accepts(&self, key: &SecretString) -> bool {
        self.api_key.expose_secret() == key.expose_secret()
    }

    fn refuse(&self, status: StatusCode, error: &WireError) -> Response {
        *self.refused.lock() += 1;
        self.wake();
        (status, axum::Json(json!({ "error": error.body(None) }))).into_response()
    }
}

#[derive(serde::Deserialize)]
struct Wanted {
    model: Option<String>,
}

/// `GET /v1/realtime?model=…`
async fn open(
    State(shared): State<Arc<Shared>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let bearer = bearer(&headers);
    if !shared.accepts(&bearer) {
        let error = WireError::of_server("invalid_api_key");
        return shared.refuse(StatusCode::UNAUTHORIZED, &error);
    }
    let Some(model) = wanted.model.filter(|model| !model.is_empty()) else {
        let error = WireError::invalid("missing_model", "You must provide a model parameter.");
        return shared.refuse(StatusCode::BAD_REQUEST, &error);
    };
    let behaviour = shared
        .next
        .lock()
        .pop_front()
        .unwrap_or_else(|| shared.behaviour.lock().clone());
    if let Opening::Refused(status) = behaviour.opening {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return shared.refuse(status, &refusal(status));
    }
    let tasks = shared.tasks.clone();
    let stop = shared.stop.clone();
    upgrade.on_upgrade(move |socket| {
        let talk = async move {
            let now = std::time::Instant::now();
            let (orders, to_do) = mpsc::channel(MAX_INJECTIONS);
            let (session, opened) = {
                let mut sessions = shared.sessions.lock();
                let record = SessionRecord::new(sessions.len(), model.clone(), bearer, now);
                let opened = Opened {
                    connection: sessions.len(),
                    model,
                    expires_at_unix_s: expiry(SystemTime::now()),
                };
                let session = Arc::new(Session {
                    record: Mutex::new(record),
                    orders,
                });
                sessions.push(Arc::clone(&session));
                (session, opened)
            };
            shared.wake();
            let core = Core::new(&opened, behaviour, Arc::clone(&shared.speaker), now);
            let closing = connection::run(socket, core, &shared, &session, to_do, stop).await;
            session.record.lock().closed = Some(closing);
            shared.wake();
        };
        tasks.track_future(talk)
    })
}

fn new_key() -> SecretString {
    format!("sk-simulated-{}", uuid::Uuid::new_v4().simple()).into()
}

fn bearer(headers: &HeaderMap) -> SecretString {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default()
        .into()
}

fn refusal(status: StatusCode) -> WireError {
    WireError::of_server(match status {
        StatusCode::UNAUTHORIZED => "invalid_api_key",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
        _ => "server_error",
    })
}

fn expiry(now: SystemTime) -> u64 {
    let end = now + SESSION_LIFE;
    end.duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
