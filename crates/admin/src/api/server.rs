//! The API's listener and its loop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use tokio_util::sync::CancellationToken;

use super::routes;
use super::state::{ApiParts, ApiState};
use super::tls::{Tls, TlsError, TlsFiles};
use crate::bounded::{Bounded, Most};
use crate::listening::{server, until_stopped};

/// Connections at the same time. More are closed at once: each costs a descriptor,
/// which calls need. A client, which can be a proxy with many behind it, has a quarter.
const MAX_CONNECTIONS: Most = Most {
    altogether: 512,
    of_one_client: 512 / 4,
};

/// How long a connection may take to say what it wants, and may be idle.
const HEADER_LIMIT: Duration = Duration::from_secs(20);

/// The API cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ApiBindError {
    /// The address cannot be listened on.
    #[error("api.listen: cannot listen on {address}; is another process there?")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("api.tls_certificate_file, api.tls_key_file: TLS cannot be spoken")]
    Tls(#[from] TlsError),
}

/// The API, bound and not yet answering.
pub struct Api {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Api {
    /// Takes the address, and reads the certificate.
    ///
    /// # Errors
    /// When it cannot be had, or the certificate cannot be used.
    pub async fn bind(address: SocketAddr, tls: Option<TlsFiles>) -> Result<Self, ApiBindError> {
        let tls = match tls {
            Some(files) => Some(Tls::load(files).await?),
            None => None,
        };
        let failed = |source| ApiBindError::Address { address, source };
        // Tokio's, because the standard library's listener cannot be bound again while
        // connections of the process before are still being forgotten.
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(failed)?;
        let listener = listener.into_std().map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            tls,
        })
    }

    /// Where it listens; with port 0 asked for, the port that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https` with a certificate, else `http`.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Answers until told to stop.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, parts: ApiParts, stop: CancellationToken) -> io::Result<()> {
        let router = routes::router(ApiState::new(parts));
        let handle = Handle::new();
        let server = server(self.listener, handle.clone(), HEADER_LIMIT)?;
        until_stopped(serve(server, router, self.tls), handle, stop).await
    }
}

async fn serve(server: Server<SocketAddr>, router: Router, tls: Option<Tls>) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let bounded = Bounded::new(MAX_CONNECTIONS);
    match tls {
        None => server.acceptor(bounded).serve(service).await,
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(tls.config.clone()).acceptor(bounded);
            tokio::select! {
                result = server.acceptor(acceptor).serve(service) => result,
                never = tls.follow() => match never {},
            }
        }
    }
}
