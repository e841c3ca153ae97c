//! A received track: packets come in from the driver, and every attached stream gets its own
//! player. Without a stream nothing is kept or decoded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    format::{API_FRAME_MS, CLOCK_HZ, Format, PACKET, PACKET_TICKS, TICKS_PER_MS},
    playout::{Offset, Playout, PlayoutStats},
    queue::FrameQueue,
    reception::{Packing, Reception, ReceptionStats, RtpInfo},
    red,
    resample::Resampler,
};
use crate::audio_frame::AudioFrame;

/// How much a frame at the API sounds.
const FRAME: Duration = Duration::from_millis(API_FRAME_MS as u64);

/// A reader that holds fewer frames than this gets them one by one, not two at a time.
const ROOMY_QUEUE: usize = 4;

/// Frames that a late tick hands out at most: 100 ms. A reader's default queue holds no more.
const MAX_FRAMES_AT_ONCE: u32 = 10;

/// By how much a tick may come earlier or later than 20 ms after the one before, to be made when
/// packets are due. Within what a timer is late by anyway.
const MAX_STEP: i64 = TICKS_PER_MS / 2;

/// By how much the steps may move the ticks in all, and for what they are made: half a packet. What
/// is beyond is followed by playing faster or slower.
const MAX_STEPS: i64 = PACKET_TICKS as i64 / 2;

/// Counters of a received track.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ReceiveStats {
    /// What came, whether or not anybody listened.
    pub(crate) reception: ReceptionStats,
    /// Of the stream that was attached first, and of those that were before it.
    pub(crate) playout: PlayoutStats,
}

/// Where the packets of a remote track go. Clones are the same track.
#[derive(Clone)]
pub(crate) struct ReceiveTrack {
    shared: Arc<Shared>,
}

struct Shared {
    streams: Mutex<Streams>,
    /// Told when the first stream attaches: there are ticks to be made.
    wake: Arc<Notify>,
    enabled: AtomicBool,
    reception: Mutex<Reception>,
}

#[derive(Default)]
struct Streams {
    /// Shared, so that each tick takes them along without copying the list.
    attached: Arc<[Arc<Stream>]>,
    /// `None` while there is no stream.
    clock: Option<Clock>,
    ended: bool,
    /// What the streams that were first one after the other have done, so that counters never go
    /// back; and what the one that is first now had done before it was.
    before: PlayoutStats,
    unheard: PlayoutStats,
}

/// When frames are handed out.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// Up to when they have been.
    handed_out: Instant,
    /// By how many media ticks steps have moved that.
    moved: i64,
}

impl Clock {
    fn at(handed_out: Instant) -> Self {
        Self {
            handed_out,
            moved: 0,
        }
    }

    /// Moves the next tick towards when the sound is due that it takes.
    fn approach(&mut self, offset: Offset, interval: i64) {
        match offset {
            Offset::Playing(ticks) if ticks.abs() > MAX_STEPS => {}
            Offset::Playing(ticks) => {
                let step = ticks.clamp(-MAX_STEP, MAX_STEP);
                let moved = (self.moved + step).clamp(-MAX_STEPS, MAX_STEPS);
                self.shift(moved - self.moved);
                self.moved = moved;
            }
            // Nobody hears where silence is cut.
            Offset::Waiting(ticks) => {
                self.shift(-(-ticks).rem_euclid(interval));
                self.moved = 0;
            }
        }
    }

    fn shift(&mut self, ticks: i64) {
        let duration =
            Duration::from_micros(ticks.unsigned_abs() * 1_000_000 / u64::from(CLOCK_HZ));
        let shifted = if ticks < 0 {
            self.handed_out.checked_sub(duration)
        } else {
            self.handed_out.checked_add(duration)
        };
        self.handed_out = shifted.unwrap_or(self.handed_out);
    }
}

struct Stream {
    playout: Mutex<Playout>,
    /// To the reader's rate, where Opus does not have it. Taken alone.
    resampler: Option<Mutex<Resampler>>,
    /// The reader's rate in hertz.
    hz: u32,
    frames: FrameQueue,
}

impl ReceiveTrack {
    /// `wake` is told when [`next_tick`](Self::next_tick) turns from `None` to a time.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        let shared = Shared {
            streams: Mutex::default(),
            wake,
            enabled: AtomicBool::new(true),
            reception: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A packet came, whether or not it can be read.
    pub(crate) fn count_rtp(&self, now: Instant, info: &RtpInfo, payload_bytes: usize) {
        let mut reception = self.shared.reception.lock();
        reception.packet(now, info, payload_bytes);
    }

    /// A packet is to be played. Never blocks; forgets it where nobody listens.
    pub(crate) fn push_rtp(&self, now: Instant, info: &RtpInfo, payload: &[u8]) {
        let (ssrc, seq, timestamp) = (info.ssrc, info.sequence as u16, info.timestamp);
        let parts = match info.packing {
            Packing::Plain => None,
            Packing::Redundant => match red::parse(payload) {
                Some(parts) => Some(parts),
                // Not what it says it is.
                None => return,
            },
        };
        for stream in self.shared.streams.lock().attached.iter() {
            let mut playout = stream.playout.lock();
            match &parts {
                None => playout.insert(now, ssrc, seq, timestamp, payload),
                Some(parts) => playout.insert_redundant(now, ssrc, seq, timestamp, parts),
            }
        }
    }

    /// Hands out the frames that are due. Decodes, so not to be called under a lock that
    /// others wait for.
    pub(crate) fn tick(&self, now: Instant) {
        let (frames, streams, interval) = {
            let mut streams = self.shared.streams.lock();
            let interval = streams.interval();
            let Some(clock) = &mut streams.clock else {
                return;
            };
            let due =
                now.saturating_duration_since(clock.handed_out).as_millis() / FRAME.as_millis();
            let due = u32::try_from(due).unwrap_or(u32::MAX);
            if due == 0 {
                return;
            }
            if due > MAX_FRAMES_AT_ONCE {
                *clock = Clock::at(now);
            } else {
                clock.handed_out += FRAME * due;
            }
            let frames = due.min(MAX_FRAMES_AT_ONCE);
            (frames, streams.attached.clone(), interval)
        };
        let enabled = self.shared.enabled.load(Ordering::Relaxed);
        for stream in streams.iter() {
            stream.play(now, frames, enabled, interval);
        }
        // All streams get the same packets; so the first speaks for them.
        if let Some(first) = streams.first().filter(|_| enabled) {
            let mut streams = self.shared.streams.lock();
            if let Some(clock) = &mut streams.clock {
                let playout = first.playout.lock();
                let ticks = media_ticks(interval);
                if let Some(offset) = playout.next_due(clock.handed_out + interval, ticks) {
                    clock.approach(offset, ticks);
                }
            }
        }
    }

    /// When to tick next; `None` while no stream is attached.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        let streams = self.shared.streams.lock();
        Some(streams.clock?.handed_out + streams.interval())
    }

    /// The track has ended: streams yield what is queued, then end.
    pub(crate) fn end(&self) {
        let attached = {
            let mut streams = self.shared.streams.lock();
            streams.ended = true;
            streams.clock = None;
            streams.before = streams.playout();
            std::mem::take(&mut streams.attached)
        };
        for stream in attached.iter() {
            stream.frames.end();
        }
    }

    /// A track that is not enabled is silent, and is not decoded.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.shared.enabled.store(enabled, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> ReceiveStats {
        ReceiveStats {
            reception: self.shared.reception.lock().stats(),
            playout: self.shared.streams.lock().playout(),
        }
    }

    /// Whether the stream became a part of the track; not where the track has ended.
    fn attach(&self, stream: &Arc<Stream>) -> bool {
        let mut streams = self.shared.streams.lock();
        if streams.ended {
            return false;
        }
        let attached = streams.attached.iter().chain([stream]).cloned();
        streams.attached = attached.collect();
        if streams.clock.is_none() {
            streams.clock = Some(Clock::at(Instant::now()));
            drop(streams);
            self.shared.wake.notify_one();
        }
        true
    }

    fn detach(&self, stream: &Arc<Stream>) {
        let mut streams = self.shared.streams.lock();
        let is_first = |first: &Arc<Stream>| Arc::ptr_eq(first, stream);
        if streams.attached.first().is_some_and(is_first) {
            streams.before = streams.playout();
            let next = streams.attached.get(1);
            streams.unheard = next
                .map(|next| next.playout.lock().stats())
                .unwrap_or_default();
        }
        let others = streams.attached.iter();
        let others = others.filter(|other| !Arc::ptr_eq(other, stream)).cloned();
        streams.attached = others.collect();
        if streams.attached.is_empty() {
            streams.clock = None;
        }
    }
}

impl Streams {
    /// What has been played, by whichever stream was first.
    fn playout(&self) -> PlayoutStats {
        match self.attached.first() {
            Some(first) => {
                let first = first.playout.lock().stats();
                first.following(&self.before, &self.unheard)
            }
            None => PlayoutStats {
                target_ticks: 0,
                level: 0.0,
                ..self.before
            },
        }
    }

    /// From one tick to the next.
    fn interval(&self) -> Duration {
        let is_roomy = |stream: &Arc<Stream>| stream.frames.capacity() >= ROOMY_QUEUE;
        if self.attached.iter().all(is_roomy) {
            PACKET
        } else {
            FRAME
        }
    }
}

fn media_ticks(duration: Duration) -> i64 {
    duration.as_millis() as i64 * TICKS_PER_MS
}

impl Stream {
    fn play(&self, now: Instant, frames: u32, enabled: bool, interval: Duration) {
        let mut playout = self.playout.lock();
        let format = playout.format();
        let frame = |data: Vec<i16>| {
            let data = self.at_the_readers_rate(data);
            AudioFrame {
                samples_per_channel: (data.len() / format.channels()) as u32,
                data: data.into(),
                sample_rate: self.hz,
                num_channels: format.channels() as u32,
            }
        };
        if enabled {
            playout.prepare(now, frames as usize, media_ticks(interval));
            self.frames
                .extend((0..frames).map(|_| frame(playout.take())));
        } else {
            let silence = || vec![0; format.samples(API_FRAME_MS)];
            self.frames.extend((0..frames).map(|_| frame(silence())));
        }
    }

    fn at_the_readers_rate(&self, data: Vec<i16>) -> Vec<i16> {
        let Some(resampler) = &self.resampler else {
            return data;
        };
        let mut converted = Vec::new();
        resampler.lock().convert(&data, &mut converted);
        converted
    }
}

/// A reader's hold on a track; dropping it stops the decoding.
pub(crate) struct StreamHandle {
    attached: Option<(ReceiveTrack, Arc<Stream>)>,
}

impl StreamHandle {
    /// Attaches a reader. Where there is nothing to attach to, or nothing to decode with, the
    /// stream ends at once and the log says why.
    pub(crate) fn attach(
        track: Option<&ReceiveTrack>,
        sample_rate: i32,
        num_channels: i32,
        capacity: Option<usize>,
    ) -> Self {
        let Some(track) = track else {
            log::warn!("a stream of a local audio track yields nothing");
            return Self { attached: None };
        };
        let format = Format::nearest(sample_rate, num_channels);
        let wanted = u32::try_from(sample_rate).unwrap_or_default();
        let resampler = (wanted != format.hz())
            .then(|| Resampler::new(format.hz(), wanted, format.channels()))
            .flatten();
        let hz = if resampler.is_some() {
            wanted
        } else {
            format.hz()
        };
        if i64::from(hz) != i64::from(sample_rate) {
            log::warn!("audio of {sample_rate} Hz was asked for and has {hz} Hz");
        }
        let playout = match Playout::new(Instant::now(), format) {
            Ok(playout) => playout,
            Err(error) => {
                log::error!("no Opus decoder for {format:?}: {}", error.message());
                return Self { attached: None };
            }
        };
        let stream = Arc::new(Stream {
            playout: Mutex::new(playout),
            resampler: resampler.map(Mutex::new),
            hz,
            frames: FrameQueue::new(capacity),
        });
        let attached = track.attach(&stream).then(|| (track.clone(), stream));
        Self { attached }
    }

    pub(crate) fn close(&mut self) {
        if let Some((track, stream)) = self.attached.take() {
            track.detach(&stream);
            stream.frames.close();
        }
    }

    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<AudioFrame<'static>>> {
        match &self.attached {
            Some((_, stream)) => stream.frames.poll(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn track() -> (ReceiveTrack, Arc<Notify>) {
        let wake = Arc::new(Notify::new());
        (ReceiveTrack::new(wake.clone()), wake)
    }

    fn stream(track: &ReceiveTrack, hz: i32, capacity: usize) -> StreamHandle {
        StreamHandle::attach(Some(track), hz, 1, Some(capacity))
    }

    fn info(sequence: u64) -> RtpInfo {
        RtpInfo {
            ssrc: 1,
            sequence,
            timestamp: sequence as u32 * 960,
            header_bytes: 12,
            packing: Packing::Redundant,
        }
    }

    fn plain(sequence: u64) -> RtpInfo {
        RtpInfo {
            packing: Packing::Plain,
            ..info(sequence)
        }
    }

    async fn next(stream: &StreamHandle) -> Option<AudioFrame<'static>> {
        poll_fn(|cx| stream.poll_frame(cx)).await
    }

    #[tokio::test]
    async fn without_a_stream_there_is_nothing_to_do() {
        let (track, _) = track();
        assert_eq!(track.next_tick(), None);
        track.count_rtp(Instant::now(), &info(1), 2);
        track.push_rtp(Instant::now(), &info(1), &[72, 0]);
        track.tick(Instant::now());
        assert_eq!(track.stats().reception.packets, 1);
        assert_eq!(track.stats().playout, PlayoutStats::default());
    }

    #[tokio::test]
    async fn copies_in_a_packet_take_the_place_of_what_was_lost() {
        let (track, _) = track();
        let _stream = stream(&track, 16_000, 10);
        let now = Instant::now();
        let mut packer = red::RedPacker::default();
        for number in 1..=4 {
            let packed = packer.pack(111, number * 960, &[72, 7, 7], red::Levels::One);
            if number != 3 {
                track.count_rtp(now, &info(u64::from(number)), packed.len());
                track.push_rtp(now, &info(u64::from(number)), packed);
            }
        }
        track.push_rtp(now, &info(5), &[0xEF]);
        let playout = track.stats().playout;
        assert_eq!((playout.packets, playout.copies), (3, 2));
        assert_eq!(playout.spare_copies, 1, "of the second packet");
        assert_eq!(track.stats().reception.lost, 1);
    }

    #[tokio::test]
    async fn a_stream_yields_silence_in_real_time_while_nothing_comes() {
        let (track, wake) = track();
        let stream = stream(&track, 16_000, 10);
        wake.notified().await;
        let first = track.next_tick().unwrap();
        track.tick(first);
        track.tick(first + PACKET);
        for _ in 0..4 {
            let frame = next(&stream).await.unwrap();
            assert_eq!(
                (frame.sample_rate, frame.samples_per_channel),
                (16_000, 160)
            );
            assert!(frame.data.iter().all(|sample| *sample == 0));
        }
        assert_eq!(track.next_tick(), Some(first + PACKET * 2));
    }

    #[tokio::test]
    async fn ticks_come_to_be_made_when_packets_are_due() {
        let (track, _) = track();
        let _stream = stream(&track, 16_000, 10);
        let start = track.next_tick().unwrap();
        // Of a packet every 20 ms, for each the time until the next tick.
        let waits: Vec<Duration> = (0..2_000)
            .map(|number| {
                let arrival = start + PACKET * number + Duration::from_millis(7);
                while track.next_tick().unwrap() <= arrival {
                    track.tick(track.next_tick().unwrap());
                }
                track.push_rtp(arrival, &plain(u64::from(number)), &[72, 7, 7]);
                track.next_tick().unwrap() - arrival
            })
            .collect();
        let last = waits.last().unwrap();
        // Packets are held for 29 ms on a calm network: for a whole turn, and then for this.
        assert!((8..=10).contains(&last.as_millis()), "{last:?}");
        let playout = track.stats().playout;
        // 40 s, and no more than half a packet beside them.
        assert!((3_997..=4_003).contains(&playout.frames), "{playout:?}");
    }

    #[tokio::test]
    async fn a_late_tick_catches_up_within_bounds() {
        let (track, _) = track();
        let stream = stream(&track, 8_000, 100);
        let first = track.next_tick().unwrap();
        track.tick(first + FRAME * 3);
        assert_eq!(track.stats().playout.frames, 5);
        track.tick(first + Duration::from_secs(5));
        assert_eq!(track.stats().playout.frames, 15);
        drop(stream);
        assert_eq!(track.next_tick(), None);
    }

    #[tokio::test]
    async fn counters_go_on_where_another_stream_is_first() {
        let (track, _) = track();
        let play = |ticks| {
            for _ in 0..ticks {
                track.tick(track.next_tick().unwrap());
            }
            track.stats().playout.frames
        };
        let first = stream(&track, 16_000, 100);
        assert_eq!(play(5), 10);
        let second = stream(&track, 8_000, 100);
        assert_eq!(play(5), 20);
        drop(first);
        let playout = track.stats().playout;
        assert_eq!(playout.frames, 20, "the second has 10");
        assert_eq!(play(5), 30);
        drop(second);
        let silent = track.stats().playout;
        assert_eq!((silent.frames, silent.target_ticks), (30, 0));
        assert!(silent.concealed_ticks >= playout.concealed_ticks);
        let _third = stream(&track, 8_000, 100);
        assert_eq!(play(1), 32);
        track.end();
        assert_eq!(track.stats().playout.frames, 32);
    }

    #[tokio::test]
    async fn streams_have_their_own_rates_and_tiny_queues_get_single_frames() {
        let (track, _) = track();
        let (one, two) = (stream(&track, 8_000, 10), stream(&track, 48_000, 1));
        let tick = track.next_tick().unwrap();
        track.tick(tick);
        assert_eq!(next(&one).await.unwrap().samples_per_channel, 80);
        assert_eq!(next(&two).await.unwrap().samples_per_channel, 480);
        assert_eq!(track.next_tick(), Some(tick + FRAME));
    }

    #[tokio::test]
    async fn rates_that_opus_lacks_are_converted_to() {
        let (track, _) = track();
        let (cd, half) = (stream(&track, 44_100, 10), stream(&track, 22_050, 10));
        let nonsense = stream(&track, 7, 10);
        track.tick(track.next_tick().unwrap());
        for (stream, hz, samples) in [(&cd, 44_100, [441, 441]), (&half, 22_050, [221, 220])] {
            for samples in samples {
                let frame = next(stream).await.unwrap();
                assert_eq!(
                    (frame.sample_rate, frame.samples_per_channel),
                    (hz, samples)
                );
            }
        }
        assert_eq!(next(&nonsense).await.unwrap().sample_rate, 8_000);
    }

    #[tokio::test]
    async fn the_end_of_the_track_ends_its_streams_after_what_was_queued() {
        let (track, _) = track();
        let before = stream(&track, 8_000, 10);
        track.tick(track.next_tick().unwrap());
        track.end();
        assert!(next(&before).await.is_some());
        assert!(next(&before).await.is_some());
        assert!(next(&before).await.is_none());
        let after = stream(&track, 8_000, 10);
        assert!(next(&after).await.is_none());
        assert_eq!(track.next_tick(), None);
    }

    #[tokio::test]
    async fn a_stream_of_a_local_track_ends_at_once() {
        let stream = StreamHandle::attach(None, 8_000, 1, None);
        assert!(next(&stream).await.is_none());
    }
}
