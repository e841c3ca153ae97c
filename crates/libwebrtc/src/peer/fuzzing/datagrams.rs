//! Datagrams of a hostile peer to a connection that is up, or coming up, with one that is not
//! hostile.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    descriptions::{channel, connection, transceiver_of},
    open_crypto::{self, TAG},
    sctp::{Sctp, Side, checksum},
};
use crate::{
    audio::EncodedFrame,
    data_channel::DataChannelInit,
    fuzzing::Input,
    peer::{
        channel::MAX_CHANNELS,
        engine::{self, ChannelId, Engine, EngineOutput, RtpOut, Setup},
        network::{Arrival, LocalCandidate, Transport},
        state::State,
        stats,
        transceiver::{MediaKind, TransceiverCore},
    },
    rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit},
    sdp::{Fingerprint, IceCredentials},
    session_description::{SdpType, SessionDescription},
};

/// What one input may do: more says nothing new and takes the fuzzer's time.
const MAX_STEPS: usize = 200;

/// Rounds that a connection may take to come up.
const MAX_ROUNDS: usize = 200;

/// The stream of the channel that both sides know of beforehand.
const NEGOTIATED: i32 = 100;

/// The source that the answer names.
const SSRC: u32 = 77;

/// Whom datagrams come from.
const OURS: &str = "192.0.2.1:5000";
pub(in crate::peer) const THEIRS: &str = "192.0.2.2:5000";

pub(in crate::peer) struct Link {
    pub(in crate::peer) state: State,
    /// The peer that is not hostile; a fuzzer speaks in its name too.
    pub(in crate::peer) peer: Engine,
    now: Instant,
    to_us: VecDeque<Vec<u8>>,
    /// What we sent, and where to.
    pub(in crate::peer) from_us: VecDeque<(SocketAddr, Vec<u8>)>,
    credentials: [IceCredentials; 2],
    is_peer_up: bool,
    pub(in crate::peer) sctp: Sctp,
    sent: Option<ChannelId>,
    audio: Arc<TransceiverCore>,
    /// Packets of ours.
    packets: u64,
}

/// Begins a connection, and does with it what the input says.
pub fn datagrams(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let mut link = Link::new(how & 1 == 0);
    if how & 2 == 0 {
        link.come_up();
    }
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        link.step(&mut input);
        link.check();
    }
    link.pass(Duration::from_secs(5));
    stats::connection(&link.state);
    let transceivers = link.state.close(link.now);
    transceivers
        .iter()
        .for_each(|transceiver| transceiver.end());
    link.pass(Duration::from_millis(100));
}

fn answer(credentials: &IceCredentials, fingerprint: &Fingerprint, ssrc: u32) -> String {
    let IceCredentials { ufrag, pwd } = credentials;
    format!(
        "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=fingerprint:{fingerprint}\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=setup:active\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n\
         a=rtcp-fb:111 nack\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
         a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a=msid:stream track\r\na=ssrc:{ssrc} cname:x\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\na=sctp-port:5000\r\n"
    )
}

impl Link {
    pub(in crate::peer) fn new(is_open: bool) -> Self {
        let now = Instant::now();
        let mut state = connection();
        let audio = speaker(&mut state);
        let credentials = [state.credentials.clone(), engine::new_credentials()];
        let fingerprint = if is_open {
            open_crypto::fingerprint()
        } else {
            engine::local_fingerprint().expect("a certificate")
        };
        let extensions = engine::own_extensions();
        let begin = |end: usize| {
            let setup = Setup {
                local: &credentials[end],
                remote: &credentials[1 - end],
                remote_fingerprint: &fingerprint,
                controlling: end == 0,
                dtls_active: end == 1,
                extensions: &extensions,
            };
            let engine = if is_open {
                Engine::over(now, &setup, open_crypto::provider())
            } else {
                Engine::new(now, &setup)
            };
            engine.expect("a transport")
        };
        let [ours, theirs] = [OURS, THEIRS].map(host);
        let mut peer = begin(1);
        peer.add_local(&theirs);
        peer.add_remote_candidate(&engine::candidate_line(&ours).expect("a line"));
        peer.receive_audio("0", &[audio.ssrc()], true);
        peer.send_audio("0", SSRC, true);
        peer.start_sctp();
        let mut engine = begin(0);
        engine.add_local(&ours);
        state.engine = Some(Box::new(engine));
        state.remote_credentials = Some(credentials[1].clone());
        state.liveness.started(now);
        channel(&mut state, "ours", None);
        channel(&mut state, "negotiated", Some(NEGOTIATED));
        let offer = state.create_offer(false).expect("an offer");
        state
            .set_local_offer(offer)
            .expect("an offer that is taken");
        let mut link = Self {
            state,
            peer,
            now,
            to_us: VecDeque::new(),
            from_us: VecDeque::new(),
            is_peer_up: false,
            sctp: Sctp::default(),
            sent: None,
            credentials,
            audio,
            packets: 0,
        };
        link.answer(&fingerprint, SSRC);
        let candidate = engine::candidate_line(&theirs).expect("a line");
        link.state.use_remote_candidate(&candidate);
        link
    }

    fn answer(&mut self, fingerprint: &Fingerprint, ssrc: u32) {
        let text = answer(&self.credentials[1], fingerprint, ssrc);
        let answer = SessionDescription::parse(&text, SdpType::Answer).expect("an answer");
        let taken = self.state.set_remote_answer(answer);
        assert!(taken.is_ok(), "{taken:?}");
    }

    pub(in crate::peer) fn come_up(&mut self) {
        for _ in 0..MAX_ROUNDS {
            self.pass(Duration::from_millis(20));
            if self.is_peer_up && self.state.channels.iter().all(|channel| channel.id() >= 0) {
                self.pass(Duration::from_millis(100));
                return;
            }
        }
        panic!("the connection does not come up");
    }

    /// Time passes, and everything arrives.
    pub(in crate::peer) fn pass(&mut self, time: Duration) {
        self.now += time;
        // Each side answers the other; a bound on it is a bound on what they answer with.
        for _ in 0..50 {
            self.drive();
            if self.to_us.is_empty() && self.from_us.is_empty() {
                return;
            }
            for datagram in std::mem::take(&mut self.to_us) {
                self.hear(THEIRS, &datagram);
            }
            for (to, datagram) in std::mem::take(&mut self.from_us) {
                if to != at(THEIRS) {
                    continue;
                }
                let arrival = arrival(OURS, THEIRS, &datagram);
                self.peer.receive(self.now, &arrival);
                self.drain_peer();
            }
        }
    }

    fn drive(&mut self) {
        self.state.say_goodbye();
        if let Some(engine) = &mut self.state.engine {
            engine.tick(self.now);
        }
        self.drain();
        if self.state.advance_channels()
            && let Some(engine) = &mut self.state.engine
        {
            engine.tick(self.now);
        }
        self.drain();
        self.state.liveness.tick(self.now);
        self.state.events.clear();
        self.peer.tick(self.now);
        self.drain_peer();
    }

    /// The peer is not what is tested: where its own transport gives up, it says nothing more.
    fn drain_peer(&mut self) {
        for _ in 0..10_000 {
            match self.peer.poll() {
                Ok(EngineOutput::Wait(_)) | Err(_) => return,
                Ok(EngineOutput::Packet(departure)) => {
                    self.sctp.overhear(&departure.bytes, Side::Theirs);
                    self.to_us.push_back(departure.bytes);
                }
                Ok(EngineOutput::Secured) => self.is_peer_up = true,
                Ok(_) => {}
            }
        }
    }

    fn drain(&mut self) {
        while let Some(engine) = &mut self.state.engine {
            match engine.poll() {
                Ok(EngineOutput::Wait(_)) => return,
                Ok(EngineOutput::Packet(departure)) => {
                    self.sctp.overhear(&departure.bytes, Side::Ours);
                    self.from_us
                        .push_back((departure.destination, departure.bytes));
                }
                Ok(output) => self.state.on_transport(self.now, output),
                Err(_) => {
                    self.state.liveness.broken(self.now);
                    self.state.engine = None;
                }
            }
        }
    }

    /// Time passes, and nothing arrives.
    pub(in crate::peer) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.drive();
    }

    /// A datagram reaches us.
    pub(in crate::peer) fn hear(&mut self, source: &str, datagram: &[u8]) {
        let arrival = arrival(source, OURS, datagram);
        if let Some(engine) = &mut self.state.engine
            && engine.receive(self.now, &arrival)
        {
            self.state.liveness.heard(self.now);
        }
        self.drain();
    }

    pub(in crate::peer) fn step(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        match what % 13 {
            0 => {
                let piece = input.piece();
                self.hear(THEIRS, piece);
            }
            1 => {
                let (at, flip, cut) = (input.word(), input.byte(), input.byte());
                if let Some(mut datagram) = self.to_us.pop_front() {
                    let index = usize::from(at) % datagram.len().max(1);
                    if let Some(byte) = datagram.get_mut(index) {
                        *byte ^= flip;
                    }
                    datagram.truncate(datagram.len().saturating_sub(usize::from(cut) % 64));
                    self.hear(THEIRS, &datagram);
                }
            }
            2 => {
                let (source, message) = self.stun(input);
                self.hear(&source, &message);
            }
            3 => self.hear(THEIRS, &[input.piece(), &TAG].concat()),
            4 => self.hear(THEIRS, &rtp(input)),
            5 => self.hear(THEIRS, &rtcp(input, self.audio.ssrc())),
            6 => {
                let packet = self.sctp.packet(input);
                self.hear(THEIRS, &packet);
            }
            7 => {
                let time = Duration::from_millis(input.word().into());
                self.pass(time);
            }
            8 => {
                // What the peer says waits for a step of the sort 1.
                self.wait(Duration::from_millis(input.byte().into()));
                self.from_us.clear();
                self.to_us.truncate(MAX_STEPS);
            }
            9 => self.hear(THEIRS, &[&[20 + what / 13], input.piece()].concat()),
            10 => self.peer_channels(what / 13, input),
            11 => self.renegotiate(input),
            _ => self.speak(input.byte()),
        }
    }

    /// We send some packets, which the peer may report on and ask for again.
    fn speak(&mut self, count: u8) {
        for _ in 0..=count % 8 {
            self.packets += 1;
            let header = RtpOut {
                ssrc: self.audio.ssrc(),
                payload_type: 111,
                sequence: self.packets,
                timestamp: self.packets as u32 * 960,
                is_repeatable: count & 8 == 0,
            };
            let frame = EncodedFrame {
                payload: &[72, count, 1],
                rtp_ticks: 960,
                audio_level_dbov: 30,
                voice_activity: true,
                marker: false,
            };
            if let Some(engine) = &mut self.state.engine {
                engine.write_rtp(self.now, &header, &frame);
            }
            self.now += Duration::from_millis(20);
            self.drive();
        }
    }

    /// The peer opens channels, and says something in them.
    fn peer_channels(&mut self, what: u8, input: &mut Input<'_>) {
        let label = "p".repeat(usize::from(what) * 8);
        match self.sent {
            Some(id) if what.is_multiple_of(2) => {
                // No room is as good as room.
                let _ = self.peer.write(id, what.is_multiple_of(4), input.piece());
            }
            _ => self.sent = Some(self.peer.open_channel(&label, &DataChannelInit::default())),
        }
    }

    /// Another offer of ours, and an answer that names another source.
    fn renegotiate(&mut self, input: &mut Input<'_>) {
        let ssrc = SSRC + u32::from(input.byte() % 4);
        let Some(engine) = &self.state.engine else {
            return;
        };
        let fingerprint = engine.remote_fingerprint().clone();
        if let Ok(offer) = self.state.create_offer(false)
            && self.state.set_local_offer(offer).is_ok()
        {
            self.answer(&fingerprint, ssrc);
        }
    }

    /// A message with everything that makes it count, and with attributes of the input.
    pub(in crate::peer) fn stun(&self, input: &mut Input<'_>) -> (String, Vec<u8>) {
        let (class, port) = (input.byte(), input.byte());
        let source = match port {
            0..=0x7F => THEIRS.to_owned(),
            _ => format!("192.0.2.3:{}", 5_000 + u16::from(port)),
        };
        let mut attributes = Vec::new();
        let [ours, theirs] = &self.credentials;
        if class & 4 == 0 {
            let username = format!("{}:{}", ours.ufrag, theirs.ufrag);
            attribute(&mut attributes, 0x0006, username.as_bytes());
            attribute(&mut attributes, 0x0024, &input.long().to_be_bytes());
        }
        if class & 8 == 0 {
            attribute(&mut attributes, 0x802A, &[input.byte(); 8]);
        }
        if class & 16 == 0 {
            attribute(&mut attributes, 0x0025, &[]);
        }
        attributes.extend_from_slice(input.piece());
        attribute(&mut attributes, 0x0008, &[0; 20]);
        let kind: u16 = [0x0001, 0x0101, 0x0111, 0x0011][usize::from(class % 4)];
        let mut message = kind.to_be_bytes().to_vec();
        let length = u16::try_from(attributes.len() + 8).unwrap_or_default();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        message.extend_from_slice(&[port; 12]);
        message.extend_from_slice(&attributes);
        let check = checksum(&message, 0xEDB8_8320) ^ 0x5354_554E;
        attribute(&mut message, 0x8028, &check.to_be_bytes());
        (source, message)
    }

    /// What holds whatever comes.
    fn check(&self) {
        assert!(self.state.channels.len() <= MAX_CHANNELS);
        assert!(self.state.events.len() <= 10_000);
        assert!(self.from_us.len() <= 10_000, "{}", self.from_us.len());
    }
}

fn host(address: &str) -> LocalCandidate {
    LocalCandidate::host(Transport::Udp, at(address))
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn arrival<'a>(source: &str, destination: &str, bytes: &'a [u8]) -> Arrival<'a> {
    Arrival {
        transport: Transport::Udp,
        source: at(source),
        destination: at(destination),
        bytes,
    }
}

fn speaker(state: &mut State) -> Arc<TransceiverCore> {
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendRecv,
        stream_ids: Vec::new(),
        send_encodings: Vec::new(),
    };
    transceiver_of(state, MediaKind::Audio, init, None)
}

/// A media packet of the section or of none, from a source that is known or new.
fn rtp(input: &mut Input<'_>) -> Vec<u8> {
    let (what, kind) = (input.byte(), input.byte());
    let ssrc = match what % 4 {
        0 => SSRC,
        1 => SSRC + u32::from(kind % 8),
        2 => input.long(),
        _ => 0,
    };
    let payload_type = [111, 63, 64, kind & 0x7F][usize::from(what >> 2) % 4];
    let padding = if what & 0x20 == 0 { 0 } else { 0x20 };
    let mut packet = vec![0x90 | padding, payload_type];
    packet.extend_from_slice(&input.word().to_be_bytes());
    packet.extend_from_slice(&input.long().to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    if what & 0x40 == 0 {
        // The section's mid, a level and something that was not agreed on.
        let [high, low] = input.word().to_be_bytes();
        packet.extend_from_slice(&[0xBE, 0xDE, 0, 2]);
        packet.extend_from_slice(&[0x20, b'0', 0x10, 0x85, 0x31, high, low, 0]);
    } else {
        let words = input.byte() % 8;
        packet.extend_from_slice(&[0xBE, 0xDE, 0, words]);
        let mut extension = input.take(usize::from(words) * 4).to_vec();
        extension.resize(usize::from(words) * 4, 0);
        packet.extend_from_slice(&extension);
    }
    packet.extend_from_slice(input.piece());
    packet.extend_from_slice(&TAG);
    packet
}

/// Reports and feedback, several in one packet.
fn rtcp(input: &mut Input<'_>, ours: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    for _ in 0..=input.byte() % 3 {
        let (count, kind) = (input.byte(), input.byte());
        let mut body = input.piece().to_vec();
        body.resize(body.len().next_multiple_of(4).max(4), 0);
        if let (0, Some(about)) = (kind & 0x40, body.get_mut(4..8)) {
            // Where reports and requests name the stream that they are about.
            about.copy_from_slice(&ours.to_be_bytes());
        }
        let words = match kind & 0x80 {
            0 => u16::try_from(body.len() / 4).unwrap_or_default(),
            _ => input.word(),
        };
        packet.extend_from_slice(&[0x80 | (count & 0x3F), 200 + kind % 8]);
        packet.extend_from_slice(&words.to_be_bytes());
        packet.extend_from_slice(&body);
    }
    packet.extend_from_slice(&TAG);
    packet.extend_from_slice(&[0x80, 0, 0, 1]);
    packet
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend_from_slice(&kind.to_be_bytes());
    to.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}
