//! The caller's mouth: what is said, at the pace of speech.

use std::collections::VecDeque;
use std::time::Duration;

use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::AudioSourceOptions;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// A phone's packet.
const FRAME: Duration = Duration::from_millis(20);

/// What the engine may hold: enough to catch up after a stall of a busy
/// machine without a gap, little enough that falling silent is soon heard.
const QUEUE_MS: u32 = 100;

/// Nobody in a test says more than this at a time.
const MAX_SPEECH_SECONDS: usize = 300;

/// What the caller has to say.
pub(super) struct Microphone {
    rate: u32,
    source: NativeAudioSource,
    speech: Mutex<Speech>,
    /// How many samples have been said, or dropped, since the beginning.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct Speech {
    waiting: VecDeque<i16>,
    /// How many samples were ever given to be said.
    given: u64,
}

impl Microphone {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate,
            source: NativeAudioSource::new(AudioSourceOptions::default(), rate, 1, QUEUE_MS),
            speech: Mutex::default(),
            done: watch::Sender::new(0),
        }
    }

    /// For the track.
    pub(super) fn source(&self) -> NativeAudioSource {
        self.source.clone()
    }

    /// Says this next. The future ends when it has been said or dropped.
    ///
    /// # Panics
    /// When more is waiting than anybody would listen to.
    pub(super) fn say(&self, pcm: &[i16]) -> impl Future<Output = ()> + use<> {
        let mut speech = self.speech.lock();
        let most = self.rate as usize * MAX_SPEECH_SECONDS;
        assert!(
            speech.waiting.len() + pcm.len() <= most,
            "more than {MAX_SPEECH_SECONDS} s of speech are waiting"
        );
        speech.waiting.extend(pcm);
        speech.given += pcm.len() as u64;
        let all = speech.given;
        let mut done = self.done.subscribe();
        async move {
            // An error means that the microphone is gone, and the call with it.
            let _ = done.wait_for(|done| *done >= all).await;
        }
    }

    /// Drops what is waiting to be said.
    pub(super) fn hush(&self) {
        let mut speech = self.speech.lock();
        speech.waiting.clear();
        self.source.clear_buffer();
        self.done.send_replace(speech.given);
    }

    /// Speaks, or is silent, for ever.
    pub(super) async fn run(&self) {
        let samples = (self.rate as usize * FRAME.as_millis() as usize) / 1000;
        let mut pace = tokio::time::interval(FRAME);
        // After a stall the lost time is made up for: a phone's clock runs on.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            pace.tick().await;
            let frame = AudioFrame {
                data: self.next(samples).into(),
                sample_rate: self.rate,
                num_channels: 1,
                samples_per_channel: samples as u32,
            };
            if let Err(error) = self.source.capture_frame(&frame).await {
                tracing::warn!("the caller's microphone: {error}");
            }
            let speech = self.speech.lock();
            let done = speech.given - speech.waiting.len() as u64;
            self.done
                .send_if_modified(|before| std::mem::replace(before, done) != done);
        }
    }

    /// The next samples, silence where there is nothing to say.
    fn next(&self, samples: usize) -> Vec<i16> {
        let mut speech = self.speech.lock();
        let said = samples.min(speech.waiting.len());
        let mut frame: Vec<i16> = speech.waiting.drain(..said).collect();
        frame.resize(samples, 0);
        frame
    }
}
