//! Decoded frames on their way to a reader. The oldest go when the reader is slow.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::audio_frame::AudioFrame;

/// Frames that a queue "without bound" holds: five minutes. A reader that is further behind
/// does not read.
const UNBOUNDED_FRAMES: usize = 30_000;

/// Shared by the connection's driver, which pushes, and one reader.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<AudioFrame<'static>>,
    waker: Option<Waker>,
    ended: bool,
    dropped: u64,
}

impl FrameQueue {
    /// `None` is as much as makes sense.
    pub(crate) fn new(capacity: Option<usize>) -> Self {
        let capacity = capacity
            .unwrap_or(UNBOUNDED_FRAMES)
            .clamp(1, UNBOUNDED_FRAMES);
        Self {
            capacity,
            state: Mutex::default(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds frames, and wakes the reader once for all of them.
    pub(crate) fn extend(&self, frames: impl IntoIterator<Item = AudioFrame<'static>>) {
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        for frame in frames {
            if state.frames.len() >= self.capacity {
                state.frames.pop_front();
                state.dropped += 1;
                if state.dropped.is_power_of_two() {
                    log::warn!(
                        "a slow reader has lost {} frames of audio so far",
                        state.dropped
                    );
                }
            }
            state.frames.push_back(frame);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing will come any more; what is queued can still be read.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The reader has closed: forgets what is queued.
    pub(crate) fn close(&self) {
        self.state.lock().frames = VecDeque::new();
        self.end();
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<AudioFrame<'static>>> {
        let mut state = self.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn frame(marker: u32) -> AudioFrame<'static> {
        AudioFrame::new(8_000, 1, marker)
    }

    async fn next(queue: &FrameQueue) -> Option<u32> {
        poll_fn(|cx| queue.poll(cx))
            .await
            .map(|frame| frame.samples_per_channel)
    }

    #[tokio::test]
    async fn a_slow_reader_loses_the_oldest_frames() {
        let queue = FrameQueue::new(Some(2));
        queue.extend((1..=3).map(frame));
        assert_eq!(next(&queue).await, Some(2));
        assert_eq!(next(&queue).await, Some(3));
    }

    #[tokio::test]
    async fn what_is_queued_at_the_end_can_still_be_read() {
        let queue = FrameQueue::new(None);
        queue.extend([frame(1)]);
        queue.end();
        queue.extend([frame(2)]);
        assert_eq!(next(&queue).await, Some(1));
        assert_eq!(next(&queue).await, None);
    }

    #[tokio::test]
    async fn a_closed_queue_is_empty() {
        let queue = FrameQueue::new(Some(5));
        queue.extend([frame(1)]);
        queue.close();
        assert_eq!(next(&queue).await, None);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let queue = FrameQueue::new(Some(5));
        let (read, ()) = futures_util::join!(next(&queue), async { queue.extend([frame(9)]) });
        assert_eq!(read, Some(9));
        let (read, ()) = futures_util::join!(next(&queue), async { queue.end() });
        assert_eq!(read, None);
    }
}
