//! The state of a connection behind its lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Instant,
};

use super::{
    PeerShared,
    channel::ChannelCore,
    engine::{self, Engine},
    handlers::Event,
    liveness::Liveness,
    network::{self, Dial, Found, LocalCandidate},
    reports::Path,
    transceiver::TransceiverCore,
};
use crate::{
    RtcError,
    ice_candidate::IceCandidate,
    peer_connection::{IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState},
    peer_connection_factory::{ContinualGatheringPolicy, RtcConfiguration},
    sdp::{
        self, Fingerprint, IceCredentials,
        candidate::{CandidateLine, Protocol},
    },
    session_description::SessionDescription,
};

/// Candidates of the peer that wait for the transport to begin. More than a peer has.
const MAX_WAITING_CANDIDATES: usize = 64;

/// Everything about a connection.
pub(super) struct State {
    /// Ourselves, for channels that the peer opens.
    pub(super) peer: Weak<PeerShared>,
    config: RtcConfiguration,
    is_closed: bool,
    pub(super) signaling: SignalingState,
    pub(super) gathering: IceGatheringState,
    pub(super) liveness: Liveness,
    /// The connection state last reported.
    reported: PeerConnectionState,
    negotiation_number: u32,

    pub(super) transceivers: Vec<Arc<TransceiverCore>>,
    pub(super) channels: Vec<Arc<ChannelCore>>,
    /// The sections of the descriptions in force, in order. They only ever grow.
    pub(super) sections: Vec<SectionSlot>,
    /// Sections that offers have proposed and no description in force contains yet.
    pub(super) proposed: Vec<(String, Arc<TransceiverCore>)>,

    pub(super) current_local: Option<SessionDescription>,
    pub(super) current_remote: Option<SessionDescription>,
    pub(super) pending_local: Option<SessionDescription>,
    pub(super) pending_remote: Option<SessionDescription>,
    /// Session id and next version of our descriptions.
    pub(super) origin: (u64, u64),

    pub(super) fingerprint: Fingerprint,
    pub(super) credentials: IceCredentials,
    /// Credentials of an offer or answer that begins ICE anew, until both sides have agreed.
    pub(super) next_credentials: Option<IceCredentials>,
    pub(super) remote_credentials: Option<IceCredentials>,
    pub(super) is_restart_wanted: bool,

    /// Boxed: channels and transceivers that outlive the connection keep the room of its state.
    pub(super) engine: Option<Box<Engine>>,
    /// Those in force, told or not.
    pub(super) local_candidates: Vec<LocalCandidate>,
    /// How often they were to be looked for.
    pub(super) gatherings: u64,
    /// How often ICE has begun anew.
    pub(super) ice_generation: u64,
    /// TCP candidates of the peer that the driver is to dial.
    pub(super) dials: Vec<Dial>,
    waiting_candidates: Vec<String>,
    /// Candidates of the peer that were too many.
    pub(super) refused_candidates: u64,

    /// What the driver is to tell the application.
    pub(super) events: VecDeque<Event>,
    pub(super) opened_channels: u32,
    pub(super) closed_channels: u32,
    /// The path in use, as last measured.
    pub(super) path: Option<Path>,
    pub(super) path_changes: u32,
}

/// One section of the descriptions in force.
pub(super) struct SectionSlot {
    pub(super) mid: String,
    pub(super) use_: SectionUse,
}

/// What a section is for.
#[derive(Clone)]
pub(super) enum SectionUse {
    Media(Arc<TransceiverCore>),
    Data,
    /// Refused, or of no kind known here.
    Unused(sdp::Kind),
}

impl State {
    pub(super) fn new(
        peer: Weak<PeerShared>,
        config: RtcConfiguration,
        fingerprint: Fingerprint,
    ) -> Self {
        Self {
            peer,
            config,
            is_closed: false,
            signaling: SignalingState::Stable,
            gathering: IceGatheringState::New,
            liveness: Liveness::new(Instant::now()),
            reported: PeerConnectionState::New,
            negotiation_number: 0,
            transceivers: Vec::new(),
            channels: Vec::new(),
            sections: Vec::new(),
            proposed: Vec::new(),
            current_local: None,
            current_remote: None,
            pending_local: None,
            pending_remote: None,
            // 63 bits: some readers take it for a signed number.
            origin: (rand::random::<u64>() >> 1, 1),
            fingerprint,
            credentials: engine::new_credentials(),
            next_credentials: None,
            remote_credentials: None,
            is_restart_wanted: false,
            engine: None,
            local_candidates: Vec::new(),
            gatherings: 0,
            ice_generation: 0,
            dials: Vec::new(),
            waiting_candidates: Vec::new(),
            refused_candidates: 0,
            events: VecDeque::new(),
            opened_channels: 0,
            closed_channels: 0,
            path: None,
            path_changes: 0,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn check_open(&self) -> Result<(), RtcError> {
        if self.is_closed {
            return Err(RtcError::invalid_state("the connection is closed"));
        }
        Ok(())
    }

    pub(super) fn set_configuration(&mut self, config: RtcConfiguration) -> Result<(), RtcError> {
        if config.enable_sctp_snap != self.config.enable_sctp_snap {
            return Err(RtcError::internal("enable_sctp_snap cannot change"));
        }
        self.config = config;
        Ok(())
    }

    /// The application is told once, however often this was so before it could be.
    pub(super) fn negotiation_needed(&mut self) {
        self.negotiation_number = self.negotiation_number.wrapping_add(1);
        let pending = self.events.iter_mut().find_map(|event| match event {
            Event::NegotiationNeeded(number) => Some(number),
            _ => None,
        });
        match pending {
            Some(number) => *number = self.negotiation_number,
            None => {
                let event = Event::NegotiationNeeded(self.negotiation_number);
                self.events.push_back(event);
            }
        }
    }

    pub(super) fn set_signaling(&mut self, signaling: SignalingState) {
        if self.signaling != signaling {
            self.signaling = signaling;
            self.events.push_back(Event::Signaling(signaling));
        }
    }

    /// Tells of the connection's state where it has changed.
    pub(super) fn report_liveness(&mut self) {
        let state = self.liveness.state();
        if state != self.reported {
            let (ice, old_ice) = (ice_state(state), ice_state(self.reported));
            self.reported = state;
            if ice != old_ice {
                self.events.push_back(Event::Ice(ice));
            }
            self.events.push_back(Event::Connection(state));
        }
    }

    pub(super) fn has_negotiated_channel(&self, id: i32) -> bool {
        use crate::data_channel::DataChannelState::{Connecting, Open};
        let is_live = |channel: &&Arc<ChannelCore>| matches!(channel.state(), Connecting | Open);
        self.channels
            .iter()
            .filter(is_live)
            .any(|channel| channel.is_negotiated_as(id))
    }

    pub(super) fn add_channel(&mut self, channel: &Arc<ChannelCore>) {
        self.channels.push(Arc::clone(channel));
        let has_section = self
            .sections
            .iter()
            .any(|slot| matches!(slot.use_, SectionUse::Data));
        if !has_section {
            self.negotiation_needed();
        }
    }

    /// The credentials of a description written now: new ones where ICE is to begin anew. Before
    /// there is a transport the first ones are as good as new.
    pub(super) fn credentials_to_write(&self, restart: bool) -> IceCredentials {
        if restart && self.engine.is_some() {
            return engine::new_credentials();
        }
        self.next_credentials
            .as_ref()
            .unwrap_or(&self.credentials)
            .clone()
    }

    /// Lets the driver look for candidates, anew where it has before.
    pub(super) fn gather(&mut self) {
        self.gatherings += 1;
        self.set_gathering(IceGatheringState::Gathering);
    }

    /// What is to be looked for.
    pub(super) fn gathering_plan(&self) -> network::Plan {
        let policy = self.config.continual_gathering_policy;
        network::Plan {
            policy: self.config.ice_transport_type,
            servers: self.config.ice_servers.clone(),
            is_continual: policy == ContinualGatheringPolicy::GatherContinually,
        }
    }

    /// Takes what the driver has found out about our side of the network.
    pub(super) fn on_found(&mut self, found: Found) {
        match found {
            Found::Candidate { candidate, is_told } => {
                if is_told {
                    self.tell_candidate(&candidate);
                }
                if !self.local_candidates.contains(&candidate) {
                    if let Some(engine) = &mut self.engine {
                        engine.add_local(&candidate);
                    }
                    self.local_candidates.push(candidate);
                }
            }
            Found::Lost(candidate) => {
                self.local_candidates.retain(|known| *known != candidate);
                if let Some(engine) = &mut self.engine {
                    engine.remove_local(&candidate);
                }
            }
            Found::Failed(error) => self.events.push_back(Event::CandidateError(error)),
            Found::Complete => self.set_gathering(IceGatheringState::Complete),
        }
    }

    fn tell_candidate(&mut self, candidate: &LocalCandidate) {
        let mid = self.sections.first().map_or("", |slot| slot.mid.as_str());
        if let Some(line) = engine::candidate_line(candidate) {
            let candidate = IceCandidate::new(mid, 0, &line);
            self.events.push_back(Event::Candidate(candidate));
        }
    }

    fn set_gathering(&mut self, gathering: IceGatheringState) {
        if self.gathering != gathering {
            self.gathering = gathering;
            self.events.push_back(Event::Gathering(gathering));
        }
    }

    pub(super) fn add_remote_candidate(
        &mut self,
        candidate: &IceCandidate,
    ) -> Result<(), RtcError> {
        if self.current_remote.is_none() && self.pending_remote.is_none() {
            return Err(RtcError::invalid_state(
                "there is no remote description yet",
            ));
        }
        self.use_remote_candidate(candidate.line());
        Ok(())
    }

    /// Hands a candidate to the transport, now or when it begins.
    pub(super) fn use_remote_candidate(&mut self, line: &str) {
        match sdp::candidate::parse(line) {
            Ok(candidate) if is_usable(&candidate) => {}
            Ok(_) | Err(_) => {
                log::debug!("candidate {line:?} is not used");
                return;
            }
        }
        // While an offer of the peer awaits our answer, its candidates may belong to a restart.
        let is_waiting = self.signaling == SignalingState::HaveRemoteOffer;
        match &self.engine {
            Some(_) if !is_waiting => self.hand_over_candidate(line),
            _ if self.waiting_candidates.len() < MAX_WAITING_CANDIDATES => {
                self.waiting_candidates.push(line.to_owned());
            }
            _ => self.refuse_candidate(),
        }
    }

    /// Says so for the first, and at the end how many there were: a peer can send them at any pace.
    fn refuse_candidate(&mut self) {
        if self.refused_candidates == 0 {
            log::warn!("the peer has too many candidates; those beyond are not used");
        }
        self.refused_candidates += 1;
    }

    pub(super) fn use_waiting_candidates(&mut self) {
        if self.engine.is_some() {
            for line in std::mem::take(&mut self.waiting_candidates) {
                self.hand_over_candidate(&line);
            }
        }
    }

    fn hand_over_candidate(&mut self, line: &str) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        if !engine.add_remote_candidate(line) {
            self.refuse_candidate();
        }
        if let Ok(CandidateLine {
            transport: Protocol::Tcp,
            address: Some(remote),
            ..
        }) = sdp::candidate::parse(line)
            && self.dials.len() < MAX_WAITING_CANDIDATES
        {
            let generation = self.ice_generation;
            self.dials.push(Dial { remote, generation });
        }
    }

    /// Lets the transport of a closed connection take its leave.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(engine) = self.engine.as_mut().filter(|_| self.is_closed) {
            engine.close();
        }
    }

    /// Ends everything but the farewell. Answers the transceivers, to be ended without the lock.
    pub(super) fn close(&mut self, now: Instant) -> Vec<Arc<TransceiverCore>> {
        self.is_closed = true;
        if self.refused_candidates > 0 {
            let count = self.refused_candidates;
            log::warn!("{count} candidates of the peer were too many and not used");
        }
        self.liveness.closed(now);
        self.reported = PeerConnectionState::Closed;
        self.signaling = SignalingState::Closed;
        // Channels still say that they close; the connection no longer says anything.
        self.events.retain(|event| {
            matches!(
                event,
                Event::ChannelState(..) | Event::ChannelMessage { .. } | Event::ChannelDrained(..)
            )
        });
        for channel in self.channels.drain(..) {
            channel.closed(&mut self.events);
        }
        // Those above may keep a closed connection for long; it should weigh little.
        self.sections = Vec::new();
        self.proposed = Vec::new();
        self.current_local = None;
        self.current_remote = None;
        self.pending_local = None;
        self.pending_remote = None;
        self.waiting_candidates = Vec::new();
        self.local_candidates = Vec::new();
        self.dials = Vec::new();
        self.channels = Vec::new();
        std::mem::take(&mut self.transceivers)
    }
}

/// Whether a candidate of the peer can be reached: by UDP, or by TCP where the peer waits for us.
fn is_usable(candidate: &CandidateLine) -> bool {
    let is_spoken = match candidate.transport {
        Protocol::Udp => true,
        Protocol::Tcp => candidate.is_passive,
        Protocol::Other => false,
    };
    is_spoken && candidate.address.is_some_and(network::is_usable)
}

/// The state of ICE that goes with a state of the whole.
pub(super) fn ice_state(state: PeerConnectionState) -> IceConnectionState {
    match state {
        PeerConnectionState::New => IceConnectionState::New,
        PeerConnectionState::Connecting => IceConnectionState::Checking,
        PeerConnectionState::Connected => IceConnectionState::Connected,
        PeerConnectionState::Disconnected => IceConnectionState::Disconnected,
        PeerConnectionState::Failed => IceConnectionState::Failed,
        PeerConnectionState::Closed => IceConnectionState::Closed,
    }
}
