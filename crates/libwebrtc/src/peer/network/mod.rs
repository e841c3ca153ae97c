//! How a connection reaches the world: one UDP socket, TCP connections to the peer, relays.
//!
//! The driver owns it. It finds local candidates ([`gather`]), tells of them through
//! [`Network::take_found`], and carries packets between their bases and the peer. Nothing here
//! waits: what takes time is a future that [`Network::poll_ready`] polls, or a deadline that
//! [`Network::due`] tells.

mod addresses;
mod candidate;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gather;
mod names;
mod relay;
mod relay_link;
#[cfg(test)]
mod relay_tests;
mod server;
mod stream;
mod stun;
mod tls;
mod udp;

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};

pub(super) use self::{
    addresses::is_usable,
    candidate::{Arrival, Departure, LocalCandidate, Origin, Transport},
    gather::Plan,
};
use self::{
    framing::{Framing, Unframer},
    gather::{Gathering, Resolved},
    relay_link::RelayLink,
    stream::Stream,
    udp::Udp,
};
use crate::peer_connection::IceCandidateError;

/// TCP connections to the peer at a time, those of before a restart included. A server offers one
/// candidate or two; a hostile peer is not to make us dial the world.
const MAX_STREAMS: usize = 8;

/// How long a TCP connection may take to come about. Other paths do not wait for it.
const DIAL_LIMIT: Duration = Duration::from_secs(5);

/// How long other paths may try before TCP is dialled. Where UDP gets through it takes a tenth of
/// that, and neither side has a connection to keep that nothing goes by.
const HEAD_START: Duration = Duration::from_millis(300);

/// How long what a restart has replaced is kept: the old path is used until the new one works.
const RETIREMENT: Duration = Duration::from_secs(30);

/// Chunks read from a stream, and batches from the socket, in one turn, so that a flood cannot
/// keep the lock.
const MAX_READS: usize = 8;

/// Something that was found out.
pub(super) enum Found {
    Candidate {
        candidate: LocalCandidate,
        /// Whether the peer is told.
        is_told: bool,
    },
    /// Nothing comes or goes by this one any more.
    Lost(LocalCandidate),
    Failed(IceCandidateError),
    /// Everything that was asked has answered or been given up.
    Complete,
}

/// A TCP candidate of the peer.
pub(super) struct Dial {
    pub(super) remote: SocketAddr,
    /// How often ICE had begun anew. A server takes a TCP connection for one beginning only.
    pub(super) generation: u64,
}

#[derive(Default)]
pub(super) struct Network {
    udp: Option<Udp>,
    gathering: Gathering,
    relays: Vec<RelayLink>,
    peers: Vec<PeerStream>,
    /// TCP candidates of the peer to be dialled while no path is up, and from when on.
    standby: Vec<Dial>,
    standby_from: Option<Instant>,
    /// How many dials to the peer are under way.
    dialling: usize,
    generation: u64,
    pending: FuturesUnordered<BoxFuture<'static, Step>>,
    /// Names of servers that the gathering under way waits for.
    look_ups: FuturesUnordered<BoxFuture<'static, Resolved>>,
    found: Vec<Found>,
}

/// Something that took time has come to its end.
enum Step {
    /// The TCP candidate of the peer.
    Dialled(Dial, io::Result<Stream>),
    /// The TURN server of this number.
    Reached(u64, io::Result<Stream>),
}

/// A TCP connection to the peer.
struct PeerStream {
    stream: Stream,
    unframer: Unframer,
    candidate: LocalCandidate,
    generation: u64,
    retires: Option<Instant>,
    is_broken: bool,
}

impl PeerStream {
    fn read(&mut self, each: &mut dyn FnMut(Arrival<'_>)) -> bool {
        let (source, destination) = (self.stream.remote, self.stream.local);
        let unframer = &mut self.unframer;
        read_framed(
            &mut self.stream,
            unframer,
            &mut self.is_broken,
            &mut |bytes| {
                each(Arrival {
                    transport: Transport::Tcp,
                    source,
                    destination,
                    bytes,
                });
            },
        )
    }
}

/// Reads packets from a stream. Answers whether there may be more.
fn read_framed(
    stream: &mut Stream,
    unframer: &mut Unframer,
    is_broken: &mut bool,
    each: &mut dyn FnMut(&[u8]),
) -> bool {
    for _ in 0..MAX_READS {
        let mut is_readable = true;
        let result = stream.read(&mut |piece| {
            is_readable = is_readable && unframer.take(piece, each).is_ok();
        });
        match result {
            Ok(true) if is_readable => {}
            Ok(false) => return false,
            Ok(true) => {
                log::debug!("{} sends what cannot be read", stream.remote);
                *is_broken = true;
                return false;
            }
            Err(error) => {
                log::debug!("the connection to {} has ended: {error}", stream.remote);
                *is_broken = true;
                return false;
            }
        }
    }
    true
}

/// Queues a packet on a stream.
fn write_framed(stream: &mut Stream, framing: Framing, is_broken: &mut bool, packet: &[u8]) {
    let Some((header, length, filling)) = framing.around(packet) else {
        return;
    };
    if let Err(error) = stream.write(&[&header[..length], packet, filling]) {
        log::debug!("the connection to {} is broken: {error}", stream.remote);
        *is_broken = true;
    }
}

impl Network {
    /// What was found out since the last time.
    pub(super) fn take_found(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }

    /// Notes a TCP candidate of the peer, for as long as there are not too many. It is dialled
    /// where nothing else leads to the peer soon.
    pub(super) fn stand_by(&mut self, now: Instant, dial: Dial) {
        if dial.generation != self.generation {
            self.generation = dial.generation;
            self.standby.clear();
            for peer in &mut self.peers {
                peer.retires.get_or_insert(now + RETIREMENT);
            }
        }
        if self.standby.len() < MAX_STREAMS {
            self.standby.push(dial);
            self.standby_from.get_or_insert(now + HEAD_START);
        }
    }

    fn dial_standby(&mut self, now: Instant, is_path_up: bool) {
        if self.standby.is_empty() || is_path_up {
            // Should the path be lost, there is nothing to wait for: it was the wait.
            self.standby_from = None;
        } else if self.standby_from.is_none_or(|from| from <= now) {
            self.standby_from = None;
            for dial in std::mem::take(&mut self.standby) {
                self.dial(dial);
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        let is_known = |peer: &PeerStream| {
            peer.generation == dial.generation && peer.stream.remote == dial.remote
        };
        if self.gathering.is_relay_only()
            || self.peers.len() + self.dialling >= MAX_STREAMS
            || self.peers.iter().any(is_known)
        {
            log::debug!("the TCP candidate {} is not used", dial.remote);
            return;
        }
        self.dialling += 1;
        let connect = async move {
            let result = limited(Stream::connect(dial.remote)).await;
            Step::Dialled(dial, result)
        };
        self.pending.push(connect.boxed());
    }

    /// Ready when [`Self::tick`] or [`Self::receive`] has something to do.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut is_ready = false;
        if let Some(udp) = &self.udp {
            is_ready |= udp.poll_readable(cx).is_ready();
        }
        let relays = self.relays.iter().filter_map(RelayLink::stream);
        let peers = self.peers.iter().map(|peer| &peer.stream);
        for stream in peers.chain(relays) {
            is_ready |= stream.poll_ready(cx).is_ready();
        }
        while let Poll::Ready(Some(step)) = self.pending.poll_next_unpin(cx) {
            self.on_step(step);
            is_ready = true;
        }
        while let Poll::Ready(Some(resolved)) = self.look_ups.poll_next_unpin(cx) {
            self.on_resolved(Instant::now(), resolved);
            is_ready = true;
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn on_step(&mut self, step: Step) {
        match step {
            Step::Reached(number, result) => self.on_reached(number, result),
            Step::Dialled(dial, result) => {
                self.dialling -= 1;
                match result {
                    Ok(stream) if dial.generation == self.generation => {
                        let candidate = LocalCandidate::host(Transport::Tcp, stream.local);
                        self.found.push(Found::Candidate {
                            candidate: candidate.clone(),
                            // We dial: there is nothing that the peer could reach.
                            is_told: false,
                        });
                        self.peers.push(PeerStream {
                            stream,
                            unframer: Unframer::new(Framing::Peer),
                            candidate,
                            generation: dial.generation,
                            retires: None,
                            is_broken: false,
                        });
                    }
                    Ok(_) => {}
                    Err(error) => log::debug!("no TCP to {}: {error}", dial.remote),
                }
            }
        }
    }

    /// Lets time pass. `is_path_up` says whether the peer is reached.
    pub(super) fn tick(&mut self, now: Instant, is_path_up: bool) {
        self.dial_standby(now, is_path_up);
        for peer in &mut self.peers {
            peer.is_broken |= peer.retires.is_some_and(|retires| retires <= now);
        }
        self.tick_gathering(now);
        self.flush();
    }

    /// When [`Self::tick`] or [`Self::take_found`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        if !self.found.is_empty() {
            return Some(Instant::now());
        }
        let retirements = self.peers.iter().filter_map(|peer| peer.retires);
        let relays = self.relays.iter().map(RelayLink::due);
        let standby = self.standby_from.filter(|_| !self.standby.is_empty());
        let dues = retirements.chain(relays).chain(standby);
        dues.chain(self.gathering.due()).min()
    }

    /// Reads what has come. Answers whether there may be more.
    pub(super) fn receive(&mut self, now: Instant, each: &mut dyn FnMut(Arrival<'_>)) -> bool {
        let mut is_more = false;
        let Self {
            udp,
            gathering,
            relays,
            peers,
            found,
            ..
        } = self;
        if let Some(udp) = udp {
            let is_relay_only = gathering.is_relay_only();
            let mut take = |local: SocketAddr, source: SocketAddr, bytes: &[u8]| {
                if gathering.take_answer(source, bytes, found) {
                    return;
                }
                let mut relays = relays.iter_mut();
                if relays.any(|link| link.take_datagram(now, source, bytes, each)) {
                    return;
                }
                if !is_relay_only {
                    each(Arrival {
                        transport: Transport::Udp,
                        source,
                        destination: local,
                        bytes,
                    });
                }
            };
            is_more = (0..MAX_READS).all(|_| udp.receive(&mut take));
        }
        for peer in peers {
            is_more |= peer.read(each);
        }
        for link in relays {
            is_more |= link.read(now, each);
        }
        is_more
    }

    /// Sends packets from where they want to leave.
    pub(super) fn send(&mut self, now: Instant, departures: &[Departure]) {
        let mut rest = departures;
        while !rest.is_empty() {
            let relays = &self.relays;
            let is_direct = |departure: &&Departure| {
                departure.transport == Transport::Udp
                    && !relays.iter().any(|link| link.is_at(departure.source))
            };
            let direct = rest.iter().take_while(is_direct).count();
            let (now_direct, later) = rest.split_at(direct);
            if let Some(udp) = &self.udp {
                udp.send_all(now_direct);
            }
            rest = later;
            if let Some((other, later)) = rest.split_first() {
                self.send_otherwise(now, other);
                rest = later;
            }
        }
        self.flush();
    }

    fn send_otherwise(&mut self, now: Instant, departure: &Departure) {
        let Departure {
            transport,
            source,
            destination,
            bytes,
        } = departure;
        match transport {
            Transport::Udp => {
                let mut relays = self.relays.iter_mut();
                if let Some(link) = relays.find(|link| link.is_at(*source)) {
                    link.send(now, self.udp.as_ref(), *destination, bytes);
                }
            }
            Transport::Tcp => {
                let is_it = |peer: &&mut PeerStream| {
                    peer.stream.local == *source && peer.stream.remote == *destination
                };
                if let Some(peer) = self.peers.iter_mut().find(is_it) {
                    write_framed(&mut peer.stream, Framing::Peer, &mut peer.is_broken, bytes);
                }
            }
        }
    }

    /// Sends what waits in streams, and lets go of those that are broken.
    fn flush(&mut self) {
        for peer in &mut self.peers {
            peer.is_broken |= peer.stream.flush().is_err();
        }
        let found = &mut self.found;
        self.peers.retain(|peer| {
            if peer.is_broken {
                found.push(Found::Lost(peer.candidate.clone()));
            }
            !peer.is_broken
        });
        for link in &mut self.relays {
            link.flush();
        }
    }

    /// Gives back what servers keep for us. Nothing is waited for.
    pub(super) fn close(&mut self, now: Instant) {
        for link in &mut self.relays {
            link.give_back(now, self.udp.as_ref());
        }
    }
}

async fn limited(connect: impl Future<Output = io::Result<Stream>>) -> io::Result<Stream> {
    match tokio::time::timeout(DIAL_LIMIT, connect).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(port: u16, generation: u64) -> Dial {
        let remote = SocketAddr::from(([127, 0, 0, 1], port));
        Dial { remote, generation }
    }

    #[test]
    fn tcp_is_dialled_where_nothing_else_leads_to_the_peer() {
        let now = Instant::now();
        let mut network = Network::default();
        network.stand_by(now, dial(7, 0));
        network.tick(now, false);
        assert_eq!(network.pending.len(), 0, "others go first");
        assert_eq!(network.due(), Some(now + HEAD_START));
        network.tick(now + HEAD_START, false);
        assert_eq!(network.pending.len(), 1);
        assert_eq!(network.due(), None);
    }

    #[test]
    fn tcp_waits_until_the_path_that_there_is_is_lost() {
        let mut now = Instant::now();
        let mut network = Network::default();
        network.stand_by(now, dial(7, 0));
        for _ in 0..10 {
            now += HEAD_START;
            network.tick(now, true);
        }
        assert_eq!(network.pending.len(), 0);
        network.tick(now, false);
        assert_eq!(network.pending.len(), 1);
    }

    #[test]
    fn a_restart_forgets_the_candidates_before_it_and_a_flood_is_bounded() {
        let now = Instant::now();
        let mut network = Network::default();
        network.stand_by(now, dial(7, 0));
        for port in 1..=100 {
            network.stand_by(now, dial(port, 1));
        }
        assert_eq!(network.standby.len(), MAX_STREAMS);
        assert!(network.standby.iter().all(|dial| dial.generation == 1));
        network.tick(now + HEAD_START, false);
        assert_eq!(network.pending.len(), MAX_STREAMS);
        network.stand_by(now, dial(200, 1));
        network.tick(now + 3 * HEAD_START, false);
        assert_eq!(network.pending.len(), MAX_STREAMS, "too many at a time");
    }
}
