//! An address at a TURN server, without I/O: asking for it, keeping it, and sending and receiving
//! through it. Source: RFC 8656.
//!
//! Each peer that is sent to gets a channel, which also permits it to send to us. Until the
//! server has agreed, the first packets wait, for checks are repeated only after a while.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use turn_client_proto::{
    api::{BindChannelError, SendError, Transmit, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet},
    prelude::{DelayedTransmitBuild as _, TurnClientApi as _},
    types::{AddressFamily, Instant as TurnInstant, TransportType, TurnCredentials},
    udp::TurnClientUdp,
};

use super::server::Login;

/// When requests over UDP are repeated and given up: about 8 s in all. The RFC's 39.5 s would keep
/// gathering waiting for a server that is away.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
const LAST_REPEAT: Duration = Duration::from_secs(2);
const REPEATS: u32 = 5;
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How long an answer over a stream may take, where nothing is repeated.
const STREAM_WAIT: Duration = Duration::from_secs(8);

/// Peers that may be sent to. A peer has a handful of candidates; a hostile one may name many.
const MAX_PEERS: usize = 64;

/// Packets that wait for the server's agreement, per peer: a check and its repetition.
const MAX_HELD: usize = 2;

/// How long a refusal holds. The server may have been told meanwhile, or its answer was lost.
const REFUSAL: Duration = Duration::from_secs(10);

/// Shortest sleep, where the client would be asked again at once without anything to do.
const GRAIN: Duration = Duration::from_millis(10);

/// Longest sleep while an address is asked for: the client tells of its failure when it is asked
/// the next time, for which it names no time.
const ASKING_GRAIN: Duration = Duration::from_secs(1);

/// Rounds of one tick, so that nothing that a server says can keep it going.
const MAX_ROUNDS: usize = 64;

/// What messages travel in. The client of `turn-client-proto` for datagrams serves both: its one
/// for streams knows nothing of the bytes that fill up channel data there, so streams are cut into
/// messages before ([`super::framing`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Datagrams,
    Stream,
}

/// Where an allocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Asking,
    /// Packets to this address reach us.
    At(SocketAddr),
    /// Refused, timed out or lost.
    Over,
}

pub(super) struct Relay {
    client: TurnClientUdp,
    server: SocketAddr,
    /// The client counts time from here.
    epoch: Instant,
    standing: Standing,
    peers: Vec<Peer>,
    due: Instant,
    /// Room for a packet with what the server needs before it.
    scratch: Vec<u8>,
}

struct Peer {
    address: SocketAddr,
    state: PeerState,
}

enum PeerState {
    Asked(Vec<Vec<u8>>),
    Open,
    Refused(Instant),
}

/// What the client takes for our address. It compares and never sends it.
fn nominal_local(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 9)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 9)),
    }
}

impl Relay {
    pub(super) fn new(now: Instant, server: SocketAddr, carrier: Carrier, login: &Login) -> Self {
        let credentials = TurnCredentials::new(&login.username, &login.password);
        let mut config = TurnConfig::new(credentials);
        config.set_address_family(match server {
            SocketAddr::V4(_) => AddressFamily::IPV4,
            SocketAddr::V6(_) => AddressFamily::IPV6,
        });
        match carrier {
            Carrier::Datagrams => {
                config.set_request_retransmits(FIRST_REPEAT, LAST_REPEAT, REPEATS, LAST_WAIT);
            }
            Carrier::Stream => {
                config.set_request_retransmits(STREAM_WAIT, STREAM_WAIT, 1, STREAM_WAIT);
            }
        }
        let client = TurnClientUdp::allocate(nominal_local(server), server, config);
        Self {
            client,
            server,
            epoch: now,
            standing: Standing::Asking,
            peers: Vec::new(),
            due: now,
            scratch: Vec::new(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    fn time(&self, now: Instant) -> TurnInstant {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        TurnInstant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// Sends a packet to a peer. `emit` takes what goes to the server.
    pub(super) fn send(
        &mut self,
        now: Instant,
        to: SocketAddr,
        packet: &[u8],
        emit: &mut dyn FnMut(&[u8]),
    ) {
        if !matches!(self.standing, Standing::At(own) if own.is_ipv4() == to.is_ipv4()) {
            return;
        }
        let time = self.time(now);
        let is_full = self.peers.len() >= MAX_PEERS;
        let known = self.peers.iter_mut().find(|peer| peer.address == to);
        match known.map(|peer| &mut peer.state) {
            Some(PeerState::Open) => self.pass_on(now, to, packet, emit),
            Some(PeerState::Asked(held)) if held.len() < MAX_HELD => held.push(packet.to_vec()),
            Some(PeerState::Refused(until)) if *until <= now => {
                self.peers.retain(|peer| peer.address != to);
            }
            Some(PeerState::Asked(_) | PeerState::Refused(_)) => {}
            None if is_full => {
                log::debug!("too many peers behind the relay at {}", self.server);
            }
            None => {
                let state = match self.client.bind_channel(TransportType::Udp, to, time) {
                    Ok(()) | Err(BindChannelError::AlreadyExists) => {
                        PeerState::Asked(vec![packet.to_vec()])
                    }
                    Err(error) => {
                        log::debug!("no channel to {to}: {error}");
                        PeerState::Refused(now + REFUSAL)
                    }
                };
                self.peers.push(Peer { address: to, state });
                self.due = now;
            }
        }
    }

    fn pass_on(
        &mut self,
        now: Instant,
        to: SocketAddr,
        packet: &[u8],
        emit: &mut dyn FnMut(&[u8]),
    ) {
        let time = self.time(now);
        match self.client.send_to(TransportType::Udp, to, packet, time) {
            Ok(Some(transmit)) => {
                let length = transmit.data.len();
                self.scratch.resize(length, 0);
                let written = transmit.data.write_into(&mut self.scratch);
                emit(&self.scratch[..written]);
            }
            Ok(None) => {}
            // Given up by the server meanwhile: ask anew with the next packet.
            Err(SendError::NoPermission) => self.peers.retain(|peer| peer.address != to),
            Err(error) => log::debug!("nothing can be sent to {to}: {error}"),
        }
    }

    /// Takes what the server says and hands on what peers have sent. Answers whether it was meant
    /// for us.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        each: &mut dyn FnMut(SocketAddr, &[u8]),
    ) -> bool {
        let time = self.time(now);
        let local = nominal_local(self.server);
        let received = Transmit::new(bytes, TransportType::Udp, self.server, local);
        match self.client.recv(received, time) {
            TurnRecvRet::PeerData(data) => {
                each(data.peer, data.data());
                true
            }
            TurnRecvRet::Handled | TurnRecvRet::PeerIcmp { .. } => {
                self.due = now;
                true
            }
            TurnRecvRet::Ignored(_) => false,
        }
    }

    /// Lets time pass. `emit` takes what goes to the server.
    pub(super) fn tick(&mut self, now: Instant, emit: &mut dyn FnMut(&[u8])) {
        if now < self.due || self.standing == Standing::Over {
            return;
        }
        let time = self.time(now);
        for _ in 0..MAX_ROUNDS {
            let next = self.client.poll(time);
            let mut is_idle = true;
            while let Some(transmit) = self.client.poll_transmit(time) {
                emit(&transmit.data);
                is_idle = false;
            }
            while let Some(event) = self.client.poll_event() {
                self.on_event(now, event, emit);
                is_idle = false;
            }
            match next {
                TurnPollRet::Closed => {
                    self.over();
                    return;
                }
                TurnPollRet::WaitUntil(until) if is_idle => {
                    let wait = until.saturating_duration_since(time);
                    let longest = match self.standing {
                        Standing::Asking => ASKING_GRAIN,
                        Standing::At(_) | Standing::Over => Duration::MAX,
                    };
                    self.due = now + wait.max(GRAIN).min(longest);
                    break;
                }
                _ => self.due = now + GRAIN,
            }
        }
        let is_lost = matches!(self.standing, Standing::At(_))
            && self.client.relayed_addresses().next().is_none();
        if is_lost {
            self.over();
        }
    }

    fn on_event(&mut self, now: Instant, event: TurnEvent, emit: &mut dyn FnMut(&[u8])) {
        match event {
            TurnEvent::AllocationCreated(_, address) => self.standing = Standing::At(address),
            TurnEvent::AllocationCreateFailed(_) => self.over(),
            TurnEvent::ChannelCreated(_, address) => {
                let peer = self.peers.iter_mut().find(|peer| peer.address == address);
                let Some(peer) = peer else { return };
                if let PeerState::Asked(held) = std::mem::replace(&mut peer.state, PeerState::Open)
                {
                    for packet in held {
                        self.pass_on(now, address, &packet, emit);
                    }
                }
            }
            TurnEvent::ChannelCreateFailed(_, address) => {
                log::debug!("the relay at {} refuses to reach {address}", self.server);
                for peer in self.peers.iter_mut().filter(|peer| peer.address == address) {
                    peer.state = PeerState::Refused(now + REFUSAL);
                }
            }
            TurnEvent::PermissionCreated(..)
            | TurnEvent::PermissionCreateFailed(..)
            | TurnEvent::TcpConnected(_)
            | TurnEvent::TcpConnectFailed(_) => {}
        }
    }

    /// Gives the address back; the answer is not waited for.
    pub(super) fn give_back(&mut self, now: Instant, emit: &mut dyn FnMut(&[u8])) {
        let time = self.time(now);
        if self.client.delete(time).is_ok() {
            while let Some(transmit) = self.client.poll_transmit(time) {
                emit(&transmit.data);
            }
        }
        self.over();
    }

    pub(super) fn over(&mut self) {
        self.standing = Standing::Over;
        self.peers.clear();
    }
}
