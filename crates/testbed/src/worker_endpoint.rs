//! The place where agent workers register, for very many projects at one address.
//!
//! It does what `livekit-server` does between a worker's connecting and its first
//! job (`/agent`, binary protobuf): takes the registration and answers pings. Any API
//! key is a project. Jobs never come.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use parking_lot::Mutex;
use prost::Message as _;
use proto::{server_message::Message as FromServer, worker_message::Message as ToServer};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Registrations that nobody has asked for yet. Those of one measurement.
const NEWS: usize = 100_000;

/// A worker has registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The API key, which tells the project.
    pub api_key: String,
    /// The agent name.
    pub agent_name: String,
    /// When its answer was sent.
    pub at: Instant,
}

/// See the module. Dropping it ends every connection.
pub struct WorkerEndpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    news: mpsc::Receiver<Registration>,
    _connections: JoinSet<()>,
}

struct Shared {
    /// Workers by API key.
    workers: Mutex<HashMap<String, usize>>,
    projects: watch::Sender<usize>,
    news: mpsc::Sender<Registration>,
}

impl WorkerEndpoint {
    /// Opens on a port of this machine.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("cannot open a port for workers")?;
        let address = listener.local_addr().context("the port's address")?;
        let (sender, news) = mpsc::channel(NEWS);
        let shared = Arc::new(Shared {
            workers: Mutex::default(),
            projects: watch::Sender::new(0),
            news: sender,
        });
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            news,
            _connections: connections,
        })
    }

    /// Where workers connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// How many projects have a worker now.
    #[must_use]
    pub fn projects(&self) -> watch::Receiver<usize> {
        self.shared.projects.subscribe()
    }

    /// The next registration.
    ///
    /// # Panics
    /// Never: the sender lives as long as this does.
    pub async fn registration(&mut self) -> Registration {
        self.news.recv().await.expect("we hold a sender")
    }

    /// Forgets the registrations that nobody has asked for.
    pub fn forget(&mut self) {
        while self.news.try_recv().is_ok() {}
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    // Out of descriptors: wait for one to come back.
                    tracing::warn!(%error, "the worker endpoint takes no connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = converse(stream, &shared).await {
        tracing::debug!("a worker left: {error:#}");
    }
}

async fn converse(stream: TcpStream, shared: &Arc<Shared>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let seen = Arc::new(Mutex::new(None));
    let key = Arc::clone(&seen);
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is the library's"
    )]
    let check = move |request: &Request, response: Response| match api_key(request) {
        Some(found) => {
            *key.lock() = Some(found);
            Ok(response)
        }
        None => {
            let mut refusal = ErrorResponse::new(Some("no token".to_owned()));
            *refusal.status_mut() = axum::http::StatusCode::UNAUTHORIZED;
            Err(refusal)
        }
    };
    let mut socket = accept_hdr_async(stream, check).await?;
    let api_key = seen.lock().take().context("no key")?;
    let ToServer::Register(register) = read(&mut socket).await? else {
        anyhow::bail!("the first message is no registration");
    };
    send(
        &mut socket,
        FromServer::Register(proto::RegisterWorkerResponse {
            worker_id: format!("AW_{}", uuid::Uuid::new_v4().simple()),
            server_info: Some(proto::ServerInfo {
                version: crate::livekit::VERSION.to_owned(),
                ..proto::ServerInfo::default()
            }),
            ..proto::RegisterWorkerResponse::default()
        }),
    )
    .await?;
    let _present = Present::enter(shared, api_key, register.agent_name);
    loop {
        if let ToServer::Ping(ping) = read(&mut socket).await? {
            let pong = proto::WorkerPong {
                last_timestamp: ping.timestamp,
                timestamp: chrono::Utc::now().timestamp_millis(),
            };
            send(&mut socket, FromServer::Pong(pong)).await?;
        }
    }
}

/// A registered worker, counted for as long as it is there.
struct Present {
    shared: Arc<Shared>,
    api_key: String,
}

impl Present {
    fn enter(shared: &Arc<Shared>, api_key: String, agent_name: String) -> Self {
        let mut workers = shared.workers.lock();
        *workers.entry(api_key.clone()).or_default() += 1;
        shared.projects.send_replace(workers.len());
        drop(workers);
        // Full: nobody is asking.
        let _ = shared.news.try_send(Registration {
            api_key: api_key.clone(),
            agent_name,
            at: Instant::now(),
        });
        Self {
            shared: Arc::clone(shared),
            api_key,
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut workers = self.shared.workers.lock();
        if let Some(count) = workers.get_mut(&self.api_key) {
            *count -= 1;
            if *count == 0 {
                workers.remove(&self.api_key);
            }
        }
        self.shared.projects.send_replace(workers.len());
    }
}

/// The issuer of the bearer token. Its signature is not looked at: every key is a
/// project here.
fn api_key(request: &Request) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let header = request.headers().get("authorization")?.to_str().ok()?;
    let payload = header.strip_prefix("Bearer ")?.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&bytes).ok()?;
    Some(claims.iss)
}

async fn read(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<ToServer> {
    loop {
        match socket.next().await.context("it closed the connection")?? {
            Message::Binary(bytes) => {
                let message = proto::WorkerMessage::decode(bytes)?;
                return message.message.context("an empty message");
            }
            Message::Close(_) => anyhow::bail!("it said goodbye"),
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn send(socket: &mut WebSocketStream<TcpStream>, message: FromServer) -> anyhow::Result<()> {
    let message = proto::ServerMessage {
        message: Some(message),
    };
    socket
        .send(Message::Binary(message.encode_to_vec().into()))
        .await?;
    Ok(())
}
