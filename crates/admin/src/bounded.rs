//! Connections, but not too many, and none that only takes a place.

use std::collections::HashMap;
use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use futures_util::future::{Ready, ready};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a peer may take nothing of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    /// Of all clients together.
    pub(crate) altogether: usize,
    /// Of one client, so that it does not take the places of all others.
    pub(crate) of_one_client: usize,
}

/// Takes so many connections at the same time and closes those beyond.
#[derive(Clone)]
pub(crate) struct Bounded {
    most: Most,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Bounded {
    pub(crate) fn new(most: Most) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    fn take(&self, client: IpAddr) -> io::Result<Place> {
        let mut taken = self.taken.lock();
        if taken.values().sum::<usize>() >= self.most.altogether {
            return Err(io::Error::other("there are too many connections"));
        }
        let own = taken.entry(client).or_default();
        if *own >= self.most.of_one_client {
            return Err(io::Error::other("the client has too many connections"));
        }
        *own += 1;
        Ok(Place {
            client,
            taken: Arc::clone(&self.taken),
        })
    }
}

/// One of the connections that there may be, until it is dropped.
struct Place {
    client: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// A client by its address; of IPv6 by its network, because a site has as many addresses
/// in one as it likes.
pub(crate) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) >> 64 << 64;
            IpAddr::V6(network.into())
        }
        v4 => v4,
    }
}

/// What has somebody at its other end.
pub(crate) trait Peer {
    fn address(&self) -> io::Result<IpAddr>;
}

impl Peer for TcpStream {
    fn address(&self) -> io::Result<IpAddr> {
        self.peer_addr().map(|address| address.ip())
    }
}

impl<I: Peer, S> Accept<I, S> for Bounded {
    type Stream = Placed<I>;
    type Service = S;
    type Future = Ready<io::Result<(Placed<I>, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = stream.address().and_then(|peer| self.take(client(peer)));
        ready(place.map(|place| {
            let placed = Placed {
                stream,
                stalled: None,
                _place: place,
            };
            (placed, service)
        }))
    }
}

/// A connection that has a place.
pub(crate) struct Placed<I> {
    stream: I,
    /// Runs while the peer takes nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<I> Placed<I> {
    /// Ends a connection whose peer takes nothing for too long.
    fn patient<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patient(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patient(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.patient(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const FEW: Most = Most {
        altogether: 3,
        of_one_client: 2,
    };

    #[test]
    fn so_many_connections_and_no_more_at_the_same_time_and_fewer_of_one_client() {
        let bounded = Bounded::new(FEW);
        let take = |address: &str| bounded.take(client(address.parse().unwrap()));
        let first = take("192.0.2.7").unwrap();
        let _second = take("::ffff:192.0.2.7").unwrap();
        assert!(
            take("192.0.2.7").is_err(),
            "one client leaves room for others"
        );
        let third = take("2001:db8:1:2::3").unwrap();
        assert!(take("198.51.100.1").is_err(), "there are no more places");
        drop(first);
        let fourth = take("192.0.2.7").unwrap();
        drop((third, fourth));
        assert_eq!(bounded.taken.lock().len(), 1, "who is gone is forgotten");
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let of = |text: &str| client(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:9::9"));
        assert_ne!(of("2001:db8:1:2::4"), of("2001:db8:1:3::4"));
    }

    impl Peer for tokio::io::DuplexStream {
        fn address(&self) -> io::Result<IpAddr> {
            Ok(IpAddr::from([192, 0, 2, 7]))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_is_let_go() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let (mut ours, ()) = Bounded::new(FEW).accept(ours, ()).await.unwrap();
        let error = ours.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
