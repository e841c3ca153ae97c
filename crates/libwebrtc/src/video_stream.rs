//! The pictures of a video track: none. A stream ends when its track does.

/// Streams of frames.
pub mod native {
    use std::{
        fmt,
        future::Future,
        pin::Pin,
        task::{Context, Poll, ready},
    };

    use tokio_stream::Stream;
    use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

    use crate::{
        native::packet_trailer::PacketTrailerHandler, video_frame::BoxVideoFrame,
        video_track::RtcVideoTrack,
    };

    /// Options of a stream.
    #[derive(Clone, Debug, Default)]
    pub struct NativeVideoStreamOptions {
        /// How many frames wait for the application at most.
        pub queue_size_frames: Option<usize>,
    }

    /// A stream of decoded frames. This engine decodes none, so it only ever ends.
    pub struct NativeVideoStream {
        track: RtcVideoTrack,
        closed: CancellationToken,
        ended: Pin<Box<WaitForCancellationFutureOwned>>,
    }

    impl NativeVideoStream {
        /// A stream on `video_track`.
        pub fn new(video_track: RtcVideoTrack) -> Self {
            log::warn!(
                "video track {} will show nothing: no decoder",
                video_track.id()
            );
            let closed = video_track.ended().child_token();
            let ended = Box::pin(closed.clone().cancelled_owned());
            Self {
                track: video_track,
                closed,
                ended,
            }
        }

        /// A stream on `video_track` with options.
        pub fn with_options(video_track: RtcVideoTrack, _: NativeVideoStreamOptions) -> Self {
            Self::new(video_track)
        }

        /// Keeps the handler with the track; no frame will ever reach it.
        pub fn set_packet_trailer_handler(&self, handler: PacketTrailerHandler) {
            self.track.set_packet_trailer_handler(handler);
        }

        /// The track.
        pub fn track(&self) -> RtcVideoTrack {
            self.track.clone()
        }

        /// Ends the stream.
        pub fn close(&mut self) {
            self.closed.cancel();
        }
    }

    impl Stream for NativeVideoStream {
        type Item = BoxVideoFrame;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            if !self.closed.is_cancelled() {
                ready!(self.ended.as_mut().poll(cx));
            }
            Poll::Ready(None)
        }
    }

    impl fmt::Debug for NativeVideoStream {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeVideoStream")
                .field("track", &self.track)
                .finish_non_exhaustive()
        }
    }
}
