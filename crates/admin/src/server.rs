//! The listener and its loop.

use std::net::SocketAddr;
use std::time::Duration;

use axum_server::Handle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bounded::{Bounded, Most};
use crate::listening::{server, until_stopped};
use crate::routes;
use crate::state::AdminState;

/// Probes and scrapers; each costs a descriptor, which calls need. They may all come from
/// one address, a node's.
const MAX_CONNECTIONS: Most = Most {
    altogether: 64,
    of_one_client: 64,
};

/// How long a connection may take to say what it wants, and may be idle.
const HEADER_LIMIT: Duration = Duration::from_secs(60);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("admin.listen: cannot listen on {address}; is another process there?")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// The admin API, bound and not yet answering.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Takes the address.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens; with port 0 asked for, the port that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to stop.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, state: AdminState, stop: CancellationToken) -> std::io::Result<()> {
        let handle = Handle::new();
        let server = server(self.listener.into_std()?, handle.clone(), HEADER_LIMIT)?
            .acceptor(Bounded::new(MAX_CONNECTIONS))
            .serve(routes::router(state).into_make_service());
        until_stopped(server, handle, stop).await
    }
}
