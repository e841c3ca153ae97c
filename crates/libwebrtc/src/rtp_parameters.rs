//! What is sent and received, and how: codecs, header extensions, encodings.

use crate::rtp_transceiver::RtpTransceiverDirection;

/// How important a stream is beside the others.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Priority {
    /// Below everything else.
    VeryLow,
    /// The default.
    Low,
    /// Above the default.
    Medium,
    /// Above everything else.
    High,
}

/// What a video encoder gives up first when the network is short.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum DegradationPreference {
    /// Keep both frame rate and resolution; frames may be dropped before encoding.
    MaintainFramerateAndResolution,
    /// Give up resolution.
    MaintainFramerate,
    /// Give up frame rate.
    MaintainResolution,
    /// Give up some of both.
    #[default]
    Balanced,
}

impl DegradationPreference {
    /// The older name of [`Self::MaintainFramerateAndResolution`].
    #[deprecated(since = "0.8.0", note = "Use MaintainFramerateAndResolution instead")]
    #[expect(
        non_upper_case_globals,
        reason = "the name is part of the API taken over"
    )]
    pub const Disabled: Self = Self::MaintainFramerateAndResolution;
}

/// An RTP header extension in use.
#[derive(Debug, Clone)]
pub struct RtpHeaderExtensionParameters {
    /// Its registered URI.
    pub uri: String,
    /// Its id on the wire.
    pub id: i32,
    /// Whether it is encrypted (RFC 6904).
    pub encrypted: bool,
}

/// The parameters of a sender or receiver.
#[derive(Debug, Clone, Default)]
pub struct RtpParameters {
    /// Codecs in order of preference.
    pub codecs: Vec<RtpCodecParameters>,
    /// Header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// One entry per encoding (simulcast layer).
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP parameters.
    pub rtcp: RtcpParameters,
    pub(crate) degradation_preference: Option<DegradationPreference>,
}

impl RtpParameters {
    /// Chooses what a video encoder gives up first.
    pub fn set_degradation_preference(&mut self, preference: DegradationPreference) {
        self.degradation_preference = Some(preference);
    }

    /// What a video encoder gives up first, where it was chosen.
    pub fn degradation_preference(&self) -> Option<DegradationPreference> {
        self.degradation_preference
    }
}

/// A codec in use.
#[derive(Debug, Clone, Default)]
pub struct RtpCodecParameters {
    /// Payload type on the wire.
    pub payload_type: u8,
    /// For example `audio/opus`.
    pub mime_type: String,
    /// RTP clock in Hz.
    pub clock_rate: Option<u64>,
    /// Channels of an audio codec.
    pub channels: Option<u16>,
}

/// RTCP parameters.
#[derive(Debug, Clone, Default)]
pub struct RtcpParameters {
    /// The canonical name sent in source descriptions.
    pub cname: String,
    /// Whether reduced-size RTCP (RFC 5506) is in use.
    pub reduced_size: bool,
}

/// One encoding of a sender.
#[derive(Debug, Clone)]
pub struct RtpEncodingParameters {
    /// Whether it is sent at all.
    pub active: bool,
    /// Upper bound in bits per second.
    pub max_bitrate: Option<u64>,
    /// Upper bound in frames per second.
    pub max_framerate: Option<f64>,
    /// Beside other streams.
    pub priority: Priority,
    /// Restriction id of a simulcast layer; empty without simulcast.
    pub rid: String,
    /// Divides width and height.
    pub scale_resolution_down_by: Option<f64>,
    /// Scalability mode of a layered codec, e.g. `L3T3_KEY`.
    pub scalability_mode: Option<String>,
    /// Whether `ssrc` is set.
    pub has_ssrc: bool,
    /// The SSRC sent with, if `has_ssrc`.
    pub ssrc: u32,
}

impl Default for RtpEncodingParameters {
    fn default() -> Self {
        Self {
            active: true,
            max_bitrate: None,
            max_framerate: None,
            priority: Priority::Low,
            rid: String::new(),
            scale_resolution_down_by: None,
            scalability_mode: None,
            has_ssrc: false,
            ssrc: 0,
        }
    }
}

/// A codec that can be negotiated.
#[derive(Debug, Clone)]
pub struct RtpCodecCapability {
    /// Channels of an audio codec.
    pub channels: Option<u16>,
    /// RTP clock in Hz.
    pub clock_rate: Option<u64>,
    /// For example `audio/opus`.
    pub mime_type: String,
    /// Parameters as they stand in `a=fmtp`.
    pub sdp_fmtp_line: Option<String>,
}

/// A header extension that can be negotiated.
#[derive(Debug, Clone)]
pub struct RtpHeaderExtensionCapability {
    /// Its registered URI.
    pub uri: String,
    /// In which direction it is understood.
    pub direction: RtpTransceiverDirection,
}

/// What can be negotiated for one kind of media.
#[derive(Debug, Clone)]
pub struct RtpCapabilities {
    /// Codecs in order of preference.
    pub codecs: Vec<RtpCodecCapability>,
    /// Header extensions.
    pub header_extensions: Vec<RtpHeaderExtensionCapability>,
}
