//! str0m behind the few verbs that a connection needs. The only module that names it.
//!
//! It runs in RTP mode over the direct API: packets in and out, negotiation done by the caller.
//! Errors that str0m reports are of two kinds: a packet that does not fit (ignored, as any socket
//! gets those) and an engine that is beyond help (reported).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, CandidateKind, Event as RtcEvent, IceConnectionState as Str0mIce, IceCreds, Input,
    Output, Rtc, RtcError as Str0mError,
    channel::{ChannelConfig, Reliability},
    config::{CryptoProvider, DtlsCert, Fingerprint as Str0mFingerprint},
    crypto::from_feature_flags,
    format::{Codec, FormatParams},
    media::{Frequency, MediaKind},
    net::{Protocol, Receive, TcpType},
    rtp::{Extension, ExtensionMap, ExtensionValues, RtpWrite, Ssrc},
    stats::{MediaEgressStats, MediaIngressStats},
};
pub(super) use str0m::{channel::ChannelId, media::Mid};

use super::{
    network::{Arrival, Departure, LocalCandidate, Origin, Transport},
    reports::{Path, ReceivedReport, Report, SentReport},
    retransmission::{SentPackets, SentStats, rtp_header},
};
use crate::{
    RtcError,
    audio::EncodedFrame,
    data_channel::DataChannelInit,
    sdp::{Fingerprint, IceCredentials},
    stats::IceCandidateType,
};

/// Bytes that SCTP may hold unacknowledged. More waits in the channels' own queues; this much
/// fills a path of 100 Mbit/s at 20 ms.
const SCTP_BUFFER: usize = 256 * 1024;

/// Longest pause between checks of a path in use, and so the grain at which silence is noticed.
/// str0m's default is 3 s, which makes one lost packet look like an outage of 6 s.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Most candidates of the peer at a time. Each is checked from each of our addresses.
const MAX_REMOTE_CANDIDATES: usize = 64;

/// The header extensions understood, by URI.
///
/// Not among them: the transport-wide sequence number, and the feedback that goes with it. It is
/// what senders of video learn the bandwidth from. Audio takes what it needs whatever that is, and
/// feedback ten to twenty times a second each way would add a third to its packets, and the books
/// about them 90 kB to a connection. Loss and round trip come with the reports of RTCP.
const EXTENSIONS: [(&str, Extension); 2] = [
    (
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        Extension::AudioLevel,
    ),
    ("urn:ietf:params:rtp-hdrext:sdes:mid", Extension::RtpMid),
];

/// Highest id of an extension in the one-byte form. Source: RFC 8285, section 4.2.
const MAX_EXTENSION_ID: u8 = 14;

/// Payload types that descriptions hand out freely. Source: RFC 3551, section 6, and for the
/// lower ones RFC 8829, section 5.1.1.
const DYNAMIC_PAYLOAD_TYPES: [std::ops::RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// Under which str0m repeats packets. Nobody hands it out, and no packet leaves with it: see
/// [`super::retransmission`].
const REPEATED_PAYLOAD_TYPE: u8 = 64;

/// How often str0m tells what it has counted: as often as anybody asks.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// With a longer way there and back, what is asked for comes too late to be played: people talk
/// over each other where packets are held for so long.
const MAX_ROUND_TRIP_TO_ASK: Duration = Duration::from_millis(150);

/// The certificate of this process, and the crypto library behind it.
struct Identity {
    provider: Arc<CryptoProvider>,
    certificate: DtlsCert,
    fingerprint: Fingerprint,
}

/// One certificate for all connections of the process: making one costs more than a handshake.
fn identity() -> Result<&'static Identity, RtcError> {
    static IDENTITY: OnceLock<Option<Identity>> = OnceLock::new();
    let make = || {
        let provider = Arc::new(from_feature_flags());
        let certificate = provider.dtls_provider.generate_certificate()?;
        let digest = provider
            .sha256_provider
            .sha256(&certificate.certificate)
            .to_vec();
        let fingerprint = Fingerprint {
            hash: "sha-256".to_owned(),
            digest,
        };
        Some(Identity {
            provider,
            certificate,
            fingerprint,
        })
    };
    let identity = IDENTITY.get_or_init(make).as_ref();
    identity.ok_or_else(|| RtcError::internal("no DTLS certificate could be made"))
}

/// The fingerprint of this process' certificate.
pub(super) fn local_fingerprint() -> Result<Fingerprint, RtcError> {
    Ok(identity()?.fingerprint.clone())
}

/// New random ICE credentials.
pub(super) fn new_credentials() -> IceCredentials {
    let IceCreds { ufrag, pass } = IceCreds::new();
    IceCredentials { ufrag, pwd: pass }
}

/// A candidate of ours as str0m has it; none where it takes the address for no good.
fn str0m_candidate(local: &LocalCandidate) -> Option<Candidate> {
    let address = local.address;
    let candidate = match (local.origin, local.transport) {
        (Origin::Host, Transport::Udp) => Candidate::host(address, "udp"),
        (Origin::Host, Transport::Tcp) => {
            let active = Candidate::builder().tcp().host(address);
            active.tcptype(TcpType::Active).build()
        }
        (Origin::Reflexive, _) => Candidate::server_reflexive(address, local.base, "udp"),
        (Origin::Relayed, _) => Candidate::relayed(address, address, "udp"),
    };
    candidate.ok()
}

/// A candidate of ours as descriptions and trickle carry it.
pub(super) fn candidate_line(local: &LocalCandidate) -> Option<String> {
    let candidate = str0m_candidate(local)?;
    let line = candidate.to_sdp_string();
    Some(
        line.strip_prefix("a=")
            .unwrap_or(&line)
            .trim_end()
            .to_owned(),
    )
}

/// The extensions of `offered` that are understood.
pub(super) fn supported_extensions(offered: &[(u8, String)]) -> Vec<(u8, String)> {
    let supported = |(id, uri): &&(u8, String)| {
        (1..=MAX_EXTENSION_ID).contains(id) && EXTENSIONS.iter().any(|(known, _)| known == uri)
    };
    offered.iter().filter(supported).cloned().collect()
}

/// The extensions of our own offers.
pub(super) fn own_extensions() -> Vec<(u8, String)> {
    (1..)
        .zip(EXTENSIONS)
        .map(|(id, (uri, _))| (id, uri.to_owned()))
        .collect()
}

/// What has to be known before a connection can begin.
pub(super) struct Setup<'a> {
    pub(super) local: &'a IceCredentials,
    pub(super) remote: &'a IceCredentials,
    pub(super) remote_fingerprint: &'a Fingerprint,
    /// Whether we choose the candidate pair.
    pub(super) controlling: bool,
    /// Whether we open the DTLS handshake.
    pub(super) dtls_active: bool,
    pub(super) extensions: &'a [(u8, String)],
}

/// The state of ICE, as far as anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IceState {
    Checking,
    Connected,
    Disconnected,
}

/// An RTP packet received.
pub(super) struct RtpIn {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    /// Extended beyond 16 bits.
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) header_bytes: usize,
    pub(super) payload: Arc<[u8]>,
}

/// What comes out.
pub(super) enum EngineOutput {
    /// Nothing until then.
    Wait(Instant),
    Packet(Departure),
    /// ICE and DTLS are done.
    Secured,
    Ice(IceState),
    Rtp(RtpIn),
    /// News for statistics, about a section where it names one.
    Report {
        section: Option<Mid>,
        report: Report,
    },
    ChannelOpen {
        id: ChannelId,
        label: String,
    },
    ChannelData {
        id: ChannelId,
        data: Vec<u8>,
        binary: bool,
    },
    ChannelClosed(ChannelId),
    /// The peer has closed.
    Closed,
}

/// Datagrams that crossed a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) packets_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) packets_received: u64,
    pub(super) bytes_received: u64,
}

/// A connection's transport: ICE, DTLS, SRTP, SCTP.
pub(super) struct Engine {
    rtc: Rtc,
    extensions: Vec<(u8, String)>,
    remote_fingerprint: Fingerprint,
    dtls_active: bool,
    is_controlling: bool,
    remote_candidates: Vec<Candidate>,
    /// Our TCP connections. A peer takes each for one beginning of ICE only.
    local_tcp: Vec<Candidate>,
    /// The section that an SSRC came in.
    mids: HashMap<u32, Mid>,
    /// Sections in which lost packets are asked for again.
    asking: Vec<Mid>,
    is_far_away: bool,
    sent: Vec<SentPackets>,
    traffic: Traffic,
    is_closing: bool,
    is_closed_by_peer: bool,
}

impl Engine {
    pub(super) fn new(now: Instant, setup: &Setup<'_>) -> Result<Self, RtcError> {
        let identity = identity()?;
        let mut extensions = ExtensionMap::empty();
        for (id, uri) in setup.extensions {
            if let Some((_, extension)) = EXTENSIONS.iter().find(|(known, _)| known == uri) {
                extensions.set(*id, extension.clone());
            }
        }
        let mut config = Rtc::builder()
            .set_crypto_provider(Arc::clone(&identity.provider))
            .set_dtls_cert(identity.certificate.clone())
            .set_local_ice_credentials(str0m_credentials(setup.local))
            .set_rtp_mode(true)
            .set_sctp_max_buffered_amount(SCTP_BUFFER)
            .set_stats_interval(Some(REPORT_INTERVAL))
            .clear_codecs()
            .set_extension_map(extensions);
        config.set_max_stun_rto(MAX_CHECK_INTERVAL);
        for payload_type in DYNAMIC_PAYLOAD_TYPES.into_iter().flatten() {
            // Sections may number Opus differently and later ones are not known yet, while codecs
            // are fixed from here on. Which number a section uses is checked by the receiver.
            config.codec_config().add_config(
                payload_type.into(),
                Some(REPEATED_PAYLOAD_TYPE.into()),
                Codec::Opus,
                Frequency::FORTY_EIGHT_KHZ,
                Some(2),
                FormatParams::default(),
            );
        }
        let mut rtc = config.build(now);
        let mut api = rtc.direct_api();
        api.set_ice_controlling(setup.controlling);
        api.set_remote_ice_credentials(str0m_credentials(setup.remote));
        api.set_remote_fingerprint(Str0mFingerprint {
            hash_func: setup.remote_fingerprint.hash.clone(),
            bytes: setup.remote_fingerprint.digest.clone(),
        });
        api.start_dtls(setup.dtls_active)
            .map_err(|error| RtcError::internal(format!("DTLS cannot start: {error}")))?;
        Ok(Self {
            rtc,
            extensions: setup.extensions.to_vec(),
            remote_fingerprint: setup.remote_fingerprint.clone(),
            dtls_active: setup.dtls_active,
            is_controlling: setup.controlling,
            remote_candidates: Vec::new(),
            local_tcp: Vec::new(),
            mids: HashMap::new(),
            asking: Vec::new(),
            is_far_away: false,
            sent: Vec::new(),
            traffic: Traffic::default(),
            is_closing: false,
            is_closed_by_peer: false,
        })
    }

    /// The header extensions in force; they cannot change.
    pub(super) fn extensions(&self) -> &[(u8, String)] {
        &self.extensions
    }

    pub(super) fn is_controlling(&self) -> bool {
        self.is_controlling
    }

    /// Whether we open the DTLS handshake.
    pub(super) fn is_dtls_client(&self) -> bool {
        self.dtls_active
    }

    /// What sort of candidate of the peer's an address is; one that it never told of is reflexive.
    pub(super) fn kind_of_remote(&self, address: SocketAddr) -> IceCandidateType {
        let told = self.remote_candidates.iter().find(|c| c.addr() == address);
        match told.map(Candidate::kind) {
            Some(CandidateKind::Host) => IceCandidateType::Host,
            Some(CandidateKind::ServerReflexive) => IceCandidateType::Srflx,
            Some(CandidateKind::Relayed) => IceCandidateType::Relay,
            Some(CandidateKind::PeerReflexive) | None => IceCandidateType::Prflx,
        }
    }

    /// The certificate that the peer was to show; it cannot change.
    pub(super) fn remote_fingerprint(&self) -> &Fingerprint {
        &self.remote_fingerprint
    }

    pub(super) fn add_local(&mut self, local: &LocalCandidate) {
        let Some(candidate) = str0m_candidate(local) else {
            return;
        };
        if local.transport == Transport::Tcp {
            self.local_tcp.push(candidate.clone());
        }
        self.rtc.add_local_candidate(candidate);
    }

    /// Nothing comes or goes by this one any more.
    pub(super) fn remove_local(&mut self, local: &LocalCandidate) {
        if let Some(candidate) = str0m_candidate(local) {
            self.local_tcp.retain(|known| *known != candidate);
            self.rtc.direct_api().invalidate_candidate(&candidate);
        }
    }

    /// Adds a candidate of the peer; lines that cannot be used are ignored.
    pub(super) fn add_remote_candidate(&mut self, line: &str) {
        match Candidate::from_sdp_string(line) {
            Ok(_) if self.remote_candidates.len() >= MAX_REMOTE_CANDIDATES => {
                log::warn!("the peer has too many candidates");
            }
            Ok(candidate) => {
                self.remote_candidates.push(candidate.clone());
                self.rtc.add_remote_candidate(candidate);
            }
            Err(error) => log::debug!("candidate {line:?} is not used: {error}"),
        }
    }

    /// Begins anew with ICE; the old path is used until there is a new one.
    pub(super) fn restart_ice(&mut self, local: &IceCredentials, remote: &IceCredentials) {
        let mut api = self.rtc.direct_api();
        let old = self.remote_candidates.drain(..);
        for candidate in old.chain(self.local_tcp.drain(..)) {
            api.invalidate_candidate(&candidate);
        }
        api.set_local_ice_credentials(str0m_credentials(local));
        api.set_remote_ice_credentials(str0m_credentials(remote));
    }

    /// Starts SCTP; doing so again changes nothing.
    pub(super) fn start_sctp(&mut self) {
        let client = self.dtls_active;
        self.rtc.direct_api().start_sctp(client);
    }

    pub(super) fn open_channel(&mut self, label: &str, init: &DataChannelInit) -> ChannelId {
        let limit = |value: i32| u16::try_from(value.max(0)).unwrap_or(u16::MAX);
        let reliability = match (init.max_retransmits, init.max_retransmit_time) {
            (Some(retransmits), _) => Reliability::MaxRetransmits {
                retransmits: limit(retransmits),
            },
            (None, Some(ms)) => Reliability::MaxPacketLifetime {
                lifetime: limit(ms),
            },
            (None, None) => Reliability::Reliable,
        };
        self.rtc.direct_api().create_data_channel(ChannelConfig {
            label: label.to_owned(),
            ordered: init.ordered,
            reliability,
            negotiated: if init.negotiated {
                u16::try_from(init.id).ok()
            } else {
                None
            },
            protocol: init.protocol.clone(),
        })
    }

    pub(super) fn close_channel(&mut self, id: ChannelId) {
        self.rtc.direct_api().close_data_channel(id);
    }

    /// The stream id of a channel, once it has one.
    pub(super) fn stream_id(&mut self, id: ChannelId) -> Option<u16> {
        self.rtc.direct_api().sctp_stream_id_by_channel_id(id)
    }

    /// Hands a message to SCTP. `Ok(false)`: there is no room now.
    pub(super) fn write(
        &mut self,
        id: ChannelId,
        binary: bool,
        data: &[u8],
    ) -> Result<bool, RtcError> {
        let Some(mut channel) = self.rtc.channel(id) else {
            return Ok(false);
        };
        channel
            .write(binary, data)
            .map_err(|error| RtcError::internal(format!("SCTP refuses a message: {error}")))
    }

    /// Bytes of a channel that SCTP holds.
    pub(super) fn buffered(&mut self, id: ChannelId) -> usize {
        self.rtc
            .channel(id)
            .map_or(0, |mut channel| channel.buffered_amount())
    }

    /// Expects audio in a section, from these sources or, where none is named, from any that
    /// carries the section's mid. Asks for what was lost, if that was agreed on and pays.
    pub(super) fn receive_audio(&mut self, mid: &str, ssrcs: &[u32], asks_again: bool) {
        let mid = self.declare_audio(mid);
        self.asking.retain(|asking| *asking != mid);
        if asks_again {
            self.asking.push(mid);
        }
        for ssrc in ssrcs {
            self.rtc
                .direct_api()
                .expect_stream_rx((*ssrc).into(), None, mid, None);
            self.mids.insert(*ssrc, mid);
        }
        self.ask_where_it_pays();
    }

    fn ask_where_it_pays(&mut self) {
        for (ssrc, mid) in &self.mids {
            let pays = self.asking.contains(mid) && !self.is_far_away;
            if let Some(stream) = self.rtc.direct_api().stream_rx(&Ssrc::from(*ssrc)) {
                stream.suppress_nack(!pays);
            }
        }
    }

    /// No longer expects these sources.
    pub(super) fn stop_receiving(&mut self, ssrcs: &[u32]) {
        for ssrc in ssrcs {
            self.rtc.direct_api().remove_stream_rx((*ssrc).into());
            self.mids.remove(ssrc);
        }
    }

    /// Makes room for what we send in a section, and for sending it again where the peer may ask.
    pub(super) fn send_audio(&mut self, mid: &str, ssrc: u32, repeats: bool) {
        let mid = self.declare_audio(mid);
        let known = self.sent.iter_mut().find(|sent| sent.ssrc == ssrc);
        if known
            .as_ref()
            .is_some_and(|sent| sent.alias.is_some() == repeats)
        {
            return;
        }
        let alias = repeats.then(|| rand::random_range(1..=u32::MAX));
        let mut api = self.rtc.direct_api();
        match known {
            Some(sent) => {
                // str0m takes notice of the alias only in a new stream.
                sent.alias = alias;
                api.remove_stream_tx(ssrc.into());
            }
            None => self.sent.push(SentPackets::new(ssrc, alias)),
        }
        api.declare_stream_tx(ssrc.into(), alias.map(Ssrc::from), mid, None);
    }

    pub(super) fn stop_sending(&mut self, ssrc: u32) {
        self.sent.retain(|sent| sent.ssrc != ssrc);
        self.rtc.direct_api().remove_stream_tx(ssrc.into());
    }

    /// What became of a stream's packets on their way out.
    pub(super) fn sent(&self, ssrc: u32) -> SentStats {
        let sent = self.sent.iter().find(|sent| sent.ssrc == ssrc);
        sent.map(|sent| sent.stats).unwrap_or_default()
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What leaves in place of a datagram of str0m's; `None` where nothing does.
    fn on_its_way(&mut self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let Some(header) = rtp_header(&datagram) else {
            return Some(datagram);
        };
        for sent in &mut self.sent {
            if sent.ssrc == header.ssrc {
                sent.sent(&header, &datagram);
            } else if sent.alias == Some(header.ssrc) {
                return sent.repeated(&header);
            }
        }
        Some(datagram)
    }

    fn declare_audio(&mut self, mid: &str) -> Mid {
        let mid = Mid::from(mid);
        if self.rtc.media(mid).is_none() {
            self.rtc.direct_api().declare_media(mid, MediaKind::Audio);
        }
        mid
    }

    /// The section that a source belongs to, by what descriptions or its packets say. As str0m
    /// writes it: compare with [`Self::same_section`].
    pub(super) fn section_of(&mut self, ssrc: u32) -> Option<Mid> {
        if let Some(mid) = self.mids.get(&ssrc) {
            return Some(*mid);
        }
        let mid = self.rtc.direct_api().stream_rx(&Ssrc::from(ssrc))?.mid();
        self.mids.insert(ssrc, mid);
        self.ask_where_it_pays();
        Some(mid)
    }

    /// Whether `mid` of a description is the section found by [`Self::section_of`].
    pub(super) fn same_section(found: &Mid, mid: &str) -> bool {
        *found == Mid::from(mid)
    }

    /// Queues a packet; it leaves with the next timeout.
    pub(super) fn write_rtp(&mut self, now: Instant, header: &RtpOut, frame: &EncodedFrame<'_>) {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&header.ssrc.into()) else {
            return;
        };
        // RFC 6464 counts down from 0, str0m up to it.
        let level = -i8::try_from(frame.audio_level_dbov).unwrap_or(i8::MAX);
        let extensions = ExtensionValues {
            audio_level: Some(level),
            voice_activity: Some(frame.voice_activity),
            ..ExtensionValues::default()
        };
        stream.write_rtp(
            RtpWrite::new(
                header.payload_type.into(),
                header.sequence.into(),
                header.timestamp,
                now,
                frame.payload,
            )
            .marker(frame.marker)
            .nackable(header.is_repeatable)
            .ext_vals(extensions),
        );
    }

    /// Takes a datagram and answers whether it belongs here. What does not parse is ignored.
    pub(super) fn receive(&mut self, now: Instant, arrival: &Arrival<'_>) -> bool {
        let Arrival {
            transport,
            source,
            destination,
            bytes,
        } = *arrival;
        let protocol = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let Ok(datagram) = Receive::new(protocol, source, destination, bytes) else {
            return false;
        };
        let input = Input::Receive(now, datagram);
        if !self.rtc.accepts(&input) {
            return false;
        }
        self.traffic.packets_received += 1;
        self.traffic.bytes_received += bytes.len() as u64;
        if let Err(error) = self.rtc.handle_input(input) {
            log::debug!("a datagram from {source} was refused: {error}");
        }
        true
    }

    /// Moves time forward; after every change, or nothing begins.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            log::debug!("a timer of the transport failed: {error}");
        }
    }

    /// The next thing to do; to be called until it says `Wait`.
    ///
    /// # Errors
    /// Where the transport is beyond help, e.g. because the peer shows another certificate.
    pub(super) fn poll(&mut self) -> Result<EngineOutput, RtcError> {
        loop {
            let output = match self.rtc.poll_output() {
                Ok(output) => output,
                // The peer has closed before SCTP was up, which then refuses to be shut down.
                Err(Str0mError::Sctp(_)) if !self.is_closed_by_peer => {
                    self.is_closed_by_peer = true;
                    return Ok(EngineOutput::Closed);
                }
                Err(error) => return Err(RtcError::internal(error.to_string())),
            };
            let event = match output {
                Output::Timeout(at) => return Ok(EngineOutput::Wait(at)),
                Output::Transmit(transmit) => {
                    let Some(bytes) = self.on_its_way(transmit.contents.into()) else {
                        continue;
                    };
                    self.traffic.packets_sent += 1;
                    self.traffic.bytes_sent += bytes.len() as u64;
                    return Ok(EngineOutput::Packet(Departure {
                        transport: match transmit.proto {
                            Protocol::Udp => Transport::Udp,
                            Protocol::Tcp | Protocol::SslTcp | Protocol::Tls => Transport::Tcp,
                        },
                        source: transmit.source,
                        destination: transmit.destination,
                        bytes,
                    }));
                }
                Output::Event(event) => event,
            };
            if let Some(output) = translate(event) {
                self.heed_distance(&output);
                return Ok(output);
            }
        }
    }

    fn heed_distance(&mut self, output: &EngineOutput) {
        let EngineOutput::Report {
            report: Report::Path(path),
            ..
        } = output
        else {
            return;
        };
        let is_far_away = path
            .round_trip
            .is_some_and(|round_trip| round_trip > MAX_ROUND_TRIP_TO_ASK);
        if is_far_away != self.is_far_away {
            self.is_far_away = is_far_away;
            self.ask_where_it_pays();
        }
    }

    /// Says goodbye: BYE and close_notify come out of the next polls. To be called again with
    /// every turn, for SCTP refuses while it is being established.
    pub(super) fn close(&mut self) {
        if !self.is_closing {
            match self.rtc.close() {
                Ok(()) => self.is_closing = true,
                Err(error) => log::debug!("the transport does not close yet: {error}"),
            }
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }
}

/// What is written before an Opus packet.
pub(super) struct RtpOut {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    /// Whether the peer may ask for it again.
    pub(super) is_repeatable: bool,
}

fn translate(event: RtcEvent) -> Option<EngineOutput> {
    Some(match event {
        RtcEvent::Connected => EngineOutput::Secured,
        RtcEvent::IceConnectionStateChange(state) => EngineOutput::Ice(match state {
            Str0mIce::New | Str0mIce::Checking => IceState::Checking,
            Str0mIce::Connected | Str0mIce::Completed => IceState::Connected,
            Str0mIce::Disconnected => IceState::Disconnected,
        }),
        RtcEvent::RtpPacket(packet) => EngineOutput::Rtp(RtpIn {
            ssrc: *packet.header.ssrc,
            payload_type: *packet.header.payload_type,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            header_bytes: packet.header.header_len,
            payload: packet.payload,
        }),
        RtcEvent::MediaEgressStats(stats) => EngineOutput::Report {
            section: Some(stats.mid),
            report: Report::Sent(sent_report(&stats)),
        },
        RtcEvent::MediaIngressStats(stats) => EngineOutput::Report {
            section: Some(stats.mid),
            report: Report::Received(received_report(&stats)),
        },
        RtcEvent::SenderFeedback(feedback) => EngineOutput::Report {
            section: Some(feedback.mid),
            report: Report::Sender {
                at: feedback.sender_info.ntp_time,
            },
        },
        RtcEvent::PeerStats(stats) => {
            let pair = stats.selected_candidate_pair?;
            EngineOutput::Report {
                section: None,
                report: Report::Path(Path {
                    protocol: pair.protocol.into(),
                    local: pair.local.addr,
                    remote: pair.remote.addr,
                    round_trip: pair.current_round_trip_time,
                    total_round_trip: pair.total_round_trip_time,
                    responses: pair.responses_received,
                }),
            }
        }
        RtcEvent::ChannelOpen(id, label) => EngineOutput::ChannelOpen { id, label },
        RtcEvent::ChannelData(message) => EngineOutput::ChannelData {
            id: message.id,
            data: message.data,
            binary: message.binary,
        },
        RtcEvent::ChannelClose(id) => EngineOutput::ChannelClosed(id),
        RtcEvent::Closed => EngineOutput::Closed,
        _ => return None,
    })
}

fn str0m_credentials(credentials: &IceCredentials) -> IceCreds {
    IceCreds {
        ufrag: credentials.ufrag.clone(),
        pass: credentials.pwd.clone(),
    }
}

fn sent_report(stats: &MediaEgressStats) -> SentReport {
    // 24 bits with a sign that str0m leaves where they are. Source: RFC 3550, section 6.4.1.
    let signed = |lost: u64| i64::from(((lost as u32) << 8).cast_signed() >> 8);
    let remote = stats.remote.as_ref();
    SentReport {
        fraction_lost: stats.loss,
        lost: remote.map(|remote| signed(remote.packets_lost)),
        jitter_ticks: remote.map_or(0, |remote| remote.jitter),
        round_trip: stats.rtt,
        nacks: stats.nacks,
    }
}

fn received_report(stats: &MediaIngressStats) -> ReceivedReport {
    ReceivedReport {
        nacks: stats.nacks,
        sent_by_peer: stats.remote.as_ref().map(|r| (r.packets, r.bytes)),
        round_trip: stats.rtt,
    }
}
