//! What both listeners have in common: patience that ends, and an end.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum_server::{Handle, Server};
use tokio_util::sync::CancellationToken;

/// How long requests under way may take after the stop. Only a reader that does not read takes
/// longer.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A server whose connections may take so long to say what they want, and be idle.
pub(crate) fn server(
    listener: TcpListener,
    handle: Handle<SocketAddr>,
    idle_limit: Duration,
) -> io::Result<Server<SocketAddr>> {
    let mut server = axum_server::from_tcp(listener)?
        .handle(handle)
        .first_request_timeout(idle_limit);
    server
        .http_builder()
        .http1()
        .header_read_timeout(idle_limit);
    Ok(server)
}

/// Serves until told to stop, and a little longer for requests under way.
pub(crate) async fn until_stopped(
    serving: impl Future<Output = io::Result<()>>,
    handle: Handle<SocketAddr>,
    stop: CancellationToken,
) -> io::Result<()> {
    let ending = async {
        stop.cancelled().await;
        handle.graceful_shutdown(Some(CLOSE_LIMIT));
        // The server ends by it; this is for when it does not.
        tokio::time::sleep(2 * CLOSE_LIMIT).await;
    };
    tokio::select! {
        result = serving => result,
        () = ending => Ok(()),
    }
}
