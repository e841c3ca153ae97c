//! str0m behind the few verbs that a connection needs. The only module that names it (but for
//! [`super::stream_limit`]), by its concerns: candidates, channels, streams, and what comes out.
//!
//! It runs in RTP mode over the direct API: packets in and out, negotiation done by the caller.
//! Errors that str0m reports are of two kinds: a packet that does not fit (ignored, as any socket
//! gets those) and an engine that is beyond help (reported).

mod candidates;
mod channels;
mod extensions;
mod identity;
mod output;
mod streams;

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Input, Output, Rtc, RtcError as Str0mError,
    config::{CryptoProvider, Fingerprint as Str0mFingerprint},
    format::{Codec, FormatParams},
    media::Frequency,
    net::{Protocol, Receive},
};
pub(super) use str0m::{channel::ChannelId, media::Mid};

pub(super) use self::{
    candidates::candidate_line,
    extensions::{own_extensions, supported_extensions},
    identity::{local_fingerprint, new_credentials},
    output::{EngineOutput, IceState, RtpIn},
    streams::RtpOut,
};
use self::{
    extensions::str0m_extensions,
    identity::{Identity, identity, str0m_credentials},
    output::translate,
};
use super::{
    network::{Arrival, Departure, Transport},
    retransmission::SentPackets,
};
use crate::{
    RtcError,
    sdp::{Fingerprint, IceCredentials},
};

/// Bytes that SCTP may hold unacknowledged. More waits in the channels' own queues; this much
/// fills a path of 100 Mbit/s at 20 ms.
const SCTP_BUFFER: usize = 256 * 1024;

/// Longest pause between checks of a path in use, and so the grain at which silence is noticed.
/// str0m's default is 3 s, which makes one lost packet look like an outage of 6 s.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Addresses that the peer may send checks from without having told of them. str0m forgets none,
/// and answers each; a connection that needs more of them is made anew.
const MAX_UNTOLD_ADDRESSES: usize = 64;

/// Payload types that descriptions hand out freely. Source: RFC 3551, section 6, and for the
/// lower ones RFC 8829, section 5.1.1.
const DYNAMIC_PAYLOAD_TYPES: [std::ops::RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// Under which str0m repeats packets. Nobody hands it out, and no packet leaves with it: see
/// [`super::retransmission`].
const REPEATED_PAYLOAD_TYPE: u8 = 64;

/// How often str0m tells what it has counted: as often as anybody asks.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Where no peer is.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

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
    candidates_ever: usize,
    /// Where the peer has sent checks from without ever telling.
    untold: Vec<SocketAddr>,
    /// Our TCP connections. A peer takes each for one beginning of ICE only.
    local_tcp: Vec<Candidate>,
    /// The section that an SSRC came in.
    mids: HashMap<u32, Mid>,
    sources_ever: HashSet<u32>,
    /// Sections in which lost packets are asked for again.
    asking: HashSet<Mid>,
    is_far_away: bool,
    sent: Vec<SentPackets>,
    traffic: Traffic,
    is_closing: bool,
    is_closed_by_peer: bool,
}

impl Engine {
    pub(super) fn new(now: Instant, setup: &Setup<'_>) -> Result<Self, RtcError> {
        let identity = identity()?;
        Self::with_crypto(now, setup, Arc::clone(&identity.provider), identity)
    }

    /// A transport over other cryptography than the process'.
    #[cfg(any(test, fuzzing))]
    pub(super) fn over(
        now: Instant,
        setup: &Setup<'_>,
        crypto: Arc<CryptoProvider>,
    ) -> Result<Self, RtcError> {
        Self::with_crypto(now, setup, crypto, identity()?)
    }

    fn with_crypto(
        now: Instant,
        setup: &Setup<'_>,
        crypto: Arc<CryptoProvider>,
        identity: &Identity,
    ) -> Result<Self, RtcError> {
        let mut config = Rtc::builder()
            .set_crypto_provider(crypto)
            .set_dtls_cert(identity.certificate.clone())
            .set_local_ice_credentials(str0m_credentials(setup.local))
            .set_rtp_mode(true)
            .set_sctp_max_buffered_amount(SCTP_BUFFER)
            .set_stats_interval(Some(REPORT_INTERVAL))
            .clear_codecs()
            .set_extension_map(str0m_extensions(setup.extensions));
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
            candidates_ever: 0,
            untold: Vec::new(),
            local_tcp: Vec::new(),
            mids: HashMap::new(),
            sources_ever: HashSet::new(),
            asking: HashSet::new(),
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

    /// The certificate that the peer was to show; it cannot change.
    pub(super) fn remote_fingerprint(&self) -> &Fingerprint {
        &self.remote_fingerprint
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Takes a datagram. What does not parse is ignored. Answers whether it is a check of the
    /// path that only the peer can have made; of all else that comes, the rest of this module says
    /// whether it could be decrypted.
    pub(super) fn receive(&mut self, now: Instant, arrival: &Arrival<'_>) -> bool {
        let Arrival {
            transport,
            source,
            destination,
            bytes,
        } = *arrival;
        let is_check = is_stun(bytes);
        // str0m lets everything pass that seems to come from where the peer is; a check from
        // elsewhere has to be genuine.
        let seen_from = if is_check { ELSEWHERE } else { source };
        let protocol = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let datagram = |from| {
            let datagram = Receive::new(protocol, from, destination, bytes);
            datagram.map(|datagram| Input::Receive(now, datagram))
        };
        let (Ok(seen), Ok(input)) = (datagram(seen_from), datagram(source)) else {
            return false;
        };
        if !self.rtc.accepts(&seen) || !self.may_be_new(source, bytes) {
            return false;
        }
        self.traffic.packets_received += 1;
        self.traffic.bytes_received += bytes.len() as u64;
        if let Err(error) = self.rtc.handle_input(input) {
            log::debug!("a datagram from {source} was refused: {error}");
        }
        is_check
    }

    /// Notes where the peer sends checks from. Answers whether they are to be looked at.
    fn may_be_new(&mut self, source: SocketAddr, bytes: &[u8]) -> bool {
        let is_known = |told: &Candidate| told.addr() == source;
        if !is_request(bytes)
            || self.untold.contains(&source)
            || self.remote_candidates.iter().any(is_known)
        {
            return true;
        }
        let has_room = self.untold.len() < MAX_UNTOLD_ADDRESSES;
        if has_room {
            self.untold.push(source);
        }
        has_room
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
                self.heed_source(&output)?;
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

/// Whether it is a message of STUN, if anything. Source: RFC 7983, section 7.
fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < 4)
}

/// Whether it is a request of STUN. Source: RFC 8489, section 5.
fn is_request(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 1])
}
