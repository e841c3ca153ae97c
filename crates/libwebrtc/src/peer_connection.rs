//! A connection to one peer.

use std::{fmt, sync::Arc};

use crate::{
    MediaType, RtcError,
    data_channel::{DataChannel, DataChannelInit},
    ice_candidate::IceCandidate,
    media_stream::MediaStream,
    media_stream_track::MediaStreamTrack,
    peer::PeerGuard,
    peer_connection_factory::RtcConfiguration,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
    rtp_transceiver::{RtpTransceiver, RtpTransceiverDirection, RtpTransceiverInit},
    session_description::SessionDescription,
    stats::RtcStats,
};

/// The state of the connection as a whole.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum PeerConnectionState {
    /// Nothing was tried yet.
    New,
    /// ICE or DTLS is under way.
    Connecting,
    /// Media and data can flow.
    Connected,
    /// The peer has not been heard of for a while; may recover.
    Disconnected,
    /// Given up; only an ICE restart helps.
    Failed,
    /// Closed here.
    Closed,
}

/// The state of ICE.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceConnectionState {
    /// Nothing was tried yet.
    New,
    /// Looking for a path.
    Checking,
    /// A path was found; better ones are looked for.
    Connected,
    /// A path was found.
    Completed,
    /// No path.
    Failed,
    /// The path went silent.
    Disconnected,
    /// Closed here.
    Closed,
    /// Not a state.
    Max,
}

/// Whether local candidates are being looked for.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceGatheringState {
    /// Not yet.
    New,
    /// Now.
    Gathering,
    /// No more.
    Complete,
}

/// Where offer and answer stand.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum SignalingState {
    /// No negotiation is open.
    Stable,
    /// Our offer awaits an answer.
    HaveLocalOffer,
    /// Our provisional answer was given.
    HaveLocalPrAnswer,
    /// Their offer awaits our answer.
    HaveRemoteOffer,
    /// Their provisional answer was given.
    HaveRemotePrAnswer,
    /// Closed here.
    Closed,
}

/// How an offer is made.
#[derive(Debug, Clone, Default)]
pub struct OfferOptions {
    /// With new ICE credentials.
    pub ice_restart: bool,
    /// Ask for at least one audio section.
    pub offer_to_receive_audio: bool,
    /// Ask for at least one video section.
    pub offer_to_receive_video: bool,
}

/// How an answer is made.
#[derive(Debug, Clone, Default)]
pub struct AnswerOptions {}

/// Bounds of the bandwidth estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitrateSettings {
    /// Lower bound in bits per second.
    pub min_bitrate_bps: Option<u64>,
    /// Where the estimate starts.
    pub start_bitrate_bps: Option<u64>,
    /// Upper bound in bits per second.
    pub max_bitrate_bps: Option<u64>,
}

/// A failure to gather a candidate.
#[derive(Debug, Clone)]
pub struct IceCandidateError {
    /// Local address.
    pub address: String,
    /// Local port.
    pub port: i32,
    /// The server asked.
    pub url: String,
    /// STUN error code.
    pub error_code: i32,
    /// For people.
    pub error_text: String,
}

/// A remote track has begun.
#[derive(Debug, Clone)]
pub struct TrackEvent {
    /// Its receiver.
    pub receiver: RtpReceiver,
    /// The streams it is under.
    pub streams: Vec<MediaStream>,
    /// The track.
    pub track: MediaStreamTrack,
    /// Its transceiver.
    pub transceiver: RtpTransceiver,
}

/// Called on every change of [`PeerConnectionState`].
pub type OnConnectionChange = Box<dyn FnMut(PeerConnectionState) + Send + Sync>;
/// Called for every channel that the peer opens.
pub type OnDataChannel = Box<dyn FnMut(DataChannel) + Send + Sync>;
/// Called for every local candidate.
pub type OnIceCandidate = Box<dyn FnMut(IceCandidate) + Send + Sync>;
/// Called when a candidate could not be gathered.
pub type OnIceCandidateError = Box<dyn FnMut(IceCandidateError) + Send + Sync>;
/// Called on every change of [`IceConnectionState`].
pub type OnIceConnectionChange = Box<dyn FnMut(IceConnectionState) + Send + Sync>;
/// Called on every change of [`IceGatheringState`].
pub type OnIceGatheringChange = Box<dyn FnMut(IceGatheringState) + Send + Sync>;
/// Called when a change waits for an offer, with the number of the change.
pub type OnNegotiationNeeded = Box<dyn FnMut(u32) + Send + Sync>;
/// Called on every change of [`SignalingState`].
pub type OnSignalingChange = Box<dyn FnMut(SignalingState) + Send + Sync>;
/// Called when a remote track begins.
pub type OnTrack = Box<dyn FnMut(TrackEvent) + Send + Sync>;

/// A connection to one peer. Clones name the same connection; the last one dropped closes it.
#[derive(Clone)]
pub struct PeerConnection {
    pub(crate) peer: Arc<PeerGuard>,
}

impl PeerConnection {
    /// Replaces the configuration. ICE servers take effect with the next gathering.
    ///
    /// # Errors
    /// Where the connection is closed, or `enable_sctp_snap` would change.
    pub fn set_configuration(&self, config: RtcConfiguration) -> Result<(), RtcError> {
        self.peer.set_configuration(config)
    }

    /// Bounds the bandwidth estimate.
    ///
    /// # Errors
    /// Where the bounds contradict each other or the connection is closed.
    pub fn set_bitrate(&self, settings: BitrateSettings) -> Result<(), RtcError> {
        self.peer.set_bitrate(settings)
    }

    /// Makes an offer; nothing is applied.
    ///
    /// # Errors
    /// Where the connection is closed or an offer of the peer awaits an answer.
    pub async fn create_offer(
        &self,
        options: OfferOptions,
    ) -> Result<SessionDescription, RtcError> {
        self.peer.create_offer(&options)
    }

    /// Makes an answer to the offer that was set; nothing is applied.
    ///
    /// # Errors
    /// Where there is no offer to answer.
    pub async fn create_answer(
        &self,
        _options: AnswerOptions,
    ) -> Result<SessionDescription, RtcError> {
        self.peer.create_answer()
    }

    /// Applies an offer or answer of ours.
    ///
    /// # Errors
    /// Where it does not fit the state or the connection.
    pub async fn set_local_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        self.peer.set_local_description(desc)
    }

    /// Applies an offer or answer of the peer.
    ///
    /// # Errors
    /// Where it does not fit the state or the connection.
    pub async fn set_remote_description(&self, desc: SessionDescription) -> Result<(), RtcError> {
        self.peer.set_remote_description(desc)
    }

    /// Adds a candidate of the peer.
    ///
    /// # Errors
    /// Where there is no remote description or the candidate cannot be read.
    pub async fn add_ice_candidate(&self, candidate: IceCandidate) -> Result<(), RtcError> {
        self.peer.add_ice_candidate(&candidate)
    }

    /// Opens a data channel, now or as soon as there is a connection.
    ///
    /// # Errors
    /// Where the connection is closed or the id of a negotiated channel is taken.
    pub fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannel, RtcError> {
        self.peer.create_data_channel(label, init)
    }

    /// Adds a track to be sent, in a transceiver that has none or in a new one.
    ///
    /// # Errors
    /// Where the track cannot be sent, is being sent already, or the connection is closed.
    pub fn add_track<T: AsRef<str>>(
        &self,
        track: MediaStreamTrack,
        streams_ids: &[T],
    ) -> Result<RtpSender, RtcError> {
        let ids = streams_ids
            .iter()
            .map(|id| id.as_ref().to_owned())
            .collect();
        self.peer.add_track(track, ids)
    }

    /// Stops sending; the next offer says so.
    ///
    /// # Errors
    /// Where the sender belongs to another connection or this one is closed.
    pub fn remove_track(&self, sender: RtpSender) -> Result<(), RtcError> {
        self.peer.remove_track(&sender)
    }

    /// Statistics of the connection.
    ///
    /// # Errors
    /// None at present.
    pub async fn get_stats(&self) -> Result<Vec<RtcStats>, RtcError> {
        Ok(self.peer.stats())
    }

    /// Adds a transceiver that sends `track`.
    ///
    /// # Errors
    /// Where the track cannot be sent or the connection is closed.
    pub fn add_transceiver(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        self.peer.add_transceiver(track, init)
    }

    /// Adds a transceiver without a track.
    ///
    /// # Errors
    /// Where `media_type` is neither audio nor video or the connection is closed.
    pub fn add_transceiver_for_media(
        &self,
        media_type: MediaType,
        init: RtpTransceiverInit,
    ) -> Result<RtpTransceiver, RtcError> {
        self.peer.add_transceiver_for_media(media_type, init)
    }

    /// Closes the connection: tracks end, channels close, no more callbacks of the connection.
    pub fn close(&self) {
        self.peer.close();
    }

    /// Makes the next offer an ICE restart.
    pub fn restart_ice(&self) {
        self.peer.restart_ice();
    }

    /// The state of the whole.
    pub fn connection_state(&self) -> PeerConnectionState {
        self.peer.connection_state()
    }

    /// The state of ICE.
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.peer.ice_connection_state()
    }

    /// The state of gathering.
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.peer.ice_gathering_state()
    }

    /// The state of negotiation.
    pub fn signaling_state(&self) -> SignalingState {
        self.peer.signaling_state()
    }

    /// The local description last agreed on, as it was set: without candidates, which are
    /// trickled. None once closed.
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.peer.current_local_description()
    }

    /// The remote description last agreed on. None once closed.
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.peer.current_remote_description()
    }

    /// The senders of all transceivers that are not stopped; none once closed.
    pub fn senders(&self) -> Vec<RtpSender> {
        self.live_transceivers()
            .map(|transceiver| transceiver.sender())
            .collect()
    }

    /// The receivers of all transceivers that are not stopped; none once closed.
    pub fn receivers(&self) -> Vec<RtpReceiver> {
        self.live_transceivers()
            .map(|transceiver| transceiver.receiver())
            .collect()
    }

    /// All transceivers, in the order of their creation; none once closed.
    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        self.peer.transceivers()
    }

    fn live_transceivers(&self) -> impl Iterator<Item = RtpTransceiver> {
        let live = |t: &RtpTransceiver| t.direction() != RtpTransceiverDirection::Stopped;
        self.peer.transceivers().into_iter().filter(live)
    }

    /// Replaces the handler of connection states.
    pub fn on_connection_state_change(&self, f: Option<OnConnectionChange>) {
        self.peer.handlers().connection_change.set(f);
    }

    /// Replaces the handler of channels opened by the peer.
    pub fn on_data_channel(&self, f: Option<OnDataChannel>) {
        self.peer.handlers().data_channel.set(f);
    }

    /// Replaces the handler of local candidates.
    pub fn on_ice_candidate(&self, f: Option<OnIceCandidate>) {
        self.peer.handlers().ice_candidate.set(f);
    }

    /// Replaces the handler of candidates that could not be gathered.
    pub fn on_ice_candidate_error(&self, f: Option<OnIceCandidateError>) {
        self.peer.handlers().ice_candidate_error.set(f);
    }

    /// Replaces the handler of ICE states.
    pub fn on_ice_connection_state_change(&self, f: Option<OnIceConnectionChange>) {
        self.peer.handlers().ice_connection_change.set(f);
    }

    /// Replaces the handler of gathering states.
    pub fn on_ice_gathering_state_change(&self, f: Option<OnIceGatheringChange>) {
        self.peer.handlers().ice_gathering_change.set(f);
    }

    /// Replaces the handler of changes that wait for an offer.
    pub fn on_negotiation_needed(&self, f: Option<OnNegotiationNeeded>) {
        self.peer.handlers().negotiation_needed.set(f);
    }

    /// Replaces the handler of negotiation states.
    pub fn on_signaling_state_change(&self, f: Option<OnSignalingChange>) {
        self.peer.handlers().signaling_change.set(f);
    }

    /// Replaces the handler of remote tracks.
    pub fn on_track(&self, f: Option<OnTrack>) {
        self.peer.handlers().track.set(f);
    }
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnection")
            .field("state", &self.connection_state())
            .field("ice_state", &self.ice_connection_state())
            .finish()
    }
}
