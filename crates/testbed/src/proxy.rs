//! A TCP proxy in front of a livekit-server that can cut connections by what
//! they are for: the worker's socket (`/agent`) without the rooms' (`/rtc`).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The longest head of a request that is looked at: a room's URL carries a token.
const MAX_HEAD: usize = 32 * 1024;

/// See the module. Dropping it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Connections>>,
    refused: watch::Sender<usize>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Connections {
    open: Vec<(String, CancellationToken)>,
    /// How many there were, by path without its query.
    seen: BTreeMap<String, usize>,
    refuse: Option<String>,
}

impl Proxy {
    /// A proxy to `target`, `host:port`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(target: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("a free port")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Mutex::new(Connections::default()));
        let stop = CancellationToken::new();
        let refused = watch::Sender::new(0);
        let tasks = TaskTracker::new();
        let door = Door {
            target,
            connections: connections.clone(),
            refused: refused.clone(),
        };
        tasks.spawn(accept(listener, door, stop.clone(), tasks.clone()));
        Ok(Self {
            address,
            connections,
            refused,
            _stop: stop.drop_guard(),
        })
    }

    /// `ws://127.0.0.1:<port>`
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Cuts the open connections whose path begins with `path`, and returns how
    /// many there were. New ones are let through.
    pub fn cut(&self, path: &str) -> usize {
        let mut connections = self.connections.lock();
        let before = connections.open.len();
        connections.open.retain(|(open, token)| {
            let keep = !open.starts_with(path);
            if !keep {
                token.cancel();
            }
            keep
        });
        before - connections.open.len()
    }

    /// How many connections there have been whose path is `path`, queries aside.
    #[must_use]
    pub fn connections_to(&self, path: &str) -> usize {
        self.connections.lock().seen.get(path).copied().unwrap_or(0)
    }

    /// Refuses new connections whose path begins with `path`; `None`: no more.
    pub fn refuse(&self, path: Option<&str>) {
        self.connections.lock().refuse = path.map(str::to_owned);
    }

    /// Waits until this many connections have been refused.
    ///
    /// # Errors
    /// When there were fewer after `limit`.
    pub async fn refused(&self, count: usize, limit: Duration) -> anyhow::Result<()> {
        let mut refused = self.refused.subscribe();
        tokio::time::timeout(limit, refused.wait_for(|&refused| refused >= count))
            .await
            .with_context(|| format!("fewer than {count} connections were refused"))?
            .context("the proxy is gone")?;
        Ok(())
    }
}

/// What each connection is let through to, or is refused at.
#[derive(Clone)]
struct Door {
    target: String,
    connections: Arc<Mutex<Connections>>,
    refused: watch::Sender<usize>,
}

async fn accept(listener: TcpListener, door: Door, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((client, _)) = accepted {
            let token = stop.child_token();
            tasks.spawn(serve(client, door.clone(), token));
        }
    }
}

async fn serve(mut client: TcpStream, door: Door, token: CancellationToken) {
    let forward = async {
        let (head, path) = read_head(&mut client).await?;
        {
            let mut connections = door.connections.lock();
            if connections
                .refuse
                .as_ref()
                .is_some_and(|refuse| path.starts_with(refuse))
            {
                door.refused.send_modify(|count| *count += 1);
                return Ok(());
            }
            let plain = path.split('?').next().unwrap_or_default().to_owned();
            *connections.seen.entry(plain).or_default() += 1;
            connections.open.push((path, token.clone()));
        }
        let mut server = TcpStream::connect(&door.target).await?;
        server.write_all(&head).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        Ok::<_, std::io::Error>(())
    };
    tokio::select! {
        () = token.cancelled() => {}
        _ended = forward => {}
    }
}

/// The request's head as far as it was read, and its path.
async fn read_head(client: &mut TcpStream) -> std::io::Result<(Vec<u8>, String)> {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while !head.contains(&b'\n') && head.len() < MAX_HEAD {
        let read = client.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(&chunk[..read]);
    }
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let path = String::from_utf8_lossy(line)
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    Ok((head, path))
}
