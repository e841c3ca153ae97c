//! Hands what waits in the playout queue to our track, at the pace at which the
//! track takes it.

use std::sync::Arc;
use std::time::Instant;

use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::prelude::AudioSourceOptions;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use trunkline_realtime::SAMPLE_RATE;

use crate::playout::{Cut, FRAME_SAMPLES, PlayoutQueue, Voice};

/// What the track buffers, in milliseconds: enough to ride out a late wake-up of
/// this task, little enough that a break-in loses nothing worth keeping. A
/// break-in clears it, so it does not delay silence.
const TRACK_BUFFER_MS: u32 = 100;

/// Two kinds of events, each rare; the task never waits to tell them.
const EVENT_QUEUE: usize = 16;

/// What the caller's ear is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpeakerEvent {
    /// The first frame of all was handed over.
    FirstSound,
    /// Everything that was given was heard.
    Drained,
}

/// See the module. Its task ends when this is dropped.
pub(crate) struct Speaker {
    shared: Arc<Shared>,
    events: mpsc::Receiver<SpeakerEvent>,
    // Aborts the task when dropped.
    _task: JoinSet<()>,
}

struct Shared {
    queue: Mutex<PlayoutQueue>,
    changed: Notify,
    source: NativeAudioSource,
}

impl Speaker {
    pub(crate) fn new() -> Self {
        let source = NativeAudioSource::new(
            AudioSourceOptions::default(),
            SAMPLE_RATE,
            1,
            TRACK_BUFFER_MS,
        );
        let shared = Arc::new(Shared {
            queue: Mutex::new(PlayoutQueue::default()),
            changed: Notify::new(),
            source,
        });
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let mut task = JoinSet::new();
        task.spawn(hand_over(shared.clone(), sender));
        Self {
            shared,
            events,
            _task: task,
        }
    }

    /// The source of the track to publish.
    pub(crate) fn source(&self) -> NativeAudioSource {
        self.shared.source.clone()
    }

    pub(crate) fn open(&self) {
        self.change(PlayoutQueue::open);
    }

    pub(crate) fn play(&self, voice: &Voice, pcm: &[i16]) {
        let dropped = self.change(|queue| queue.push(voice, pcm));
        if dropped > 0 {
            tracing::warn!(dropped, "the playout queue is full: samples were dropped");
        }
    }

    pub(crate) fn complete(&self, voice: &Voice) {
        self.change(|queue| queue.complete(voice));
    }

    /// Stops the sound now. Says what was heard of what was cut off, which is kept until
    /// other sound comes.
    pub(crate) fn cut(&self) -> Vec<Cut> {
        let cuts = self.change(|queue| queue.cut(Instant::now()));
        self.shared.source.clear_buffer();
        cuts
    }

    /// The next event. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<SpeakerEvent> {
        self.events.recv().await
    }

    /// Lets the sound that was stopped last go on.
    pub(crate) fn resume(&self) {
        self.change(PlayoutQueue::resume);
    }

    fn change<T>(&self, change: impl FnOnce(&mut PlayoutQueue) -> T) -> T {
        let result = change(&mut self.shared.queue.lock());
        self.shared.changed.notify_one();
        result
    }
}

async fn hand_over(shared: Arc<Shared>, events: mpsc::Sender<SpeakerEvent>) {
    let mut sounded = false;
    let mut told_drained = true;
    loop {
        let now = Instant::now();
        let (frame, drained_at) = {
            let mut queue = shared.queue.lock();
            (queue.next_frame(now), queue.drained_at(now))
        };
        if let Some(samples) = frame {
            told_drained = false;
            let frame = AudioFrame {
                data: samples.into(),
                sample_rate: SAMPLE_RATE,
                num_channels: 1,
                samples_per_channel: FRAME_SAMPLES as u32,
            };
            if let Err(error) = shared.source.capture_frame(&frame).await {
                tracing::warn!(%error, "the track did not take a frame");
            }
            if !sounded {
                sounded = true;
                let _ = events.try_send(SpeakerEvent::FirstSound);
            }
            continue;
        }
        match drained_at {
            Some(at) if !told_drained && at <= now => {
                told_drained = true;
                let _ = events.try_send(SpeakerEvent::Drained);
            }
            Some(at) if !told_drained => {
                tokio::select! {
                    () = shared.changed.notified() => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                }
            }
            _ => shared.changed.notified().await,
        }
    }
}
