//! Sources of pictures. Frames are refused: this engine has no video encoder. A video track can
//! be published all the same, and stays dark.

use crate::enum_dispatch;

/// Width and height in pixels.
#[derive(Debug, Clone)]
pub struct VideoResolution {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Default for VideoResolution {
    /// 720p.
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
        }
    }
}

/// What an encoder outside should aim at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncodedRateControl {
    /// Bits per second.
    pub target_bitrate_bps: u64,
    /// Frames per second.
    pub framerate_fps: f64,
}

/// A source of pictures.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcVideoSource {
    /// Fed by the application.
    Native(native::NativeVideoSource),
}

impl RtcVideoSource {
    enum_dispatch!(
        [Native];
        pub fn video_resolution(self: &Self) -> VideoResolution;
    );
}

/// Sources fed by the application.
pub mod native {
    use super::{EncodedRateControl, VideoResolution};
    use crate::{
        native::packet_trailer::PacketTrailerHandler,
        video_frame::{EncodedVideoFrame, VideoBuffer, VideoFrame},
    };

    /// A source fed by the application. Every frame is refused.
    #[derive(Debug, Clone)]
    pub struct NativeVideoSource {
        resolution: VideoResolution,
    }

    impl Default for NativeVideoSource {
        fn default() -> Self {
            Self::new(VideoResolution::default(), false)
        }
    }

    impl NativeVideoSource {
        /// A source of raw frames.
        pub fn new(resolution: VideoResolution, _is_screencast: bool) -> Self {
            Self { resolution }
        }

        /// A source of encoded frames.
        pub fn new_encoded(resolution: VideoResolution) -> Self {
            Self { resolution }
        }

        /// `false`: the frame was not taken.
        pub fn capture_frame<T: AsRef<dyn VideoBuffer>>(&self, _frame: &VideoFrame<T>) -> bool {
            false
        }

        /// `false`: the frame was not taken.
        pub fn capture_encoded_frame(&self, _frame: &EncodedVideoFrame<'_>) -> bool {
            false
        }

        /// Whether a key frame is wanted: never.
        pub fn take_keyframe_request(&self) -> bool {
            false
        }

        /// Whether another bitrate is wanted: never.
        pub fn take_rate_control_request(&self) -> Option<EncodedRateControl> {
            None
        }

        /// Accepted and without effect.
        pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}

        /// The resolution given at creation.
        pub fn video_resolution(&self) -> VideoResolution {
            self.resolution.clone()
        }
    }
}
