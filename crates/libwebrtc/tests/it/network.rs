//! Two connections over other paths than UDP over IPv4 between host candidates.

use std::net::{Ipv4Addr, SocketAddr};

use libwebrtc::{
    data_channel::DataChannelState,
    ice_candidate::IceCandidate,
    peer_connection::{IceGatheringState, PeerConnectionState},
    peer_connection_factory::{IceServer, IceTransportsType, RtcConfiguration},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    sync::mpsc::UnboundedSender,
    task::JoinSet,
};

use crate::pair::{Peer, connected, in_time};

/// A peer whose candidates are told when gathering is complete.
struct Gathered {
    peer: Peer,
    states: crate::pair::Reports<IceGatheringState>,
    lines: Vec<String>,
}

impl Gathered {
    fn new(config: RtcConfiguration) -> Self {
        let peer = Peer::with(config);
        let (sender, states) = crate::pair::Reports::new("gathering state");
        peer.connection
            .on_ice_gathering_state_change(Some(Box::new(move |state| {
                let _ = sender.send(state);
            })));
        let lines = Vec::new();
        Self {
            peer,
            states,
            lines,
        }
    }

    async fn complete(&mut self) {
        self.states
            .until(|state| *state == IceGatheringState::Complete)
            .await;
        let candidates = self.peer.candidates.drain();
        self.lines = candidates.iter().map(IceCandidate::candidate).collect();
    }

    async fn hear_of(&self, line: &str) {
        let candidate = IceCandidate::parse("0", 0, line).unwrap();
        self.peer
            .connection
            .add_ice_candidate(candidate)
            .await
            .unwrap();
    }

    fn on_loopback(&self) -> SocketAddr {
        let line = self.lines.iter().find(|line| line.contains(" 127.0.0.1 "));
        let mut words = line.unwrap().split(' ').skip(4);
        let (ip, port) = (words.next().unwrap(), words.next().unwrap());
        format!("{ip}:{port}").parse().unwrap()
    }
}

/// Offer and answer, gathering complete on both sides, no candidate exchanged.
async fn prepared(ours: RtcConfiguration, theirs: RtcConfiguration) -> (Gathered, Gathered) {
    let (mut a, mut b) = (Gathered::new(ours), Gathered::new(theirs));
    let _keep = a.peer.channel("c", 1, false);
    let offer = a.peer.offer(false).await;
    let answer = b.peer.answer(offer).await;
    a.peer
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    in_time("gathering", async {
        a.complete().await;
        b.complete().await;
    })
    .await;
    (a, b)
}

fn config() -> RtcConfiguration {
    RtcConfiguration::default()
}

fn relay_only(url: &str) -> RtcConfiguration {
    let mut config = config();
    config.ice_transport_type = IceTransportsType::Relay;
    config.ice_servers = vec![IceServer {
        urls: vec![url.to_owned()],
        username: "user".to_owned(),
        password: "password".to_owned(),
    }];
    config
}

#[tokio::test]
async fn two_connect_over_ipv6() {
    let (mut a, mut b) = prepared(config(), config()).await;
    let v6 = |lines: &[String]| -> Vec<String> {
        let is_v6 = |line: &&String| line.split(' ').nth(4).unwrap().contains(':');
        lines.iter().filter(is_v6).cloned().collect()
    };
    assert!(v6(&a.lines).iter().all(|line| !line.contains(" fe80:")));
    for line in v6(&a.lines) {
        b.hear_of(&line).await;
    }
    for line in v6(&b.lines) {
        a.hear_of(&line).await;
    }
    connected(&mut a.peer, &mut b.peer).await;
}

/// The user that a STUN request names.
fn user_of(packet: &[u8]) -> Option<Vec<u8>> {
    let mut attributes = packet.get(20..).filter(|_| packet.starts_with(&[0, 1]))?;
    while let [kind_high, kind_low, high, low, rest @ ..] = attributes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let value = rest.get(..length)?;
        if [*kind_high, *kind_low] == [0, 6] {
            return Some(value.to_vec());
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Carries packets between a TCP candidate and a UDP address, and tells of every connection. As
/// servers do, it takes a connection to belong to the user that its first check names.
async fn bridge(listener: TcpListener, to: SocketAddr, accepted: UnboundedSender<()>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = accepted.send(());
        connections.spawn(async move {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            socket.connect(to).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let out = async {
                let mut owner = None;
                loop {
                    let length = read.read_u16().await?;
                    let mut packet = vec![0; length.into()];
                    read.read_exact(&mut packet).await?;
                    let user = user_of(&packet);
                    owner = owner.or_else(|| user.clone());
                    if user.is_some() && user != owner {
                        continue;
                    }
                    let _ = socket.send(&packet).await;
                }
                #[expect(unreachable_code, reason = "tells the type of the block")]
                Ok::<(), std::io::Error>(())
            };
            let back = async {
                let mut packet = [0; 2_000];
                loop {
                    let Ok(length) = socket.recv(&mut packet).await else {
                        continue;
                    };
                    write.write_u16(u16::try_from(length).unwrap()).await?;
                    write.write_all(&packet[..length]).await?;
                }
                #[expect(unreachable_code, reason = "tells the type of the block")]
                Ok::<(), std::io::Error>(())
            };
            let _ = tokio::try_join!(out, back);
        });
    }
}

#[tokio::test]
async fn a_passive_tcp_candidate_is_dialled_and_carries_everything_also_after_a_restart() {
    let (mut a, mut b) = prepared(config(), config()).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = format!("candidate:1 1 tcp 1671430143 127.0.0.1 {port} typ host tcptype passive");
    let mut tasks = JoinSet::new();
    let (sender, mut accepted) = crate::pair::Reports::new("connection");
    tasks.spawn(bridge(listener, b.on_loopback(), sender));
    a.hear_of(&line).await;
    connected(&mut a.peer, &mut b.peer).await;
    accepted.next().await;

    let offer = a.peer.offer(true).await;
    let answer = b.peer.answer(offer).await;
    a.peer
        .connection
        .set_remote_description(answer)
        .await
        .unwrap();
    a.hear_of(&line).await;
    // A server takes a connection for one beginning of ICE only.
    accepted.next().await;
    let channel = a.peer.channel("after", 2, false);
    let other = b.peer.channel("after", 2, false);
    let (sender, mut got) = crate::pair::Reports::new("message");
    other.on_message(Some(Box::new(move |message| {
        let _ = sender.send(message.data.to_vec());
    })));
    let (sender, mut states) = crate::pair::Reports::new("channel state");
    channel.on_state_change(Some(Box::new(move |state| {
        let _ = sender.send(state);
    })));
    // It may have been open before anybody wanted to be told.
    if channel.state() != DataChannelState::Open {
        states.until(|state| *state == DataChannelState::Open).await;
    }
    channel.send(b"hello", true).unwrap();
    assert_eq!(got.next().await, b"hello");
    assert_eq!(
        a.peer.connection.connection_state(),
        PeerConnectionState::Connected
    );
}

#[tokio::test]
async fn who_may_only_relay_tells_and_uses_nothing_else() {
    // Nobody is there: whoever was has left.
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("turn:{}?transport=tcp", gone.local_addr().unwrap());
    drop(gone);
    let (a, b) = prepared(relay_only(&url), config()).await;
    assert_eq!(a.lines, Vec::<String>::new());
    // A peer that reaches us all the same gets no answer, and none of our checks.
    let spy = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = spy.local_addr().unwrap().port();
    a.hear_of(&format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host"))
        .await;
    b.hear_of(&format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host"))
        .await;
    // B's checks come, those of A would have come before.
    let (_, from) = spy.recv_from(&mut [0; 2_000]).await.unwrap();
    assert_eq!(from, b.on_loopback());
}

#[tokio::test]
async fn a_stun_server_tells_where_we_are_seen_and_hosts_can_be_left_out() {
    // One that sees everybody at the same place.
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("stun:{}", server.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut request = [0; 2_000];
        loop {
            let (_, from) = server.recv_from(&mut request).await.unwrap();
            // XOR-MAPPED-ADDRESS 203.0.113.9:62000, as RFC 8489 writes it.
            let mut answer = vec![0x01, 0x01, 0x00, 0x0c];
            answer.extend_from_slice(&request[4..20]);
            answer.extend_from_slice(&[0x00, 0x20, 0x00, 0x08, 0x00, 0x01]);
            let port = 62_000_u16 ^ 0x2112;
            answer.extend_from_slice(&port.to_be_bytes());
            let ip = u32::from(Ipv4Addr::new(203, 0, 113, 9)) ^ 0x2112_a442;
            answer.extend_from_slice(&ip.to_be_bytes());
            let _ = server.send_to(&answer, from).await;
        }
    });
    let mut config = config();
    config.ice_transport_type = IceTransportsType::NoHost;
    config.ice_servers = vec![IceServer {
        urls: vec![url],
        username: String::new(),
        password: String::new(),
    }];
    let (mut a, mut b) = prepared(config, RtcConfiguration::default()).await;
    assert_eq!(a.lines.len(), 1, "{:?}", a.lines);
    assert!(
        a.lines[0].contains(" 203.0.113.9 62000 typ srflx"),
        "{:?}",
        a.lines
    );
    // The addresses behind are used, though nobody is told of them.
    for line in b.lines.clone() {
        a.hear_of(&line).await;
    }
    connected(&mut a.peer, &mut b.peer).await;
}
