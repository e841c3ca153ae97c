//! The relay against a server in memory, over hours that take no time.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use turn_client_proto::{
    api::Transmit,
    types::{Instant as TurnInstant, TransportType},
};
use turn_server_proto::{
    api::{TurnServerApi as _, TurnServerPollRet},
    server::TurnServer,
};

use super::{
    relay::{Carrier, Relay, Standing},
    server::Login,
};

const SERVER: &str = "192.0.2.1:3478";
const CLIENT: &str = "10.0.0.7:5000";
const RELAYED: &str = "192.0.2.1:49152";
const PEER: &str = "198.51.100.5:7000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn login(password: &str) -> Login {
    Login {
        username: "user".to_owned(),
        password: password.to_owned(),
    }
}

struct Bed {
    relay: Relay,
    server: TurnServer,
    start: Instant,
    now: Instant,
    /// Nothing reaches the server.
    is_away: bool,
    sent: usize,
    peer_heard: Vec<(SocketAddr, Vec<u8>)>,
    heard: Vec<(SocketAddr, Vec<u8>)>,
}

impl Bed {
    fn new(password: &str) -> Self {
        let start = Instant::now();
        let realm = "realm".to_owned();
        let mut server = TurnServer::new(TransportType::Udp, at(SERVER), realm);
        server.add_user("user".to_owned(), "password".to_owned());
        Self {
            relay: Relay::new(start, at(SERVER), Carrier::Datagrams, &login(password)),
            server,
            start,
            now: start,
            is_away: false,
            sent: 0,
            peer_heard: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn time(&self) -> TurnInstant {
        let since = (self.now - self.start).as_nanos();
        TurnInstant::from_nanos(i64::try_from(since).unwrap())
    }

    /// Lets everything happen that happens within `duration`.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let mut out = VecDeque::new();
            self.relay
                .tick(self.now, &mut |bytes| out.push_back(bytes.to_vec()));
            for bytes in out {
                self.pass_to_server(bytes, at(CLIENT), at(SERVER));
            }
            self.serve();
            let due = self.relay.due().max(self.now + Duration::from_millis(1));
            if due > end || self.relay.standing() == Standing::Over {
                break;
            }
            self.now = due;
        }
        self.now = end;
    }

    fn pass_to_server(&mut self, bytes: Vec<u8>, from: SocketAddr, to: SocketAddr) {
        self.sent += 1;
        if self.is_away {
            return;
        }
        let transmit = Transmit::new(bytes, TransportType::Udp, from, to);
        let time = self.time();
        if let Some(answer) = self.server.recv(transmit, time) {
            let answer = answer.build();
            self.pass_to_client(answer.from, answer.to, &answer.data);
        }
    }

    fn pass_to_client(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if from == at(RELAYED) {
            self.peer_heard.push((to, bytes.to_vec()));
            return;
        }
        assert_eq!((from, to), (at(SERVER), at(CLIENT)));
        let heard = &mut self.heard;
        self.relay.receive(self.now, bytes, &mut |peer, bytes| {
            heard.push((peer, bytes.to_vec()));
        });
    }

    fn serve(&mut self) {
        let time = self.time();
        while let TurnServerPollRet::AllocateSocket {
            transport,
            listen_addr,
            client_addr,
            allocation_transport,
            family,
        } = self.server.poll(time)
        {
            self.server.allocated_socket(
                transport,
                listen_addr,
                client_addr,
                allocation_transport,
                family,
                Ok(at(RELAYED)),
                time,
            );
        }
        while let Some(transmit) = self.server.poll_transmit(time) {
            self.pass_to_client(transmit.from, transmit.to, &transmit.data);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        self.relay.send(self.now, at(PEER), bytes, &mut |bytes| {
            out.push(bytes.to_vec());
        });
        for bytes in out {
            self.pass_to_server(bytes, at(CLIENT), at(SERVER));
        }
    }

    /// Whether packets pass both ways.
    fn check(&mut self, what: &str) {
        self.peer_heard.clear();
        self.heard.clear();
        self.send(what.as_bytes());
        self.pass(Duration::from_secs(1));
        let bytes = what.as_bytes().to_vec();
        assert_eq!(self.peer_heard, [(at(PEER), bytes.clone())], "{what}");
        self.pass_to_server(bytes.clone(), at(PEER), at(RELAYED));
        assert_eq!(self.heard, [(at(PEER), bytes)], "{what}");
    }
}

#[test]
fn what_is_sent_before_the_server_agrees_arrives_when_it_has() {
    let mut bed = Bed::new("password");
    bed.pass(Duration::from_secs(1));
    assert_eq!(bed.relay.standing(), Standing::At(at(RELAYED)));
    bed.check("held");
    bed.check("through a channel");
}

#[test]
fn an_address_is_kept_and_used_for_hours() {
    let mut bed = Bed::new("password");
    bed.pass(Duration::from_secs(1));
    for minutes in (0..180).step_by(7) {
        bed.check(&format!("after {minutes} min"));
        bed.pass(Duration::from_secs(7 * 60));
    }
    let requests = bed.sent;
    assert!(requests < 1_000, "{requests} messages to the server");
}

#[test]
fn an_address_is_given_back() {
    let mut bed = Bed::new("password");
    bed.pass(Duration::from_secs(1));
    bed.check("before");
    let mut out = Vec::new();
    bed.relay
        .give_back(bed.now, &mut |bytes| out.push(bytes.to_vec()));
    assert_eq!(bed.relay.standing(), Standing::Over);
    assert!(!out.is_empty());
    for bytes in out {
        bed.pass_to_server(bytes, at(CLIENT), at(SERVER));
    }
    bed.heard.clear();
    bed.pass_to_server(b"after".to_vec(), at(PEER), at(RELAYED));
    assert_eq!(bed.heard, []);
}

#[test]
fn a_wrong_password_ends_it() {
    let mut bed = Bed::new("guessed");
    bed.pass(Duration::from_secs(15));
    assert_eq!(bed.relay.standing(), Standing::Over);
    assert!(bed.sent < 30, "{} messages", bed.sent);
}

#[test]
fn a_server_that_is_away_is_given_up() {
    let mut bed = Bed::new("password");
    bed.is_away = true;
    bed.pass(Duration::from_secs(15));
    assert_eq!(bed.relay.standing(), Standing::Over);
    assert!((2..10).contains(&bed.sent), "{} messages", bed.sent);
}

#[test]
fn a_server_that_goes_away_later_is_noticed() {
    let mut bed = Bed::new("password");
    bed.pass(Duration::from_secs(1));
    bed.is_away = true;
    bed.pass(Duration::from_secs(3_600));
    assert_eq!(bed.relay.standing(), Standing::Over);
    assert!(bed.sent < 1_000, "{} messages", bed.sent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes from the server's address: no panic, no loop, few answers.
    #[test]
    fn noise_is_survived(
        is_allocated: bool,
        noise in prop::collection::vec(
            (0_usize..4, prop::collection::vec(any::<u8>(), 0..80)), 0..30),
    ) {
        let mut bed = Bed::new("password");
        if is_allocated {
            bed.pass(Duration::from_secs(1));
            bed.send(b"packet");
            bed.pass(Duration::from_secs(1));
        }
        let before = bed.sent;
        for (kind, mut bytes) in noise {
            // Mostly what looks like STUN or channel data.
            let start: &[u8] = match kind {
                0 => &[0x01, 0x01, 0x00, 0x08, 0x21, 0x12, 0xa4, 0x42],
                1 => &[0x00, 0x17, 0x00, 0x10, 0x21, 0x12, 0xa4, 0x42],
                2 => &[0x40, 0x00, 0x00, 0x04],
                _ => &[],
            };
            bytes.splice(0..start.len().min(bytes.len()), start.iter().copied());
            bed.relay.receive(bed.now, &bytes, &mut |_, _| {});
            bed.pass(Duration::from_millis(20));
        }
        prop_assert!(bed.sent - before < 40);
    }
}
