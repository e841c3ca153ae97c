//! The machine's addresses, and which of them a datagram comes and goes by.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

/// Most addresses that are offered to the peer. Machines with many container bridges have dozens,
/// and every one is checked against every candidate of the peer.
const MAX_ADDRESSES: usize = 8;

/// Remote addresses whose route is remembered. A connection has a handful; a flood of forged
/// sources must not grow it.
const MAX_ROUTES: usize = 32;

/// Opens a socket on all IPv4 interfaces.
pub(super) fn open_socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The addresses that a socket of [`open_socket`] with this port can be reached by, loopback
/// included: a server on the same machine may offer nothing else.
pub(super) fn addresses(port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| matches!(ip, IpAddr::V4(v4) if !v4.is_link_local() && !v4.is_unspecified()))
        .map(|ip| SocketAddr::new(ip, port))
        .collect();
    // Loopback last: it is the least likely to lead anywhere.
    addresses.sort_by_key(|address| (address.ip().is_loopback(), address.ip()));
    addresses.dedup();
    let loopback = addresses
        .iter()
        .rposition(|address| address.ip().is_loopback());
    if let Some(loopback) = loopback.filter(|_| addresses.len() > MAX_ADDRESSES) {
        addresses.swap(MAX_ADDRESSES - 1, loopback);
    }
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// Which of our addresses the system uses towards a peer. One wildcard socket does not say where a
/// datagram came in, but answers leave by the same route, so the route tells.
#[derive(Default)]
pub(super) struct Routes(HashMap<IpAddr, Option<IpAddr>>);

impl Routes {
    /// Our address towards `remote`, or none where there is no route.
    pub(super) fn towards(&mut self, remote: IpAddr) -> Option<IpAddr> {
        if let Some(known) = self.0.get(&remote) {
            return *known;
        }
        if self.0.len() >= MAX_ROUTES {
            self.0.clear();
        }
        let local = route(remote).ok();
        self.0.insert(remote, local);
        local
    }

    /// Forgets what was learnt; interfaces may have changed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Asks the system by connecting a datagram socket, which sends nothing.
fn route(remote: IpAddr) -> io::Result<IpAddr> {
    /// Any port but 0 does: no datagram is sent.
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((remote, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_offered_and_reached_by_itself() {
        let addresses = addresses(5000).unwrap();
        assert!(addresses.iter().any(|address| address.ip().is_loopback()));
        assert!(addresses.len() <= MAX_ADDRESSES);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(Routes::default().towards(loopback), Some(loopback));
    }
}
