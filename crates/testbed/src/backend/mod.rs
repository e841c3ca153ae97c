//! A tenant's backend that answers `POST /call-config` as a test tells it to,
//! well or badly, and remembers what it was asked.

mod connection;
mod reply;
mod requests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::connection::{CuttableListener, Peer};
pub use self::reply::Reply;
pub use self::requests::Request;
use self::requests::Requests;

/// The route that a tenant's `call_config_url` names.
const PATH: &str = "/call-config";

/// Nobody asks with more than this; a test that does wants to see it refused.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// Which field of the request says what number was called.
const CALLED: &str = "calledPhone";

/// A simulated backend. Dropping it closes its port and all its connections.
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// One task. It ends when `_stop` is dropped, after its connections.
    _server: TaskTracker,
    _stop: DropGuard,
}

struct Shared {
    script: Mutex<Script>,
    requests: Requests,
    stop: CancellationToken,
}

struct Script {
    bearer: Option<SecretString>,
    default: Reply,
    by_called_number: HashMap<String, Reply>,
}

impl Backend {
    /// Starts a backend that gives this reply to everybody.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(default: Reply) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("cannot listen for the simulated backend")?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let shared = Arc::new(Shared {
            script: Mutex::new(Script {
                bearer: None,
                default,
                by_called_number: HashMap::new(),
            }),
            requests: Requests::default(),
            stop: CancellationToken::new(),
        });
        let router = Router::new()
            .route(PATH, post(call_config))
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Peer>();
        let stop = shared.stop.clone();
        let server = TaskTracker::new();
        server.spawn(async move {
            let served = axum::serve(CuttableListener::new(listener), service)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!("the simulated backend ended: {error}");
            }
        });
        Ok(Self {
            address,
            _stop: shared.stop.clone().drop_guard(),
            shared,
            _server: server,
        })
    }

    /// What a tenant's row names: `http://127.0.0.1:<port>/call-config`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// From now on every caller without this bearer token is answered 401.
    pub fn require_bearer(&self, token: SecretString) {
        self.shared.script.lock().bearer = Some(token);
    }

    /// From now on gives this reply, save for numbers with one of their own.
    pub fn reply(&self, reply: Reply) {
        self.shared.script.lock().default = reply;
    }

    /// From now on gives this reply when this number was called.
    pub fn reply_to(&self, called: &str, reply: Reply) {
        let mut script = self.shared.script.lock();
        script.by_called_number.insert(called.to_owned(), reply);
    }

    /// All requests so far, oldest first, refused ones included.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.all()
    }

    /// Waits until there were at least `count` requests, and returns them.
    ///
    /// # Errors
    /// When there were fewer after `limit`.
    pub async fn wait_for_requests(
        &self,
        count: usize,
        limit: Duration,
    ) -> anyhow::Result<Vec<Request>> {
        self.shared.requests.wait_for(count, limit).await
    }
}

async fn call_config(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at = Instant::now();
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let called = body.as_ref().and_then(|body| body.get(CALLED)?.as_str());
    let reply = shared.script.lock().reply_for(called, &headers);
    shared.requests.push(Request {
        at,
        headers,
        body: body.unwrap_or_default(),
    });
    tokio::select! {
        response = reply.give(&peer, &shared.stop) => response,
        () = shared.stop.cancelled() => Reply::Close.give(&peer, &shared.stop).await,
    }
}

impl Script {
    fn reply_for(&self, called: Option<&str>, headers: &HeaderMap) -> Reply {
        if let Some(token) = &self.bearer {
            let expected = format!("Bearer {}", token.expose_secret());
            let given = headers.get(header::AUTHORIZATION);
            if given.is_none_or(|given| given.as_bytes() != expected.as_bytes()) {
                return Reply::Status(StatusCode::UNAUTHORIZED, "who are you?".to_owned());
            }
        }
        called
            .and_then(|called| self.by_called_number.get(called))
            .unwrap_or(&self.default)
            .clone()
    }
}

/// A JSON answer with this status.
fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.into()).into_response()
}
