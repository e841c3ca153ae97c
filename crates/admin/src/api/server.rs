//! The API's listener and its loop.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use futures_util::future::{Ready, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::routes;
use super::state::{ApiParts, ApiState};
use super::tls::{Tls, TlsError, TlsFiles};

/// Connections at the same time. More are closed at once: each costs a descriptor,
/// which calls need.
const MAX_CONNECTIONS: usize = 512;

/// How long a connection may take to say what it wants, and may be idle.
const HEADER_LIMIT: Duration = Duration::from_secs(20);

/// How long requests under way may take after the stop.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

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
        let mut server = axum_server::from_tcp(self.listener)?
            .handle(handle.clone())
            .first_request_timeout(HEADER_LIMIT);
        server
            .http_builder()
            .http1()
            .header_read_timeout(HEADER_LIMIT);
        let ending = async {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(CLOSE_LIMIT));
            // The server ends by it; this is for when it does not.
            tokio::time::sleep(2 * CLOSE_LIMIT).await;
        };
        tokio::select! {
            result = serve(server, router, self.tls) => result,
            () = ending => Ok(()),
        }
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

/// Takes so many connections at the same time and closes those beyond.
#[derive(Clone)]
struct Bounded {
    places: Arc<Semaphore>,
}

impl Bounded {
    fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
        }
    }
}

impl<I, S> Accept<I, S> for Bounded {
    type Stream = Placed<I>;
    type Service = S;
    type Future = Ready<io::Result<(Placed<I>, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = Arc::clone(&self.places).try_acquire_owned();
        ready(match place {
            Ok(place) => Ok((
                Placed {
                    stream,
                    _place: place,
                },
                service,
            )),
            Err(_) => Err(io::Error::other("there are too many connections")),
        })
    }
}

/// A connection that has a place.
struct Placed<I> {
    stream: I,
    _place: OwnedSemaphorePermit,
}

impl<I: AsyncRead + Unpin> AsyncRead for Placed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Placed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_connections_and_no_more_at_the_same_time() {
        let bounded = Bounded::new(1);
        let first = bounded.accept((), ()).await;
        assert!(first.is_ok());
        assert!(bounded.accept((), ()).await.is_err());
        drop(first);
        assert!(bounded.accept((), ()).await.is_ok());
    }
}
