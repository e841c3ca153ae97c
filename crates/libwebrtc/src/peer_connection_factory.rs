//! Where connections and local tracks come from.

use std::fmt;

use crate::{
    MediaType, RtcError, crypto,
    native::device_state::DeviceState,
    peer::{PeerGuard, capabilities},
    peer_connection::PeerConnection,
    rtp_parameters::RtpCapabilities,
};

/// A STUN or TURN server.
#[derive(Clone)]
pub struct IceServer {
    /// `stun:…`, `turn:…` or `turns:…`.
    pub urls: Vec<String>,
    /// TURN user.
    pub username: String,
    /// TURN password.
    pub password: String,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// Whether new network paths are looked for after the first gathering.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum ContinualGatheringPolicy {
    /// No.
    GatherOnce,
    /// Yes.
    GatherContinually,
}

/// Which candidates may be used.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum IceTransportsType {
    /// Relayed ones only.
    Relay,
    /// All but those of our own interfaces.
    NoHost,
    /// All.
    All,
}

/// How a connection is made. Take the default and change fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RtcConfiguration {
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Whether new network paths are looked for after the first gathering.
    pub continual_gathering_policy: ContinualGatheringPolicy,
    /// Which candidates may be used.
    pub ice_transport_type: IceTransportsType,
    /// SCTP handshake data in the description. Accepted; this engine does not offer it.
    pub enable_sctp_snap: bool,
}

impl Default for RtcConfiguration {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            continual_gathering_policy: ContinualGatheringPolicy::GatherContinually,
            ice_transport_type: IceTransportsType::All,
            enable_sctp_snap: false,
        }
    }
}

/// Where connections and local tracks come from. It holds no resources of its own. Making one
/// chooses the process' implementation of cryptography for rustls, where the process has not.
#[derive(Clone)]
pub struct PeerConnectionFactory {
    devices: DeviceState,
}

impl Default for PeerConnectionFactory {
    fn default() -> Self {
        crypto::choose_provider();
        Self {
            devices: DeviceState::default(),
        }
    }
}

impl fmt::Debug for PeerConnectionFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConnectionFactory")
            .finish_non_exhaustive()
    }
}

impl PeerConnectionFactory {
    /// A factory for connections that show video at once. There is no video here, so it is the
    /// default one.
    pub fn with_zero_playout_delay() -> Self {
        Self::default()
    }

    /// A factory with options that concern video playout and handshake acceleration. This engine
    /// has neither and negotiates without them.
    pub fn with_options(_zero_playout_delay: bool, _enable_warp: bool) -> Self {
        Self::default()
    }

    /// A new connection.
    ///
    /// # Errors
    /// Where the engine's runtime or the process' certificate could not be made.
    pub fn create_peer_connection(
        &self,
        config: RtcConfiguration,
    ) -> Result<PeerConnection, RtcError> {
        Ok(PeerConnection {
            peer: PeerGuard::new(config)?,
        })
    }

    /// What can be sent.
    pub fn get_rtp_sender_capabilities(&self, media_type: MediaType) -> RtpCapabilities {
        capabilities(media_type)
    }

    /// What can be received.
    pub fn get_rtp_receiver_capabilities(&self, media_type: MediaType) -> RtpCapabilities {
        capabilities(media_type)
    }
}

/// Local tracks and audio devices.
pub mod native {
    use super::PeerConnectionFactory;
    use crate::{
        audio_source::native::NativeAudioSource, audio_track::RtcAudioTrack,
        video_source::native::NativeVideoSource, video_track::RtcVideoTrack,
    };

    /// Local tracks, and the audio devices of the machine: this engine opens none, so there are
    /// zero of each and nothing can be selected, initialised or started.
    pub trait PeerConnectionFactoryExt {
        /// A video track fed by `source`. It can be published and stays dark.
        fn create_video_track(&self, label: &str, source: NativeVideoSource) -> RtcVideoTrack;
        /// An audio track fed by `source`.
        fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack;
        /// An audio track fed by a microphone: silent, since there is none.
        fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack;
        /// How many speakers there are.
        fn playout_devices(&self) -> i16;
        /// How many microphones there are.
        fn recording_devices(&self) -> i16;
        /// Name of a speaker.
        fn playout_device_name(&self, index: u16) -> String;
        /// Name of a microphone.
        fn recording_device_name(&self, index: u16) -> String;
        /// Stable id of a speaker.
        fn playout_device_guid(&self, index: u16) -> String;
        /// Stable id of a microphone.
        fn recording_device_guid(&self, index: u16) -> String;
        /// Selects a speaker by index.
        fn set_playout_device(&self, index: u16) -> bool;
        /// Selects a microphone by index.
        fn set_recording_device(&self, index: u16) -> bool;
        /// Selects a speaker by id.
        fn set_playout_device_by_guid(&self, guid: &str) -> bool;
        /// Selects a microphone by id.
        fn set_recording_device_by_guid(&self, guid: &str) -> bool;
        /// Stops the microphone.
        fn stop_recording(&self) -> bool;
        /// Prepares the microphone.
        fn init_recording(&self) -> bool;
        /// Starts the microphone.
        fn start_recording(&self) -> bool;
        /// Whether the microphone is prepared.
        fn recording_is_initialized(&self) -> bool;
        /// Stops the speaker.
        fn stop_playout(&self) -> bool;
        /// Prepares the speaker.
        fn init_playout(&self) -> bool;
        /// Starts the speaker.
        fn start_playout(&self) -> bool;
        /// Whether the speaker is prepared.
        fn playout_is_initialized(&self) -> bool;
        /// Whether the hardware cancels echo.
        fn builtin_aec_is_available(&self) -> bool;
        /// Whether the hardware controls gain.
        fn builtin_agc_is_available(&self) -> bool;
        /// Whether the hardware suppresses noise.
        fn builtin_ns_is_available(&self) -> bool;
        /// Switches the hardware's echo cancellation.
        fn enable_builtin_aec(&self, enable: bool) -> bool;
        /// Switches the hardware's gain control.
        fn enable_builtin_agc(&self, enable: bool) -> bool;
        /// Switches the hardware's noise suppression.
        fn enable_builtin_ns(&self, enable: bool) -> bool;
        /// Allows or forbids the microphone.
        fn set_adm_recording_enabled(&self, enabled: bool);
        /// Whether the microphone is allowed.
        fn adm_recording_enabled(&self) -> bool;
        /// Allows or forbids the speaker.
        fn set_adm_playout_enabled(&self, enabled: bool);
        /// Whether the speaker is allowed.
        fn adm_playout_enabled(&self) -> bool;
        /// Takes hold of the machine's audio devices: never succeeds.
        fn acquire_platform_adm(&self) -> bool;
        /// Lets go of the machine's audio devices.
        fn release_platform_adm(&self);
        /// How many hold the machine's audio devices.
        fn platform_adm_ref_count(&self) -> i32;
        /// Whether anybody holds the machine's audio devices.
        fn is_platform_adm_active(&self) -> bool;
    }

    /// Says once per call what this engine does not do.
    fn no_devices() -> bool {
        log::warn!("this engine does not open audio devices; feed a NativeAudioSource instead");
        false
    }

    impl PeerConnectionFactoryExt for PeerConnectionFactory {
        fn create_video_track(&self, label: &str, source: NativeVideoSource) -> RtcVideoTrack {
            RtcVideoTrack::local(label, source)
        }

        fn create_audio_track(&self, label: &str, source: NativeAudioSource) -> RtcAudioTrack {
            RtcAudioTrack::local(label, source)
        }

        fn create_device_audio_track(&self, label: &str) -> RtcAudioTrack {
            no_devices();
            RtcAudioTrack::silent(label)
        }

        fn playout_devices(&self) -> i16 {
            0
        }

        fn recording_devices(&self) -> i16 {
            0
        }

        fn playout_device_name(&self, _index: u16) -> String {
            String::new()
        }

        fn recording_device_name(&self, _index: u16) -> String {
            String::new()
        }

        fn playout_device_guid(&self, _index: u16) -> String {
            String::new()
        }

        fn recording_device_guid(&self, _index: u16) -> String {
            String::new()
        }

        fn set_playout_device(&self, _index: u16) -> bool {
            no_devices()
        }

        fn set_recording_device(&self, _index: u16) -> bool {
            no_devices()
        }

        fn set_playout_device_by_guid(&self, _guid: &str) -> bool {
            no_devices()
        }

        fn set_recording_device_by_guid(&self, _guid: &str) -> bool {
            no_devices()
        }

        fn stop_recording(&self) -> bool {
            true
        }

        fn init_recording(&self) -> bool {
            no_devices()
        }

        fn start_recording(&self) -> bool {
            no_devices()
        }

        fn recording_is_initialized(&self) -> bool {
            false
        }

        fn stop_playout(&self) -> bool {
            true
        }

        fn init_playout(&self) -> bool {
            no_devices()
        }

        fn start_playout(&self) -> bool {
            no_devices()
        }

        fn playout_is_initialized(&self) -> bool {
            false
        }

        fn builtin_aec_is_available(&self) -> bool {
            false
        }

        fn builtin_agc_is_available(&self) -> bool {
            false
        }

        fn builtin_ns_is_available(&self) -> bool {
            false
        }

        fn enable_builtin_aec(&self, _enable: bool) -> bool {
            false
        }

        fn enable_builtin_agc(&self, _enable: bool) -> bool {
            false
        }

        fn enable_builtin_ns(&self, _enable: bool) -> bool {
            false
        }

        fn set_adm_recording_enabled(&self, enabled: bool) {
            self.devices.set_recording(enabled);
        }

        fn adm_recording_enabled(&self) -> bool {
            self.devices.recording()
        }

        fn set_adm_playout_enabled(&self, enabled: bool) {
            self.devices.set_playout(enabled);
        }

        fn adm_playout_enabled(&self) -> bool {
            self.devices.playout()
        }

        fn acquire_platform_adm(&self) -> bool {
            no_devices()
        }

        fn release_platform_adm(&self) {}

        fn platform_adm_ref_count(&self) -> i32 {
            0
        }

        fn is_platform_adm_active(&self) -> bool {
            false
        }
    }
}
