//! The lab itself, with real namespaces. Skipped, with a word on it, where there
//! can be none.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use trunkline_testbed::netlab::{
    Addresses, Counters, Direction, Host, Loss, NetLab, Profile, Share, Wire,
};

/// Far more than anything here ever takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Datagrams sent without looking: as many as a socket's buffer holds.
const SENT: u32 = 200;

/// Two hosts with a wire between: the client first.
struct Pair {
    client: Host,
    server: Host,
    wire: Wire,
    lab: NetLab,
}

impl Pair {
    fn new(test: &str) -> Option<Self> {
        let mut lab = NetLab::or_skip(test)?;
        let server = lab.host("server").expect("a host");
        let client = lab.host("client").expect("a host");
        let wire = lab.wire(&client, &server).expect("a wire");
        Some(Self {
            client,
            server,
            wire,
            lab,
        })
    }

    /// Waits until a direction's counters are as wanted.
    fn counted(&self, direction: Direction, wanted: impl Fn(&Counters) -> bool) {
        let until = Instant::now() + LIMIT;
        loop {
            let counters = self.wire.counters(direction);
            if wanted(&counters) {
                return;
            }
            assert!(Instant::now() < until, "{counters:?}");
            std::thread::yield_now();
        }
    }
}

fn addresses(host: &Host) -> Addresses {
    host.addresses().expect("a wire, and so addresses")
}

/// A socket of the host's, on a port of its choice.
fn socket(host: &Host, address: impl Into<IpAddr>) -> UdpSocket {
    let address = SocketAddr::new(address.into(), 0);
    let socket = host
        .inside(move || UdpSocket::bind(address).expect("a socket"))
        .expect("a thread")
        .join()
        .expect("no panic")
        .expect("entered");
    socket.set_read_timeout(Some(LIMIT)).expect("set");
    socket
}

fn local(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("an address")
}

/// The next datagram, which holds one number.
fn next(socket: &UdpSocket) -> u32 {
    let mut number = [0; 4];
    let length = socket.recv(&mut number).expect("a datagram in time");
    assert_eq!(length, number.len());
    u32::from_be_bytes(number)
}

fn send(from: &UdpSocket, to: SocketAddr, number: u32) {
    from.send_to(&number.to_be_bytes(), to).expect("sent");
}

#[test]
fn packets_of_both_families_cross_a_wire_and_take_their_time() {
    let Some(pair) = Pair::new("packets_of_both_families_cross_a_wire_and_take_their_time") else {
        return;
    };
    let delay = Duration::from_millis(30);
    pair.wire.set_both(&Profile::delayed(delay));
    let there = addresses(&pair.server);
    let here = addresses(&pair.client);
    for (here, there) in [
        (IpAddr::from(here.v4), IpAddr::from(there.v4)),
        (IpAddr::from(here.v6), IpAddr::from(there.v6)),
    ] {
        let (client, server) = (socket(&pair.client, here), socket(&pair.server, there));
        let sent = Instant::now();
        send(&client, local(&server), 1);
        assert_eq!(next(&server), 1);
        send(&server, local(&client), 2);
        assert_eq!(next(&client), 2);
        // Never sooner: that holds on any machine.
        assert!(sent.elapsed() >= 2 * delay, "{:?}", sent.elapsed());
    }
    for direction in Direction::BOTH {
        let counters = pair.wire.counters(direction);
        // IPv4 and IPv6 headers, UDP's, and four bytes.
        assert_eq!(counters.offered.packets, 2, "{counters:?}");
        assert_eq!(counters.offered.bytes, 20 + 40 + 2 * (8 + 4));
        assert_eq!(counters.delivered, counters.offered);
    }
    assert!(pair.wire.is_whole());
}

#[test]
fn a_wire_loses_what_its_counters_say_and_nothing_else() {
    let Some(pair) = Pair::new("a_wire_loses_what_its_counters_say_and_nothing_else") else {
        return;
    };
    pair.wire.set(
        Direction::Forth,
        Profile {
            loss: Loss::Bursty {
                share: Share::percent(20.0),
                mean_burst: 3.0,
            },
            ..Profile::default()
        },
    );
    let client = socket(&pair.client, addresses(&pair.client).v4);
    let server = socket(&pair.server, addresses(&pair.server).v4);
    let mut arrived = 0;
    for number in 0..SENT {
        send(&client, local(&server), number);
    }
    // What the wire has not read yet would meet the next profile.
    pair.counted(Direction::Forth, |counters| {
        counters.offered.packets == u64::from(SENT)
    });
    pair.wire.set(Direction::Forth, Profile::default());
    // The last one says that all have come which will.
    send(&client, local(&server), SENT);
    while next(&server) != SENT {
        arrived += 1;
    }
    let counters = pair.wire.counters(Direction::Forth);
    assert_eq!(
        counters.offered.packets,
        u64::from(SENT) + 1,
        "{counters:?}"
    );
    assert_eq!(counters.delivered.packets, arrived + 1, "{counters:?}");
    assert_eq!(counters.lost.packets, u64::from(SENT) - arrived);
    assert!((15..80).contains(&counters.lost.packets), "{counters:?}");
    assert_eq!(
        pair.wire.counters(Direction::Back).offered.packets,
        0,
        "nothing was sent back"
    );
}

#[test]
fn an_outage_is_one_directions_and_ends() {
    let Some(pair) = Pair::new("an_outage_is_one_directions_and_ends") else {
        return;
    };
    let client = socket(&pair.client, addresses(&pair.client).v4);
    let server = socket(&pair.server, addresses(&pair.server).v4);
    pair.wire.cut(Direction::Forth);
    send(&client, local(&server), 1);
    send(&server, local(&client), 2);
    assert_eq!(next(&client), 2, "the other direction carries on");
    // Counted when it has been dropped, and so before the outage ends.
    pair.counted(Direction::Forth, |counters| counters.cut.packets == 1);
    pair.wire.mend(Direction::Forth);
    send(&client, local(&server), 3);
    assert_eq!(next(&server), 3, "the first one is lost");
}

#[test]
fn a_host_with_two_networks_goes_over_the_one_that_is_left() {
    let Some(mut pair) = Pair::new("a_host_with_two_networks_goes_over_the_one_that_is_left")
    else {
        return;
    };
    let second = pair.lab.wire(&pair.client, &pair.server).expect("a wire");
    let own = pair.server.add_own_addresses().expect("addresses");
    assert_eq!(addresses(&pair.server), own);
    let server = socket(&pair.server, own.v4);
    let roaming = |number| {
        let client = socket(&pair.client, IpAddr::from([0, 0, 0, 0]));
        send(&client, local(&server), number);
        assert_eq!(next(&server), number);
    };
    roaming(1);
    assert_eq!(pair.wire.counters(Direction::Forth).delivered.packets, 1);

    pair.wire.first().down().expect("down");
    roaming(2);
    assert_eq!(second.counters(Direction::Forth).delivered.packets, 1);

    pair.wire.first().up().expect("up");
    roaming(3);
    assert_eq!(pair.wire.counters(Direction::Forth).delivered.packets, 2);
}

#[test]
fn a_door_leads_to_a_server_in_a_host() {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    let Some(pair) = Pair::new("a_door_leads_to_a_server_in_a_host") else {
        return;
    };
    let address = SocketAddr::from((addresses(&pair.server).v4, 0));
    let (tell, told) = mpsc::channel();
    let server = pair
        .server
        .inside(move || {
            let listener = TcpListener::bind(address).expect("a listener");
            tell.send(listener.local_addr()).expect("the test waits");
            let (mut stream, _) = listener.accept().expect("a visitor");
            let mut said = [0; 5];
            stream.read_exact(&mut said).expect("five bytes");
            stream.write_all(&said).expect("sent");
        })
        .expect("a thread");
    let target = told.recv_timeout(LIMIT).expect("told").expect("an address");
    let door = pair.server.door(target).expect("a door");
    let mut visitor = TcpStream::connect(door.address()).expect("connected");
    visitor.set_read_timeout(Some(LIMIT)).expect("set");
    visitor.write_all(b"hello").expect("sent");
    let mut echoed = [0; 5];
    visitor.read_exact(&mut echoed).expect("an echo");
    assert_eq!(&echoed, b"hello");
    server.join().expect("no panic").expect("entered");
}

#[test]
fn a_lab_that_is_dropped_leaves_nothing_behind() {
    let Some(pair) = Pair::new("a_lab_that_is_dropped_leaves_nothing_behind") else {
        return;
    };
    let namespaces = [&pair.client, &pair.server].map(|host| host.namespace().to_owned());
    let listed = || {
        let output = Command::new("ip")
            .args(["netns", "list"])
            .output()
            .expect("ip runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(namespaces.iter().all(|name| listed().contains(name)));
    drop(pair);
    assert!(!namespaces.iter().any(|name| listed().contains(name)));
}
