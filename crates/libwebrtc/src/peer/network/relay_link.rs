//! A relay together with the way to its server.

use std::{io, net::SocketAddr, time::Instant};

use super::{
    Arrival, LocalCandidate, Transport,
    framing::{Framing, Unframer},
    read_framed,
    relay::{Carrier, Relay, Standing},
    server::{Login, Server, Service},
    stream::Stream,
    udp::Udp,
    write_framed,
};

pub(super) struct RelayLink {
    pub(super) number: u64,
    pub(super) url: String,
    pub(super) login: Login,
    relay: Relay,
    way: Way,
    /// Our address at the server, once it has been told of.
    pub(super) candidate: Option<LocalCandidate>,
    since: Instant,
    /// When it counts as away if it has not answered.
    deadline: Instant,
    pub(super) retires: Option<Instant>,
}

enum Way {
    /// The connection's UDP socket.
    Udp,
    /// Being dialled.
    Awaited,
    Stream {
        stream: Box<Stream>,
        unframer: Unframer,
        is_broken: bool,
    },
}

impl Way {
    fn emit(&mut self, udp: Option<&Udp>, server: SocketAddr, bytes: &[u8]) {
        match self {
            Self::Udp => {
                if let Some(udp) = udp {
                    udp.send(None, server, bytes);
                }
            }
            Self::Awaited => {}
            Self::Stream {
                stream, is_broken, ..
            } => write_framed(stream, Framing::Turn, is_broken, bytes),
        }
    }
}

impl RelayLink {
    pub(super) fn new(
        number: u64,
        url: &str,
        server: &Server,
        login: &Login,
        address: SocketAddr,
        now: Instant,
        deadline: Instant,
    ) -> Self {
        let (carrier, way) = match server.service {
            Service::TurnTcp | Service::TurnTls => (Carrier::Stream, Way::Awaited),
            Service::TurnUdp | Service::Stun => (Carrier::Datagrams, Way::Udp),
        };
        Self {
            number,
            url: url.to_owned(),
            login: login.clone(),
            relay: Relay::new(now, address, carrier, login),
            way,
            candidate: None,
            since: now,
            deadline,
            retires: None,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.relay.standing()
    }

    /// Whether packets from this address leave by it.
    pub(super) fn is_at(&self, base: SocketAddr) -> bool {
        self.relay.standing() == Standing::At(base)
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.way {
            Way::Stream { stream, .. } => Some(stream),
            Way::Udp | Way::Awaited => None,
        }
    }

    pub(super) fn reached(&mut self, result: io::Result<Stream>) {
        match result {
            Ok(stream) => {
                self.way = Way::Stream {
                    stream: Box::new(stream),
                    unframer: Unframer::new(Framing::Turn),
                    is_broken: false,
                }
            }
            Err(error) => {
                log::debug!("{} is out of reach: {error}", self.url);
                self.relay.over();
            }
        }
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Instant, udp: Option<&Udp>) {
        if self.retires.is_some_and(|retires| retires <= now) {
            self.give_back(now, udp);
        }
        if self.standing() == Standing::Asking && self.deadline <= now {
            self.relay.over();
        }
        if matches!(self.way, Way::Awaited) {
            return;
        }
        let Self { relay, way, .. } = self;
        let server = relay.server();
        relay.tick(now, &mut |bytes| way.emit(udp, server, bytes));
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn due(&self) -> Instant {
        let relay = match (self.standing(), &self.way) {
            // To be let go of, at once.
            (Standing::Over, _) => return self.since,
            (Standing::Asking, Way::Awaited) => self.deadline,
            (Standing::Asking, _) => self.relay.due().min(self.deadline),
            (Standing::At(_), _) => self.relay.due(),
        };
        let retires = self.retires.unwrap_or(relay);
        relay.min(retires)
    }

    /// Takes a datagram. Answers whether it was the server's and meant for us.
    pub(super) fn take_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        bytes: &[u8],
        each: &mut dyn FnMut(Arrival<'_>),
    ) -> bool {
        let is_from_server = matches!(self.way, Way::Udp) && self.relay.server() == source;
        is_from_server && hand_on(&mut self.relay, now, bytes, each)
    }

    /// Reads what the server has sent in a stream. Answers whether there may be more.
    pub(super) fn read(&mut self, now: Instant, each: &mut dyn FnMut(Arrival<'_>)) -> bool {
        let Self { relay, way, .. } = self;
        let Way::Stream {
            stream,
            unframer,
            is_broken,
        } = way
        else {
            return false;
        };
        read_framed(stream, unframer, is_broken, &mut |packet| {
            hand_on(relay, now, packet, each);
        })
    }

    pub(super) fn send(&mut self, now: Instant, udp: Option<&Udp>, to: SocketAddr, packet: &[u8]) {
        let Self { relay, way, .. } = self;
        let server = relay.server();
        relay.send(now, to, packet, &mut |bytes| way.emit(udp, server, bytes));
    }

    /// Sends what waits. A broken way ends the relay.
    pub(super) fn flush(&mut self) {
        if let Way::Stream {
            stream, is_broken, ..
        } = &mut self.way
        {
            *is_broken |= stream.flush().is_err();
            if *is_broken {
                self.relay.over();
            }
        }
    }

    pub(super) fn give_back(&mut self, now: Instant, udp: Option<&Udp>) {
        let Self { relay, way, .. } = self;
        let server = relay.server();
        relay.give_back(now, &mut |bytes| way.emit(udp, server, bytes));
        self.flush();
    }
}

fn hand_on(
    relay: &mut Relay,
    now: Instant,
    bytes: &[u8],
    each: &mut dyn FnMut(Arrival<'_>),
) -> bool {
    let Standing::At(destination) = relay.standing() else {
        return relay.receive(now, bytes, &mut |_, _| {});
    };
    relay.receive(now, bytes, &mut |source, bytes| {
        each(Arrival {
            transport: Transport::Udp,
            source,
            destination,
            bytes,
        });
    })
}
