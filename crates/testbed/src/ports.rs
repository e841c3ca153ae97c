//! Free ports on the loopback interface.
//!
//! A port is found by binding to port 0 and letting go again, so another
//! process may take it before the server that it is meant for. Whoever starts
//! a server must therefore be ready to try again with other ports.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// How many times a server is started on new ports before the trouble is taken
/// for something else than a lost race. Losing even once is rare.
pub(crate) const ATTEMPTS: usize = 5;

/// `N` TCP ports that are free at this moment, all different.
pub(crate) fn free_tcp<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    // All are held until the last is found: so no port is handed out twice.
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// `N` UDP ports that are free at this moment on every interface, all different:
/// livekit-server binds its media port on all of them.
pub(crate) fn free_udp<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        *port = socket.local_addr()?.port();
        held.push(socket);
    }
    Ok(ports)
}
