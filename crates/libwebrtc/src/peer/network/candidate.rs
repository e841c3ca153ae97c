//! What we can be reached by, and what travels there.

use std::net::SocketAddr;

/// How packets of a candidate travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Transport {
    Udp,
    Tcp,
}

/// Where an address of ours comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Origin {
    /// An interface of this machine.
    Host,
    /// A STUN server saw us there.
    Reflexive,
    /// A TURN server passes on what arrives there.
    Relayed,
}

/// A local candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct LocalCandidate {
    pub(in crate::peer) origin: Origin,
    pub(in crate::peer) transport: Transport,
    pub(in crate::peer) address: SocketAddr,
    /// What packets of this candidate are sent from.
    pub(in crate::peer) base: SocketAddr,
}

impl LocalCandidate {
    pub(in crate::peer) fn host(transport: Transport, address: SocketAddr) -> Self {
        Self {
            origin: Origin::Host,
            transport,
            address,
            base: address,
        }
    }

    pub(super) fn reflexive(address: SocketAddr, base: SocketAddr) -> Self {
        Self {
            origin: Origin::Reflexive,
            transport: Transport::Udp,
            address,
            base,
        }
    }

    pub(super) fn relayed(address: SocketAddr) -> Self {
        Self {
            origin: Origin::Relayed,
            transport: Transport::Udp,
            address,
            base: address,
        }
    }
}

/// A packet that has come.
pub(in crate::peer) struct Arrival<'a> {
    pub(in crate::peer) transport: Transport,
    pub(in crate::peer) source: SocketAddr,
    /// The base of the local candidate that it came in by.
    pub(in crate::peer) destination: SocketAddr,
    pub(in crate::peer) bytes: &'a [u8],
}

/// A packet to be sent.
pub(in crate::peer) struct Departure {
    pub(in crate::peer) transport: Transport,
    /// The base of the local candidate that it leaves by.
    pub(in crate::peer) source: SocketAddr,
    pub(in crate::peer) destination: SocketAddr,
    pub(in crate::peer) bytes: Vec<u8>,
}
