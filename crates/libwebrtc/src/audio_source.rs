//! Where the audio of a local track comes from.

/// Sample rate that is reported where no source says another, in hertz.
pub const DEFAULT_SAMPLE_RATE: u32 = 48000;

/// Channel count that is reported where no source says another.
pub const DEFAULT_NUM_CHANNELS: u32 = 1;

/// Processing that an application may ask for. This engine keeps the wishes and processes
/// nothing: what is captured is what is sent.
#[derive(Default, Debug)]
pub struct AudioSourceOptions {
    /// Cancel the echo of what is played.
    pub echo_cancellation: bool,
    /// Suppress noise.
    pub noise_suppression: bool,
    /// Even out the volume.
    pub auto_gain_control: bool,
}

/// The source of a local audio track.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcAudioSource {
    /// The application pushes frames: [`native::NativeAudioSource::capture_frame`].
    Native(native::NativeAudioSource),
    /// A microphone. This engine opens no audio devices: a track of it sends silence.
    Device,
}

impl RtcAudioSource {
    /// Keeps the processing options; without effect on [`RtcAudioSource::Device`].
    pub fn set_audio_options(&self, options: AudioSourceOptions) {
        match self {
            Self::Native(source) => source.set_audio_options(options),
            Self::Device => {}
        }
    }

    /// The processing options; the defaults for [`RtcAudioSource::Device`].
    pub fn audio_options(&self) -> AudioSourceOptions {
        match self {
            Self::Native(source) => source.audio_options(),
            Self::Device => AudioSourceOptions::default(),
        }
    }

    /// In hertz; [`DEFAULT_SAMPLE_RATE`] for [`RtcAudioSource::Device`].
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Native(source) => source.sample_rate(),
            Self::Device => DEFAULT_SAMPLE_RATE,
        }
    }

    /// Channels; [`DEFAULT_NUM_CHANNELS`] for [`RtcAudioSource::Device`].
    pub fn num_channels(&self) -> u32 {
        match self {
            Self::Native(source) => source.num_channels(),
            Self::Device => DEFAULT_NUM_CHANNELS,
        }
    }
}

/// The source that an application feeds.
pub mod native {
    use std::fmt::{self, Debug, Formatter};

    use super::AudioSourceOptions;
    use crate::{RtcError, audio::SourceHandle, audio_frame::AudioFrame};

    /// Takes PCM from the application and holds it until it is sent. Clones share the queue.
    #[derive(Clone)]
    pub struct NativeAudioSource {
        pub(crate) handle: SourceHandle,
    }

    impl Debug for NativeAudioSource {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioSource").finish()
        }
    }

    impl NativeAudioSource {
        /// A source of `sample_rate` hertz and one or two channels. 8000, 12000, 16000, 24000 and
        /// 48000 Hz are encoded as they are, others converted to the next higher of these first.
        ///
        /// With a queue of `queue_size_ms`, [`capture_frame`](Self::capture_frame) takes frames
        /// of any length and waits while more than that is queued. With 0 it never waits, takes
        /// frames of exactly 10 ms, and the caller keeps the pace.
        ///
        /// # Panics
        /// Where `queue_size_ms` is not a multiple of 10. A rate beyond 4 to 192 kHz or
        /// more channels are answered by `capture_frame`.
        pub fn new(
            options: AudioSourceOptions,
            sample_rate: u32,
            num_channels: u32,
            queue_size_ms: u32,
        ) -> NativeAudioSource {
            assert!(
                queue_size_ms.is_multiple_of(10),
                "queue_size_ms must be a multiple of 10"
            );
            Self {
                handle: SourceHandle::new(options, sample_rate, num_channels, queue_size_ms),
            }
        }

        /// Forgets everything that is queued and not yet sent, and lets waiting captures return.
        pub fn clear_buffer(&self) {
            self.handle.clear();
        }

        /// Queues a frame, and waits until no more than the queue's size is left to send. Where
        /// no track sends the audio, the queue empties itself in real time.
        ///
        /// A capture that is dropped while it waits has queued what it had queued by then.
        ///
        /// # Errors
        /// Where the frame's rate or channels are not the source's, the source's are not
        /// supported, or (without a queue) the frame is not 10 ms long.
        pub async fn capture_frame(&self, frame: &AudioFrame<'_>) -> Result<(), RtcError> {
            self.handle.capture(frame).await
        }

        /// Keeps the processing options.
        pub fn set_audio_options(&self, options: AudioSourceOptions) {
            self.handle.set_options(options);
        }

        /// The processing options.
        pub fn audio_options(&self) -> AudioSourceOptions {
            self.handle.options()
        }

        /// In hertz.
        pub fn sample_rate(&self) -> u32 {
            self.handle.sample_rate()
        }

        /// 1 is mono, 2 is stereo.
        pub fn num_channels(&self) -> u32 {
            self.handle.num_channels()
        }
    }
}
