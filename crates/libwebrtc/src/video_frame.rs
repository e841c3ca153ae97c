//! Pictures in memory. They can be made and read; nothing here encodes or decodes them.

use std::fmt::Debug;

use thiserror::Error;

use crate::video_source::VideoResolution;

/// Why a frame could not be shown.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The platform said no.
    #[error("platform error: {0}")]
    Platform(String),
}

/// How far a picture must be turned clockwise.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum VideoRotation {
    /// Not at all.
    VideoRotation0 = 0,
    /// A quarter.
    VideoRotation90 = 90,
    /// Half.
    VideoRotation180 = 180,
    /// Three quarters.
    VideoRotation270 = 270,
}

/// Byte order of packed formats.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum VideoFormatType {
    /// Alpha, red, green, blue.
    ARGB,
    /// Blue, green, red, alpha.
    BGRA,
    /// Alpha, blue, green, red.
    ABGR,
    /// Red, green, blue, alpha.
    RGBA,
}

/// Layout of a buffer.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VideoBufferType {
    /// Held by the platform.
    Native,
    /// Planar, chroma halved both ways.
    I420,
    /// The same with alpha.
    I420A,
    /// Planar, chroma halved across.
    I422,
    /// Planar, full chroma.
    I444,
    /// As `I420` with ten bits in sixteen.
    I010,
    /// Luma plane and interleaved chroma.
    NV12,
}

/// What travels beside a frame.
#[derive(Debug, Clone)]
pub struct FrameMetadata {
    /// Capture time in microseconds of the wall clock.
    pub user_timestamp: Option<u64>,
    /// Growing number of the frame.
    pub frame_id: Option<u32>,
    /// The application's own bytes.
    pub user_data: Option<Vec<u8>>,
}

/// Codec of an encoded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodedVideoCodec {
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// VP8.
    VP8,
    /// VP9.
    VP9,
    /// AV1.
    AV1,
}

/// Whether an encoded frame stands by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedFrameType {
    /// It does.
    Key,
    /// It needs earlier ones.
    Delta,
}

/// An encoded frame.
#[derive(Debug, Clone)]
pub struct EncodedVideoFrame<'a> {
    /// Its codec.
    pub codec: EncodedVideoCodec,
    /// Its bytes.
    pub payload: &'a [u8],
    /// Capture time in microseconds.
    pub timestamp_us: i64,
    /// Key or delta.
    pub frame_type: EncodedFrameType,
    /// Its size.
    pub resolution: VideoResolution,
    /// What travels beside it.
    pub frame_metadata: Option<FrameMetadata>,
}

/// A picture with its time and rotation.
#[derive(Debug)]
pub struct VideoFrame<T>
where
    T: AsRef<dyn VideoBuffer>,
{
    /// How far it must be turned.
    pub rotation: VideoRotation,
    /// Capture time in microseconds.
    pub timestamp_us: i64,
    /// What travels beside it.
    pub frame_metadata: Option<FrameMetadata>,
    /// The picture.
    pub buffer: T,
}

impl<T: AsRef<dyn VideoBuffer>> VideoFrame<T> {
    /// A frame without a time.
    pub fn new(rotation: VideoRotation, buffer: T) -> Self {
        Self {
            rotation,
            timestamp_us: 0,
            frame_metadata: None,
            buffer,
        }
    }
}

/// A buffer of any layout.
pub type BoxVideoBuffer = Box<dyn VideoBuffer>;
/// A frame of any layout.
pub type BoxVideoFrame = VideoFrame<BoxVideoBuffer>;

mod to_i420;

mod sealed {
    pub trait Sealed: Send + Sync {
        /// This picture as `I420`, whatever it is.
        fn to_i420(&self) -> super::I420Buffer;
    }
}

/// A picture in memory.
pub trait VideoBuffer: sealed::Sealed + Debug {
    /// Pixels in a row.
    fn width(&self) -> u32;
    /// Rows.
    fn height(&self) -> u32;
    /// Layout.
    fn buffer_type(&self) -> VideoBufferType;

    /// This buffer, if the platform holds it.
    fn as_native(&self) -> Option<&native::NativeBuffer> {
        None
    }

    /// This buffer, if it is `I420`.
    fn as_i420(&self) -> Option<&I420Buffer> {
        None
    }

    /// This buffer, if it is `I420A`.
    fn as_i420a(&self) -> Option<&I420ABuffer> {
        None
    }

    /// This buffer, if it is `I422`.
    fn as_i422(&self) -> Option<&I422Buffer> {
        None
    }

    /// This buffer, if it is `I444`.
    fn as_i444(&self) -> Option<&I444Buffer> {
        None
    }

    /// This buffer, if it is `I010`.
    fn as_i010(&self) -> Option<&I010Buffer> {
        None
    }

    /// This buffer, if it is `NV12`.
    fn as_nv12(&self) -> Option<&NV12Buffer> {
        None
    }
}

macro_rules! buffer_traits {
    ($type:ty, $variant:ident, $as:ident) => {
        impl $crate::video_frame::VideoBuffer for $type {
            fn width(&self) -> u32 {
                self.width
            }

            fn height(&self) -> u32 {
                self.height
            }

            fn buffer_type(&self) -> $crate::video_frame::VideoBufferType {
                $crate::video_frame::VideoBufferType::$variant
            }

            fn $as(&self) -> Option<&Self> {
                Some(self)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("width", &self.width)
                    .field("height", &self.height)
                    .finish()
            }
        }

        impl AsRef<dyn $crate::video_frame::VideoBuffer> for $type {
            fn as_ref(&self) -> &(dyn $crate::video_frame::VideoBuffer + 'static) {
                self
            }
        }
    };
}

/// Three planes; `$across` and `$down` divide the chroma planes.
macro_rules! planar_buffer {
    ($(#[$doc:meta])* $type:ident, $variant:ident, $as:ident, $sample:ty, $across:literal, $down:literal) => {
        $(#[$doc])*
        pub struct $type {
            width: u32,
            height: u32,
            strides: (u32, u32, u32),
            planes: (Vec<$sample>, Vec<$sample>, Vec<$sample>),
        }

        buffer_traits!($type, $variant, $as);

        impl $type {
            /// A zeroed buffer with samples per row of each plane given.
            pub fn with_strides(
                width: u32,
                height: u32,
                stride_y: u32,
                stride_u: u32,
                stride_v: u32,
            ) -> Self {
                let rows = height.div_ceil($down) as usize;
                let plane = |stride: u32, rows: usize| vec![0; stride as usize * rows];
                let planes = (
                    plane(stride_y, height as usize),
                    plane(stride_u, rows),
                    plane(stride_v, rows),
                );
                Self { width, height, strides: (stride_y, stride_u, stride_v), planes }
            }

            /// A zeroed buffer without padding.
            pub fn new(width: u32, height: u32) -> Self {
                let chroma = width.div_ceil($across);
                Self::with_strides(width, height, width, chroma, chroma)
            }

            /// Pixels in a chroma row.
            pub fn chroma_width(&self) -> u32 {
                self.width.div_ceil($across)
            }

            /// Chroma rows.
            pub fn chroma_height(&self) -> u32 {
                self.height.div_ceil($down)
            }

            /// Samples per row of each plane.
            pub fn strides(&self) -> (u32, u32, u32) {
                self.strides
            }

            /// The planes: luma and both chromas.
            pub fn data(&self) -> (&[$sample], &[$sample], &[$sample]) {
                (&self.planes.0, &self.planes.1, &self.planes.2)
            }

            /// The planes, to be written.
            pub fn data_mut(&mut self) -> (&mut [$sample], &mut [$sample], &mut [$sample]) {
                (&mut self.planes.0, &mut self.planes.1, &mut self.planes.2)
            }
        }
    };
}

planar_buffer!(
    /// Planar YUV, chroma halved both ways.
    I420Buffer, I420, as_i420, u8, 2, 2
);
planar_buffer!(
    /// Planar YUV, chroma halved across.
    I422Buffer, I422, as_i422, u8, 2, 1
);
planar_buffer!(
    /// Planar YUV, full chroma.
    I444Buffer, I444, as_i444, u8, 1, 1
);
planar_buffer!(
    /// Planar YUV, chroma halved both ways, ten bits in sixteen.
    I010Buffer, I010, as_i010, u16, 2, 2
);

impl I420Buffer {
    /// A black picture.
    pub fn new_black(width: u32, height: u32) -> Self {
        /// The middle of the chroma range: no colour.
        const NO_COLOUR: u8 = 128;
        let mut buffer = Self::new(width, height);
        buffer.planes.1.fill(NO_COLOUR);
        buffer.planes.2.fill(NO_COLOUR);
        buffer
    }
}

/// Planar YUV with alpha. Nothing here makes one.
pub struct I420ABuffer {
    width: u32,
    height: u32,
}

buffer_traits!(I420ABuffer, I420A, as_i420a);

/// Luma plane and interleaved chroma.
pub struct NV12Buffer {
    width: u32,
    height: u32,
    strides: (u32, u32),
    planes: (Vec<u8>, Vec<u8>),
}

buffer_traits!(NV12Buffer, NV12, as_nv12);

impl NV12Buffer {
    /// A zeroed buffer with bytes per row of each plane given.
    pub fn with_strides(width: u32, height: u32, stride_y: u32, stride_uv: u32) -> Self {
        let luma = vec![0; stride_y as usize * height as usize];
        let chroma = vec![0; stride_uv as usize * height.div_ceil(2) as usize];
        Self {
            width,
            height,
            strides: (stride_y, stride_uv),
            planes: (luma, chroma),
        }
    }

    /// A zeroed buffer without padding.
    pub fn new(width: u32, height: u32) -> Self {
        Self::with_strides(width, height, width, width + width % 2)
    }

    /// Pixels in a chroma row.
    pub fn chroma_width(&self) -> u32 {
        self.width.div_ceil(2)
    }

    /// Chroma rows.
    pub fn chroma_height(&self) -> u32 {
        self.height.div_ceil(2)
    }

    /// Bytes per row of each plane.
    pub fn strides(&self) -> (u32, u32) {
        self.strides
    }

    /// The planes.
    pub fn data(&self) -> (&[u8], &[u8]) {
        (&self.planes.0, &self.planes.1)
    }

    /// The planes, to be written.
    pub fn data_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.planes.0, &mut self.planes.1)
    }
}

/// Buffers held by the platform.
pub mod native {
    #[cfg(target_os = "linux")]
    use crate::video_source::VideoResolution;

    /// A buffer held by the platform. It can be named and not read.
    pub struct NativeBuffer {
        width: u32,
        height: u32,
        #[cfg(target_os = "linux")]
        dmabuf_fd: DmaBufFileDescriptor,
    }

    buffer_traits!(NativeBuffer, Native, as_native);

    /// A borrowed DMA-BUF descriptor.
    #[cfg(target_os = "linux")]
    pub type DmaBufFileDescriptor = std::os::fd::RawFd;

    /// Pixel format of a DMA-BUF.
    #[cfg(target_os = "linux")]
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum DmaBufPixelFormat {
        /// Luma and interleaved chroma.
        NV12 = 0,
        /// Three planes.
        YUV420M = 1,
    }

    #[cfg(target_os = "linux")]
    impl NativeBuffer {
        /// Names a DMA-BUF; the descriptor stays the caller's.
        pub fn from_dmabuf(
            dmabuf_fd: DmaBufFileDescriptor,
            resolution: VideoResolution,
            _pixel_format: DmaBufPixelFormat,
        ) -> Self {
            Self {
                width: resolution.width,
                height: resolution.height,
                dmabuf_fd,
            }
        }

        /// The descriptor.
        pub fn get_dmabuf_fd(&self) -> Option<DmaBufFileDescriptor> {
            Some(self.dmabuf_fd)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_black_picture_has_no_light_and_no_colour() {
        let buffer = I420Buffer::new_black(63, 33);
        let (luma, u, v) = buffer.data();
        assert_eq!((luma.len(), u.len(), v.len()), (63 * 33, 32 * 17, 32 * 17));
        assert!(luma.iter().all(|sample| *sample == 0));
        assert!(u.iter().chain(v).all(|sample| *sample == 128));
    }
}
