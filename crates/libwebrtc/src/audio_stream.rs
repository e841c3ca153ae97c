//! The audio of a remote track, as PCM.

/// The stream that an application reads.
pub mod native {
    use std::{
        fmt::{self, Debug, Formatter},
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio_stream::Stream;

    use crate::{audio::StreamHandle, audio_frame::AudioFrame, audio_track::RtcAudioTrack};

    /// Frames of 10 ms that wait for a slow reader before the oldest is dropped.
    const DEFAULT_QUEUE_SIZE_FRAMES: usize = 10;

    /// How a [`NativeAudioStream`] buffers.
    #[derive(Clone, Debug, Default)]
    pub struct NativeAudioStreamOptions {
        /// Frames of 10 ms that wait for the reader; on overflow the oldest is dropped, so that
        /// latency stays bounded. `None` is 10 frames. `Some(0)` is as many as a reader can
        /// sensibly fall behind: five minutes.
        pub queue_size_frames: Option<usize>,
    }

    /// Yields 10 ms frames of a remote track in real time, concealing what was lost and silent
    /// while nothing arrives, until the track ends or the stream is closed.
    ///
    /// The audio is decoded at the stream's own rate: 8000, 12000, 16000, 24000 or 48000 Hz, mono
    /// or stereo. Others, from 4 to 192 kHz, are converted to; where 10 ms have no whole number of
    /// samples, frames of two lengths alternate.
    /// A local track yields nothing: its stream ends at once.
    pub struct NativeAudioStream {
        track: RtcAudioTrack,
        handle: StreamHandle,
    }

    impl Debug for NativeAudioStream {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioStream")
                .field("track", &self.track)
                .finish()
        }
    }

    impl NativeAudioStream {
        /// Reads `audio_track` with the default queue.
        pub fn new(audio_track: RtcAudioTrack, sample_rate: i32, num_channels: i32) -> Self {
            Self::with_options(
                audio_track,
                sample_rate,
                num_channels,
                NativeAudioStreamOptions::default(),
            )
        }

        /// Reads `audio_track` with a queue of one's own size.
        pub fn with_options(
            audio_track: RtcAudioTrack,
            sample_rate: i32,
            num_channels: i32,
            options: NativeAudioStreamOptions,
        ) -> Self {
            let capacity = match options.queue_size_frames {
                None => Some(DEFAULT_QUEUE_SIZE_FRAMES),
                Some(0) => None,
                Some(frames) => Some(frames),
            };
            let handle =
                StreamHandle::attach(audio_track.receive(), sample_rate, num_channels, capacity);
            Self {
                track: audio_track,
                handle,
            }
        }

        /// The track that is read.
        pub fn track(&self) -> RtcAudioTrack {
            self.track.clone()
        }

        /// Stops decoding and forgets what is queued; the stream ends.
        pub fn close(&mut self) {
            self.handle.close();
        }
    }

    impl Stream for NativeAudioStream {
        type Item = AudioFrame<'static>;

        fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.handle.poll_frame(cx)
        }
    }
}
