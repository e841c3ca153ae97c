//! The application's side of a source: captures, waits for room, wakes those who send.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    format::Format,
    resample::Resampler,
    source_queue::{PullerId, SourceQueue},
};
use crate::{RtcError, audio_frame::AudioFrame, audio_source::AudioSourceOptions};

/// How much a source without a queue holds for a sender that comes by every 20 ms. Ten packets:
/// an application that hands over 100 ms of frames at once loses nothing, and what it captures
/// while nothing is sent cannot make it late for long.
const DIRECT_LIMIT_MS: usize = 200;

/// A source, shared by the application and the pipelines that send it.
#[derive(Clone)]
pub(crate) struct SourceHandle {
    shared: Arc<Shared>,
}

struct Shared {
    sample_rate: u32,
    num_channels: u32,
    queue_size_ms: u32,
    options: Mutex<AudioSourceOptions>,
    /// `None` where the format makes no sense: every capture says so.
    state: Option<Mutex<State>>,
    /// Told whenever audio has left the queue.
    drained: Notify,
}

struct State {
    queue: SourceQueue,
    /// From the source's rate, where Opus does not have it.
    resampler: Option<Resampler>,
    /// What was converted last.
    converted: Vec<i16>,
    wakes: Vec<(PullerId, Arc<Notify>)>,
}

impl SourceHandle {
    pub(crate) fn new(
        options: AudioSourceOptions,
        sample_rate: u32,
        num_channels: u32,
        queue_size_ms: u32,
    ) -> Self {
        let state = State::new(sample_rate, num_channels).map(Mutex::new);
        let shared = Shared {
            sample_rate,
            num_channels,
            queue_size_ms,
            options: Mutex::new(options),
            state,
            drained: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn sample_rate(&self) -> u32 {
        self.shared.sample_rate
    }

    pub(crate) fn num_channels(&self) -> u32 {
        self.shared.num_channels
    }

    pub(crate) fn options(&self) -> AudioSourceOptions {
        let options = self.shared.options.lock();
        AudioSourceOptions {
            echo_cancellation: options.echo_cancellation,
            noise_suppression: options.noise_suppression,
            auto_gain_control: options.auto_gain_control,
        }
    }

    pub(crate) fn set_options(&self, options: AudioSourceOptions) {
        *self.shared.options.lock() = options;
    }

    pub(crate) fn clear(&self) {
        if let Some(state) = &self.shared.state {
            state.lock().queue.cut();
            self.shared.drained.notify_waiters();
        }
    }

    pub(crate) async fn capture(&self, frame: &AudioFrame<'_>) -> Result<(), RtcError> {
        let Shared {
            sample_rate,
            num_channels,
            queue_size_ms,
            ..
        } = *self.shared;
        let Some(state) = &self.shared.state else {
            return Err(RtcError::invalid_state(format!(
                "a source of {sample_rate} Hz with {num_channels} channels is not supported: \
                 use 4 to 192 kHz and 1 or 2 channels"
            )));
        };
        if (frame.sample_rate, frame.num_channels) != (sample_rate, num_channels) {
            return Err(RtcError::invalid_state(format!(
                "the frame has {} Hz and {} channels, the source {sample_rate} Hz and \
                 {num_channels}",
                frame.sample_rate, frame.num_channels
            )));
        }
        let data: &[i16] = &frame.data;
        if !data.len().is_multiple_of(num_channels as usize) {
            return Err(RtcError::invalid_state(format!(
                "{} samples are not a whole number for {num_channels} channels",
                data.len()
            )));
        }
        if queue_size_ms == 0 {
            return self.capture_directly(state, data);
        }
        let limit = state.lock().queue.format().samples(queue_size_ms as usize);
        let per_channel = u64::from(sample_rate) * u64::from(queue_size_ms) / 1000;
        let piece = per_channel.max(1) as usize * num_channels as usize;
        for chunk in data.chunks(piece) {
            self.when_at_most(state, limit, |state| state.push(now(), chunk))
                .await;
        }
        self.when_at_most(state, limit, |_| ()).await;
        Ok(())
    }

    fn capture_directly(&self, state: &Mutex<State>, data: &[i16]) -> Result<(), RtcError> {
        let mut state = state.lock();
        let expected = (self.shared.sample_rate / 100 * self.shared.num_channels) as usize;
        if data.len() != expected {
            return Err(RtcError::invalid_state(format!(
                "a source without a queue takes frames of 10 ms: got {} samples, expected {expected}",
                data.len(),
            )));
        }
        state.push(now(), data);
        let format = state.queue.format();
        state.queue.truncate_oldest(format.samples(DIRECT_LIMIT_MS));
        Ok(())
    }

    /// Waits until at most `limit` samples are held, then acts in the same breath. It ends even
    /// where nobody pulls: then the clock drains, and this sleeps until it has.
    async fn when_at_most(&self, state: &Mutex<State>, limit: usize, act: impl FnOnce(&mut State)) {
        loop {
            let drained = self.shared.drained.notified();
            let mut drained = std::pin::pin!(drained);
            drained.as_mut().enable();
            let until = {
                let mut state = state.lock();
                state.queue.advance(now());
                if state.queue.level() <= limit {
                    act(&mut state);
                    return;
                }
                state.queue.falls_to_at(limit)
            };
            tokio::select! {
                () = drained => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Wakes those who send: what they may send has changed.
    pub(crate) fn wake(&self) {
        if let Some(state) = &self.shared.state {
            state.lock().wake();
        }
    }

    /// Attaches a pipeline; `wake` is told when it was hungry and there is a packet's worth.
    /// `None` where the source's format makes no sense.
    pub(crate) fn attach(&self, wake: Arc<Notify>) -> Option<Puller> {
        let mut state = self.shared.state.as_ref()?.lock();
        let id = state.queue.attach(now());
        state.wakes.push((id, wake));
        Some(Puller {
            source: self.clone(),
            format: state.queue.format(),
            id,
        })
    }
}

impl State {
    fn new(sample_rate: u32, num_channels: u32) -> Option<Self> {
        let (format, resampler) = match Format::exact(sample_rate, num_channels) {
            Some(format) => (format, None),
            None if (1..=2).contains(&num_channels) => {
                let hz = i32::try_from(sample_rate).ok()?;
                let format = Format::nearest(hz, num_channels as i32);
                let resampler = Resampler::new(sample_rate, format.hz(), format.channels())?;
                (format, Some(resampler))
            }
            None => return None,
        };
        Some(Self {
            queue: SourceQueue::new(now(), format),
            resampler,
            converted: Vec::new(),
            wakes: Vec::new(),
        })
    }

    fn push(&mut self, now: Instant, samples: &[i16]) {
        let samples = match &mut self.resampler {
            None => samples,
            Some(resampler) => {
                self.converted.clear();
                resampler.convert(samples, &mut self.converted);
                &self.converted
            }
        };
        if self.queue.push(now, samples) {
            self.wake();
        }
    }

    fn wake(&self) {
        for (_, wake) in &self.wakes {
            wake.notify_one();
        }
    }
}

/// A pipeline's hold on a source; dropping it lets go.
pub(crate) struct Puller {
    source: SourceHandle,
    format: Format,
    id: PullerId,
}

impl Puller {
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Samples that could be pulled.
    pub(crate) fn available(&self) -> usize {
        self.with(|state| state.queue.available(self.id))
    }

    /// Whether the application ended what it was saying, and has said nothing since.
    pub(crate) fn is_cut(&self) -> bool {
        self.with(|state| state.queue.is_cut())
    }

    /// Moves the next samples into `into`, as many as there are; answers how many.
    pub(crate) fn pull(&self, now: Instant, into: &mut [i16]) -> usize {
        let count = self.with(|state| state.queue.pull(now, self.id, into));
        self.source.shared.drained.notify_waiters();
        count
    }

    /// Asks to be woken when there is a packet's worth.
    pub(crate) fn wait_for_packet(&self, now: Instant) {
        self.with(|state| state.queue.wait_for_packet(now, self.id));
    }

    fn with<R: Default>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        self.source
            .shared
            .state
            .as_ref()
            .map(|state| act(&mut state.lock()))
            .unwrap_or_default()
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        self.with(|state| {
            state.queue.detach(now(), self.id);
            state.wakes.retain(|(id, _)| *id != self.id);
        });
        self.source.shared.drained.notify_waiters();
    }
}

/// The runtime's clock, so that the waits above and the drain go by the same one.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(hz: u32, channels: u32, queue_ms: u32) -> SourceHandle {
        SourceHandle::new(AudioSourceOptions::default(), hz, channels, queue_ms)
    }

    fn frame(hz: u32, ms: u32) -> AudioFrame<'static> {
        AudioFrame::new(hz, 1, hz / 1000 * ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_capture_that_fits_returns_at_once() {
        let source = source(24_000, 1, 100);
        let before = now();
        source.capture(&frame(24_000, 100)).await.unwrap();
        assert_eq!(now(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn captures_that_nobody_sends_take_the_time_of_their_audio() {
        let source = source(16_000, 1, 100);
        let before = now();
        source.capture(&frame(16_000, 1000)).await.unwrap();
        let took = now() - before;
        let expected = Duration::from_millis(900);
        assert!(
            took >= expected && took < expected + Duration::from_millis(20),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_makes_room_for_a_waiting_capture() {
        let source = source(8_000, 1, 100);
        let wake = Arc::new(Notify::new());
        let puller = source.attach(wake).unwrap();
        let (long, mut out) = (frame(8_000, 150), [0; 400]);
        let before = now();
        let capture = source.capture(&long);
        let pull = async { puller.pull(now(), &mut out) };
        let (captured, pulled) = futures_util::join!(capture, pull);
        captured.unwrap();
        assert_eq!(pulled, 400);
        assert_eq!(now(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn clearing_lets_a_waiting_capture_return() {
        let source = source(8_000, 1, 100);
        let _puller = source.attach(Arc::new(Notify::new())).unwrap();
        let long = frame(8_000, 200);
        let before = now();
        let (captured, ()) = futures_util::join!(source.capture(&long), async { source.clear() });
        captured.unwrap();
        assert_eq!(now(), before);
    }

    #[tokio::test]
    async fn a_hungry_pipeline_is_woken_by_a_capture() {
        let source = source(8_000, 1, 0);
        let wake = Arc::new(Notify::new());
        let puller = source.attach(wake.clone()).unwrap();
        puller.wait_for_packet(now());
        source.capture(&frame(8_000, 10)).await.unwrap();
        source.capture(&frame(8_000, 10)).await.unwrap();
        wake.notified().await;
        assert_eq!(puller.available(), 160);
    }

    #[tokio::test]
    async fn a_source_without_a_queue_keeps_the_newest_and_never_waits() {
        let source = source(8_000, 1, 0);
        let puller = source.attach(Arc::new(Notify::new())).unwrap();
        for _ in 0..100 {
            source.capture(&frame(8_000, 10)).await.unwrap();
        }
        assert!(puller.available() <= 1600);
        assert!(source.capture(&frame(8_000, 20)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn rates_that_opus_lacks_are_converted_from() {
        let source = source(44_100, 1, 100);
        let puller = source.attach(Arc::new(Notify::new())).unwrap();
        assert_eq!(puller.format().hz(), 48_000);
        let piece = AudioFrame::new(44_100, 1, 4_410);
        let before = now();
        source.capture(&piece).await.unwrap();
        assert_eq!((puller.available(), now()), (4_800, before));
    }

    #[tokio::test]
    async fn what_is_not_supported_is_said() {
        let error = source(1_000, 1, 100)
            .capture(&frame(1_000, 10))
            .await
            .unwrap_err();
        assert!(error.message.contains("1000 Hz"), "{}", error.message);
        let error = source(48_000, 1, 100)
            .capture(&frame(24_000, 10))
            .await
            .unwrap_err();
        assert!(error.message.contains("24000 Hz"), "{}", error.message);
        let stereo = source(48_000, 2, 100);
        let odd = AudioFrame {
            data: vec![0; 3].into(),
            sample_rate: 48_000,
            num_channels: 2,
            samples_per_channel: 1,
        };
        assert!(stereo.capture(&odd).await.is_err());
    }
}
