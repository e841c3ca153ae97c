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

pub(super) use str0m::channel::ChannelId;
use str0m::{
    Candidate, Event as RtcEvent, IceConnectionState as Str0mIce, IceCreds, Input, Output, Rtc,
    RtcError as Str0mError,
    channel::{ChannelConfig, Reliability},
    config::{CryptoProvider, DtlsCert, Fingerprint as Str0mFingerprint},
    crypto::from_feature_flags,
    format::{Codec, FormatParams},
    media::{Frequency, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::{Extension, ExtensionMap, ExtensionValues, RtpWrite, Ssrc},
};

use crate::{
    RtcError,
    audio::EncodedFrame,
    data_channel::DataChannelInit,
    sdp::{Fingerprint, IceCredentials},
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
const EXTENSIONS: [(&str, Extension); 3] = [
    (
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        Extension::AudioLevel,
    ),
    (
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        Extension::TransportSequenceNumber,
    ),
    ("urn:ietf:params:rtp-hdrext:sdes:mid", Extension::RtpMid),
];

/// Highest id of an extension in the one-byte form. Source: RFC 8285, section 4.2.
const MAX_EXTENSION_ID: u8 = 14;

/// Payload types that descriptions hand out freely. Source: RFC 3551, section 6.
const DYNAMIC_PAYLOAD_TYPES: std::ops::RangeInclusive<u8> = 96..=127;

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

/// A host candidate as descriptions and trickle carry it.
pub(super) fn candidate_line(address: SocketAddr) -> Option<String> {
    let candidate = Candidate::host(address, "udp").ok()?;
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
    pub(super) payload: Arc<[u8]>,
}

/// What comes out.
pub(super) enum EngineOutput {
    /// Nothing until then.
    Wait(Instant),
    Datagram {
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    /// ICE and DTLS are done.
    Secured,
    Ice(IceState),
    Rtp(RtpIn),
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

/// A connection's transport: ICE, DTLS, SRTP, SCTP.
pub(super) struct Engine {
    rtc: Rtc,
    extensions: Vec<(u8, String)>,
    remote_fingerprint: Fingerprint,
    dtls_active: bool,
    remote_candidates: Vec<Candidate>,
    /// The section that an SSRC came in.
    mids: HashMap<u32, Mid>,
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
            .clear_codecs()
            .set_extension_map(extensions);
        config.set_max_stun_rto(MAX_CHECK_INTERVAL);
        for payload_type in DYNAMIC_PAYLOAD_TYPES {
            // Sections may number Opus differently and later ones are not known yet, while codecs
            // are fixed from here on. Which number a section uses is checked by the receiver.
            config.codec_config().add_config(
                payload_type.into(),
                None,
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
        api.enable_twcc_feedback();
        api.start_dtls(setup.dtls_active)
            .map_err(|error| RtcError::internal(format!("DTLS cannot start: {error}")))?;
        Ok(Self {
            rtc,
            extensions: setup.extensions.to_vec(),
            remote_fingerprint: setup.remote_fingerprint.clone(),
            dtls_active: setup.dtls_active,
            remote_candidates: Vec::new(),
            mids: HashMap::new(),
            is_closing: false,
            is_closed_by_peer: false,
        })
    }

    /// The header extensions in force; they cannot change.
    pub(super) fn extensions(&self) -> &[(u8, String)] {
        &self.extensions
    }

    /// The certificate that the peer was to show; it cannot change.
    pub(super) fn remote_fingerprint(&self) -> &Fingerprint {
        &self.remote_fingerprint
    }

    pub(super) fn add_local_address(&mut self, address: SocketAddr) {
        if let Ok(candidate) = Candidate::host(address, "udp") {
            self.rtc.add_local_candidate(candidate);
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
        for candidate in self.remote_candidates.drain(..) {
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
    /// carries the section's mid.
    pub(super) fn receive_audio(&mut self, mid: &str, ssrcs: &[u32]) {
        let mid = self.declare_audio(mid);
        for ssrc in ssrcs {
            self.rtc
                .direct_api()
                .expect_stream_rx((*ssrc).into(), None, mid, None);
            self.mids.insert(*ssrc, mid);
        }
    }

    /// No longer expects these sources.
    pub(super) fn stop_receiving(&mut self, ssrcs: &[u32]) {
        for ssrc in ssrcs {
            self.rtc.direct_api().remove_stream_rx((*ssrc).into());
            self.mids.remove(ssrc);
        }
    }

    /// Makes room for what we send in a section.
    pub(super) fn send_audio(&mut self, mid: &str, ssrc: u32) {
        let mid = self.declare_audio(mid);
        self.rtc
            .direct_api()
            .declare_stream_tx(ssrc.into(), None, mid, None);
    }

    pub(super) fn stop_sending(&mut self, ssrc: u32) {
        self.rtc.direct_api().remove_stream_tx(ssrc.into());
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
            .ext_vals(extensions),
        );
    }

    /// Takes a datagram and answers whether it belongs here. What does not parse is ignored.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let Ok(datagram) = Receive::new(Protocol::Udp, source, destination, bytes) else {
            return false;
        };
        let input = Input::Receive(now, datagram);
        if !self.rtc.accepts(&input) {
            return false;
        }
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
                    return Ok(EngineOutput::Datagram {
                        source: transmit.source,
                        destination: transmit.destination,
                        bytes: transmit.contents.into(),
                    });
                }
                Output::Event(event) => event,
            };
            if let Some(output) = translate(event) {
                return Ok(output);
            }
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
            payload: packet.payload,
        }),
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
