//! Threads of ours in a namespace, and doors into one.
//!
//! A socket belongs to the namespace of the thread that made it, for good. So a
//! thread that entered a namespace makes sockets there, and one that it was
//! given stays outside: that is all a door is.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections through one door at a time: a test's requests, and whoever
/// joins a room through it.
const MAX_THROUGH_DOOR: usize = 64;

/// Runs this on a thread of its own, in the namespace.
pub(super) fn run_inside<T: Send + 'static>(
    namespace: &str,
    what: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    std::thread::Builder::new()
        .name("netlab".to_owned())
        .spawn(move || {
            enter(file).context("cannot enter the namespace")?;
            Ok(what())
        })
        .context("cannot start a thread")
}

#[cfg(target_os = "linux")]
fn enter(namespace: File) -> io::Result<()> {
    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn enter(_namespace: File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A loopback port of ours that leads to an address in a host of the lab, for
/// TCP: so a test asks a server that only the lab can reach. What passes is not
/// impaired. Closed when dropped.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<anyhow::Result<io::Result<()>>>>,
}

impl Door {
    pub(super) fn open(namespace: &str, target: SocketAddr) -> anyhow::Result<Self> {
        // Made here, so it is ours.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = run_inside(namespace, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => Ok(()),
                    failed = let_through(listener, target) => failed,
                }
            })
        })?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it stands: `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(Ok(())))) => {}
            Some(Ok(Ok(Err(error)))) => tracing::warn!("a door of the lab: {error}"),
            Some(Ok(Err(error))) => tracing::warn!("a door of the lab: {error:#}"),
            Some(Err(_)) => tracing::warn!("a door of the lab ended in disorder"),
        }
    }
}

async fn let_through(listener: TcpListener, target: SocketAddr) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_THROUGH_DOOR => accepted,
            // How a connection ends is its two ends' affair.
            Some(_ended) = connections.join_next() => continue,
        };
        let (mut outside, _) = accepted?;
        connections.spawn(async move {
            let mut within = TcpStream::connect(target).await?;
            tokio::io::copy_bidirectional(&mut outside, &mut within).await
        });
    }
}
