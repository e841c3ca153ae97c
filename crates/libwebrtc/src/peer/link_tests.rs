//! Two transports over a link that loses packets by a seed, in simulated time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    engine::{self, Engine, EngineOutput, RtpOut, Setup},
    network::{Arrival, Departure, LocalCandidate, Transport},
    reports::{Report, Reports},
    retransmission::rtp_header,
};
use crate::audio::EncodedFrame;

const SSRC: u32 = 77;
const OPUS: u8 = 111;
const MID: &str = "0";

/// A datagram on its way: to which end, from where, where to.
type Datagram = (usize, SocketAddr, SocketAddr, Vec<u8>);

struct Link {
    ends: [Engine; 2],
    now: Instant,
    one_way: Duration,
    /// Share of RTP packets that are lost, of 1.
    loss: f64,
    random: StdRng,
    in_flight: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    secured: [bool; 2],
    /// Numbers of the packets that the second end received, and their payloads.
    received: BTreeSet<(u64, Vec<u8>)>,
    reports: [Reports; 2],
}

impl Link {
    /// A link that has come up without losses.
    fn up(one_way_ms: u64, repeats: bool) -> Self {
        let now = Instant::now();
        let addresses: [SocketAddr; 2] =
            ["192.0.2.1:5000", "192.0.2.2:5000"].map(|a| a.parse().unwrap());
        let credentials = [(); 2].map(|()| engine::new_credentials());
        let ends = [0, 1].map(|end: usize| {
            let setup = Setup {
                local: &credentials[end],
                remote: &credentials[1 - end],
                remote_fingerprint: &engine::local_fingerprint().unwrap(),
                controlling: end == 0,
                dtls_active: end == 1,
                extensions: &engine::own_extensions(),
            };
            let mut engine = Engine::new(now, &setup).unwrap();
            let [ours, theirs] = [addresses[end], addresses[1 - end]]
                .map(|address| LocalCandidate::host(Transport::Udp, address));
            engine.add_local(&ours);
            engine.add_remote_candidate(&engine::candidate_line(&theirs).unwrap());
            engine
        });
        let mut link = Self {
            ends,
            now,
            one_way: Duration::from_millis(one_way_ms),
            loss: 0.0,
            random: StdRng::seed_from_u64(11),
            in_flight: BTreeMap::new(),
            sent: 0,
            secured: [false; 2],
            received: BTreeSet::new(),
            reports: [Reports::default(); 2],
        };
        link.ends[0].send_audio(MID, SSRC, repeats);
        link.ends[1].receive_audio(MID, &[SSRC], repeats);
        for _ in 0..10_000 {
            link.step();
            if link.secured == [true; 2] {
                return link;
            }
        }
        panic!("the link does not come up");
    }

    /// A millisecond passes.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        while let Some(entry) = self.in_flight.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, source, destination, bytes) = entry.remove();
            let arrival = Arrival {
                transport: Transport::Udp,
                source,
                destination,
                bytes: &bytes,
            };
            self.ends[to].receive(self.now, &arrival);
            self.drain(to);
        }
        for end in 0..2 {
            self.ends[end].tick(self.now);
            self.drain(end);
        }
    }

    fn drain(&mut self, end: usize) {
        loop {
            match self.ends[end].poll().unwrap() {
                EngineOutput::Wait(_) => return,
                EngineOutput::Packet(Departure {
                    source,
                    destination,
                    bytes,
                    ..
                }) => {
                    let is_lost =
                        rtp_header(&bytes).is_some() && self.random.random_bool(self.loss);
                    if !is_lost {
                        let key = (self.now + self.one_way, self.sent);
                        self.in_flight
                            .insert(key, (1 - end, source, destination, bytes));
                        self.sent += 1;
                    }
                }
                EngineOutput::Secured => self.secured[end] = true,
                EngineOutput::Rtp(packet) => {
                    assert_eq!((packet.ssrc, packet.payload_type), (SSRC, OPUS));
                    let is_new = self
                        .received
                        .insert((packet.sequence, packet.payload.to_vec()));
                    assert!(is_new, "{} came twice", packet.sequence);
                }
                EngineOutput::Report { report, .. } => match report {
                    Report::Sent(sent) => self.reports[end].sent(self.now, sent),
                    Report::Received(received) => self.reports[end].received(received),
                    Report::Sender { at } => self.reports[end].sender(at),
                    Report::Path(_) => {}
                },
                _ => {}
            }
        }
    }

    /// Sends so many packets of 20 ms, and waits for the stragglers.
    fn send(&mut self, first: u64, count: u64, is_repeatable: bool) {
        for number in first..first + count {
            let header = RtpOut {
                ssrc: SSRC,
                payload_type: OPUS,
                sequence: number,
                timestamp: (number * 960) as u32,
                is_repeatable,
            };
            let frame = EncodedFrame {
                payload: &[72, number as u8, (number >> 8) as u8],
                rtp_ticks: 960,
                audio_level_dbov: 30,
                voice_activity: true,
                marker: false,
            };
            self.ends[0].write_rtp(self.now, &header, &frame);
            for _ in 0..20 {
                self.step();
            }
        }
        for _ in 0..600 {
            self.step();
        }
    }
}

#[test]
fn what_was_lost_is_asked_for_and_comes_as_it_was() {
    let mut link = Link::up(10, true);
    link.send(100, 10, true);
    link.loss = 0.05;
    link.send(110, 500, true);
    let missing = 510 - link.received.len();
    assert!(missing <= 2, "{missing} packets are missing for good");
    for (sequence, payload) in &link.received {
        let number = sequence & 0xFFFF;
        assert_eq!(payload[..], [72, number as u8, (number >> 8) as u8]);
    }
    let sent = link.ends[0].sent(SSRC);
    assert!((15..=80).contains(&sent.repeated_packets), "{sent:?}");
    // Nobody sends for long, so there are few reports; those there are say so.
    assert!(link.reports[1].received.nacks >= 10);
    assert!(link.reports[0].sent.nacks >= 10);
}

#[test]
fn what_was_not_agreed_on_is_not_asked_for() {
    let mut link = Link::up(10, false);
    link.loss = 0.05;
    link.send(100, 500, false);
    assert!(
        (450..=490).contains(&link.received.len()),
        "{}",
        link.received.len()
    );
    assert_eq!(link.ends[0].sent(SSRC).repeated_packets, 0);
    assert_eq!(link.reports[1].received.nacks, 0);
}

#[test]
fn what_would_come_too_late_is_not_asked_for() {
    let mut link = Link::up(120, true);
    // Long enough for the distance to be measured.
    link.send(100, 200, true);
    let before = link.reports[1].received.nacks;
    link.loss = 0.05;
    link.send(300, 500, true);
    assert_eq!(link.reports[1].received.nacks, before);
    assert_eq!(link.ends[0].sent(SSRC).repeated_packets, 0);
}

#[test]
fn reports_tell_the_loss_and_the_distance() {
    let mut link = Link::up(30, false);
    link.loss = 0.1;
    link.send(100, 1_500, false);
    let lost = 1_500 - link.received.len() as i64;
    let reports = &link.reports[0];
    assert!(reports.sent_trips.count >= 3, "{reports:?}");
    let fraction = reports.sent.fraction_lost.unwrap();
    assert!((0.04..=0.18).contains(&fraction), "{reports:?}");
    let told = reports.sent.lost.unwrap();
    assert!(told > lost / 2 && told <= lost, "{told} of {lost}");
    let round_trip = reports.sent_trips.last.unwrap().as_millis();
    assert!((55..=70).contains(&round_trip), "{round_trip} ms");
    assert!(reports.sent.jitter_ticks < 10 * 48, "{reports:?}");
    let received = &link.reports[1];
    assert!(received.sender_reports >= 3, "{received:?}");
    let (packets, bytes) = received.received.sent_by_peer.unwrap();
    assert!(packets > 700 && bytes == packets * 3, "{received:?}");
}
