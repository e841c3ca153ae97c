//! The one UDP socket of a connection, for IPv4 and IPv6 and all interfaces: a socket per
//! interface would cost a descriptor and a port each. The system says by which address a datagram
//! came in, and sends from the address that it is told.

use std::{
    cell::RefCell,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    task::{Context, Poll},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use super::{
    addresses::can_reach,
    candidate::{Departure, Transport},
};

/// Buffers read into at once. A connection's driver is woken for one or two packets as a rule, and
/// each buffer may hold many that the system has joined.
const BATCH: usize = 8;

/// Room for all that the system joins (GRO) into one buffer. Source: the length field of UDP.
const BUFFER: usize = 64 * 1024;

/// Most bytes sent at once as datagrams of one length (GSO); the system takes less than 64 KiB.
const MAX_JOINED: usize = 60 * 1024;

/// What the system may hold for us in each direction: twice what SCTP may have in flight, since
/// the system counts its own bookkeeping too. It gives less where its limits are lower.
const SOCKET_BUFFER: usize = 512 * 1024;

/// Ports tried in a configured range before it counts as used up. Some 3 µs each.
const MAX_PORTS_TRIED: u16 = 4_096;

/// Reads again after this many errors in a row, such as the news that nobody listens at an
/// address; more are left for the next turn.
const MAX_ERRORS: usize = 8;

/// Room for a batch. Every thread that drives connections has one, not every connection: pages
/// that no datagram has reached take no memory.
struct Scratch {
    received: Vec<u8>,
    joined: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        received: vec![0; BATCH * BUFFER],
        joined: Vec::new(),
    });
}

pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    port: u16,
    has_v6: bool,
}

impl Udp {
    pub(super) fn open(ports: Option<RangeInclusive<u16>>) -> io::Result<Self> {
        let (socket, has_v6) = bind(ports)?;
        for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
            if let Err(error) = set(&socket, SOCKET_BUFFER) {
                log::debug!("the media socket keeps its buffers: {error}");
            }
        }
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        let port = socket.local_addr()?.port();
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self {
            socket,
            state,
            port,
            has_v6,
        })
    }

    /// The socket's address at an interface; none where it does not speak the family.
    pub(super) fn at(&self, ip: IpAddr) -> Option<SocketAddr> {
        (ip.is_ipv4() || self.has_v6).then_some(SocketAddr::new(ip, self.port))
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error shows itself when reading.
        self.socket.poll_recv_ready(cx).map(drop)
    }

    /// Reads a batch and hands on every datagram: local address, source, bytes. Answers whether
    /// there may be more.
    pub(super) fn receive(&self, each: &mut dyn FnMut(SocketAddr, SocketAddr, &[u8])) -> bool {
        SCRATCH.with_borrow_mut(|scratch| self.receive_into(&mut scratch.received, each))
    }

    fn receive_into(
        &self,
        scratch: &mut [u8],
        each: &mut dyn FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> bool {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut received = 0;
        let mut chunks = scratch.chunks_exact_mut(BUFFER);
        let mut buffers: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        // `try_io` is told that nothing is left where a batch was not filled: that saves asking
        // again, and a datagram that comes meanwhile is announced anew.
        let _ = self.socket.try_io(Interest::READABLE, || {
            for _ in 0..MAX_ERRORS {
                match self
                    .state
                    .recv((&self.socket).into(), &mut buffers, &mut metas)
                {
                    Ok(count) => {
                        received = count;
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => log::trace!("reading the media socket: {error}"),
                }
            }
            if received == BATCH {
                Ok(())
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        });
        for (meta, buffer) in metas
            .iter()
            .zip(scratch.chunks_exact(BUFFER))
            .take(received)
        {
            let Some(local) = meta.dst_ip.and_then(|ip| self.at(ip.to_canonical())) else {
                // Systems that do not say where it came in are not supported.
                continue;
            };
            let source = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                each(local, source, datagram);
            }
        }
        received == BATCH
    }

    /// Sends what goes by UDP, those that follow each other to one place with one length at once.
    /// A full buffer or a missing route loses a datagram, as networks do.
    pub(super) fn send_all(&self, departures: &[Departure]) {
        let mut rest = departures;
        while let [first, ..] = rest {
            let run = run(rest, self.state.max_gso_segments());
            let (now, later) = rest.split_at(run);
            rest = later;
            let (from, to) = (first.source.ip(), first.destination);
            if first.transport != Transport::Udp || !can_reach(from, to.ip()) {
                continue;
            }
            if run == 1 || !self.send_joined(now) {
                for departure in now {
                    self.send(Some(from), to, &departure.bytes);
                }
            }
        }
    }

    fn send_joined(&self, run: &[Departure]) -> bool {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.joined.clear();
            for departure in run {
                scratch.joined.extend_from_slice(&departure.bytes);
            }
            let (from, to) = (run[0].source.ip(), run[0].destination);
            let sent = self.transmit(Some(from), to, &scratch.joined, Some(run[0].bytes.len()));
            sent.is_ok()
        })
    }

    /// Sends one datagram, from `from` or from where the system thinks best. Answers whether it
    /// has a route.
    pub(super) fn send(&self, from: Option<IpAddr>, to: SocketAddr, bytes: &[u8]) -> bool {
        match self.transmit(from, to, bytes, None) {
            Ok(()) => true,
            Err(error) => {
                log::trace!("a datagram to {to} was not sent: {error}");
                error.kind() == io::ErrorKind::WouldBlock
            }
        }
    }

    fn transmit(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
        bytes: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let destination = match to.ip() {
            IpAddr::V4(ip) if self.has_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            IpAddr::V6(_) if !self.has_v6 => return Err(io::ErrorKind::NetworkUnreachable.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => to,
        };
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: bytes,
            segment_size,
            src_ip: from,
        };
        // Not by way of the readiness: a socket that is not writable loses the datagram anyway.
        self.state.try_send((&self.socket).into(), &transmit)
    }
}

/// How many of the first departures can be sent at once.
fn run(departures: &[Departure], max: usize) -> usize {
    let Some(first) = departures.first() else {
        return 0;
    };
    let length = first.bytes.len();
    let max = max.min(MAX_JOINED / length.max(1)).max(1);
    let mut count = 1;
    for next in departures[1..].iter().take(max - 1) {
        let is_same = next.transport == first.transport
            && next.source == first.source
            && next.destination == first.destination
            && next.bytes.len() <= length
            && !next.bytes.is_empty();
        if !is_same {
            break;
        }
        count += 1;
        if next.bytes.len() < length {
            // Only the last may be shorter.
            break;
        }
    }
    count
}

/// Binds to a port of the range, or to any. Answers the socket and whether it speaks IPv6.
fn bind(ports: Option<RangeInclusive<u16>>) -> io::Result<(Socket, bool)> {
    let Some(ports) = ports else {
        return bind_to(0);
    };
    let (first, last) = (*ports.start(), *ports.end());
    let others = last - first;
    let start = rand::random_range(0..=others);
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for step in 0..=others.min(MAX_PORTS_TRIED - 1) {
        let offset = (u32::from(start) + u32::from(step)) % (u32::from(others) + 1);
        // Less than `others`, which fits.
        let port = first + u16::try_from(offset).unwrap_or_default();
        result = bind_to(port);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Ok(_) | Err(_) => break,
        }
    }
    result
}

fn bind_to(port: u16) -> io::Result<(Socket, bool)> {
    let dual = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        Ok(socket)
    };
    match dual() {
        Ok(socket) => Ok((socket, true)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // Machines and containers without IPv6.
        Err(_) => {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
            Ok((socket, false))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    const LO4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const LO6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn departure(from: SocketAddr, to: SocketAddr, length: usize) -> Departure {
        Departure {
            transport: Transport::Udp,
            source: from,
            destination: to,
            bytes: vec![7; length],
        }
    }

    async fn receive(udp: &Udp, count: usize) -> Vec<(SocketAddr, SocketAddr, usize)> {
        let mut got = Vec::new();
        while got.len() < count {
            let readable = poll_fn(|cx| udp.poll_readable(cx));
            tokio::time::timeout(Duration::from_secs(20), readable)
                .await
                .expect("datagrams");
            udp.receive(&mut |local, source, bytes| got.push((local, source, bytes.len())));
        }
        got
    }

    #[tokio::test]
    async fn datagrams_tell_where_they_came_in_and_leave_by_what_is_wanted() {
        let (a, b) = (Udp::open(None).unwrap(), Udp::open(None).unwrap());
        for ip in [LO4, LO6] {
            let (from, to) = (a.at(ip).unwrap(), b.at(ip).unwrap());
            // One long run with a short end, then another length.
            let lengths = [900, 900, 900, 20, 900, 50];
            let all: Vec<Departure> = lengths.map(|l| departure(from, to, l)).into();
            a.send_all(&all);
            let got = receive(&b, lengths.len()).await;
            let expected: Vec<_> = lengths.map(|length| (to, from, length)).into();
            assert_eq!(got, expected);
        }
    }

    #[tokio::test]
    async fn a_batch_that_is_full_is_not_the_end() {
        let (a, b) = (Udp::open(None).unwrap(), Udp::open(None).unwrap());
        let (from, to) = (a.at(LO4).unwrap(), b.at(LO4).unwrap());
        // Growing lengths cannot be joined.
        let all: Vec<Departure> = (1..=3 * BATCH).map(|l| departure(from, to, l)).collect();
        a.send_all(&all);
        assert_eq!(receive(&b, all.len()).await.len(), all.len());
    }

    #[tokio::test]
    async fn ports_come_from_the_range_until_it_is_used_up() {
        // A free neighbourhood: found by asking for any port, so try again where it is not.
        for _ in 0..50 {
            let port = Udp::open(None).unwrap().port;
            let Some(last) = port.checked_add(2) else {
                continue;
            };
            let range = port..=last;
            let open: Vec<_> = (0..3).map(|_| Udp::open(Some(range.clone()))).collect();
            if open.iter().any(Result::is_err) {
                continue;
            }
            let mut ports: Vec<u16> = open.iter().flatten().map(|udp| udp.port).collect();
            ports.sort_unstable();
            assert_eq!(ports, range.clone().collect::<Vec<_>>());
            assert!(Udp::open(Some(range)).is_err());
            return;
        }
        panic!("no three free ports in a row");
    }

    #[test]
    fn runs_end_where_anything_differs() {
        let (a, b, c) = (
            "10.0.0.1:1".parse().unwrap(),
            "10.0.0.2:2".parse().unwrap(),
            "10.0.0.3:3".parse().unwrap(),
        );
        let all = [
            departure(a, b, 100),
            departure(a, b, 100),
            departure(a, c, 100),
        ];
        assert_eq!(run(&all, 64), 2);
        assert_eq!(run(&all, 1), 1);
        assert_eq!(run(&[], 64), 0);
        assert_eq!(run(&[departure(a, b, 10), departure(a, b, 11)], 64), 1);
        assert_eq!(
            run(&[departure(a, b, 40_000), departure(a, b, 40_000)], 64),
            1
        );
    }
}
