//! The listener and its loop.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::routes;
use crate::state::AdminState;

/// How long requests under way may take after the stop. Every answer is made
/// from memory; only a reader that does not read takes longer.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

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
        let stopping = stop.clone();
        let server = axum::serve(self.listener, routes::router(state))
            .with_graceful_shutdown(async move { stopping.cancelled().await });
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(CLOSE_LIMIT).await;
        };
        tokio::select! {
            result = server => result,
            () = too_late => Ok(()),
        }
    }
}
