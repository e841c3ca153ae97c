//! What the caller is going to hear, and how much of it was heard. Pure: time
//! comes in as an argument.
//!
//! A model sends its speech several times faster than it is spoken. It waits
//! here, item by item, and leaves in frames of 10 ms. The track behind takes
//! frames ahead of time into a short buffer, so what was *handed over* is more
//! than what was *heard*: the difference is how far `handed_until` lies ahead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkline_realtime::{ItemId, SAMPLE_RATE};

/// Samples of a frame: 10 ms, the unit of the media engine.
pub(crate) const FRAME_SAMPLES: usize = SAMPLE_RATE as usize / 100;
/// Duration of a frame.
pub(crate) const FRAME: Duration = Duration::from_millis(10);

/// The most that waits, in samples: four minutes, which is longer than the
/// longest response that the vendors allow (4,096 audio tokens, about 200 s).
const MAX_QUEUED_SAMPLES: usize = 240 * SAMPLE_RATE as usize;

/// Whose sound it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Voice {
    /// An item of the model's conversation.
    Model(ItemId),
    /// A recording: the apology, or what is played in an agent's place.
    Recording,
}

/// What was heard of an item when the caller broke in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) item: ItemId,
    pub(crate) heard: Duration,
}

#[derive(Debug)]
struct Utterance {
    voice: Voice,
    waiting: VecDeque<i16>,
    handed_samples: usize,
    /// The end of what was handed over, at most [`MAX_AHEAD`] of it.
    handed: VecDeque<i16>,
    complete: bool,
}

impl Utterance {
    /// Takes back what was handed over and not heard.
    fn take_back(&mut self, samples: usize) {
        let kept = self.handed.len().saturating_sub(samples);
        for sample in self.handed.drain(kept..).rev() {
            self.waiting.push_front(sample);
        }
        self.handed_samples -= samples;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PlayoutQueue {
    utterances: VecDeque<Utterance>,
    /// What was cut off and may yet go on.
    broken_off: VecDeque<Utterance>,
    waiting_samples: usize,
    /// When everything that was handed over will have been heard.
    handed_until: Option<Instant>,
    open: bool,
}

impl PlayoutQueue {
    /// Lets the sound out. Before this, everything waits.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    /// Adds sound. Returns how many samples did not fit and were dropped.
    pub(crate) fn push(&mut self, voice: &Voice, pcm: &[i16]) -> usize {
        let room = MAX_QUEUED_SAMPLES - self.waiting_samples;
        let taken = &pcm[..pcm.len().min(room)];
        self.broken_off.clear();
        self.waiting_samples += taken.len();
        match self
            .utterances
            .iter_mut()
            .find(|u| u.voice == *voice && !u.complete)
        {
            Some(utterance) => utterance.waiting.extend(taken),
            None => self.utterances.push_back(Utterance {
                voice: voice.clone(),
                waiting: taken.iter().copied().collect(),
                handed_samples: 0,
                handed: VecDeque::new(),
                complete: false,
            }),
        }
        pcm.len() - taken.len()
    }

    /// Nothing more comes of this voice's present utterance.
    pub(crate) fn complete(&mut self, voice: &Voice) {
        for utterance in self.utterances.iter_mut().filter(|u| u.voice == *voice) {
            utterance.complete = true;
        }
        self.forget_heard();
    }

    /// The next frame to hand over, or `None` when there is none now.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Option<Vec<i16>> {
        if !self.open {
            return None;
        }
        self.forget_heard();
        let mut frame = Vec::with_capacity(FRAME_SAMPLES);
        for utterance in &mut self.utterances {
            let wanted = FRAME_SAMPLES - frame.len();
            // Half a frame waits for its other half, unless no more will come.
            if utterance.waiting.len() < wanted && !utterance.complete {
                break;
            }
            let taken = wanted.min(utterance.waiting.len());
            let start = frame.len();
            frame.extend(utterance.waiting.drain(..taken));
            utterance.handed_samples += taken;
            utterance.handed.extend(&frame[start..]);
            let surplus = utterance.handed.len().saturating_sub(samples(MAX_AHEAD));
            utterance.handed.drain(..surplus);
            if utterance.waiting.is_empty() {
                // Give the memory back: an answer of a minute held 3 MB.
                utterance.waiting = VecDeque::new();
            }
            if frame.len() == FRAME_SAMPLES {
                break;
            }
        }
        if frame.is_empty() {
            return None;
        }
        self.waiting_samples -= frame.len();
        frame.resize(FRAME_SAMPLES, 0);
        self.handed_until = Some(self.handed_until.map_or(now, |until| until.max(now)) + FRAME);
        Some(frame)
    }

    /// Stops all sound that was not heard yet and says, for every item of the
    /// model's that was to be heard, how much of it was. What was stopped is kept
    /// until other sound comes.
    pub(crate) fn cut(&mut self, now: Instant) -> Vec<Cut> {
        let mut unheard = samples(self.ahead(now));
        let mut cuts = Vec::new();
        self.broken_off.clear();
        // From the newest back: the samples that are still in the track's buffer
        // belong to the utterance that was handed over last.
        for mut utterance in self.utterances.drain(..).rev() {
            let back = unheard.min(utterance.handed_samples);
            unheard -= back;
            let whole = utterance.complete && utterance.waiting.is_empty() && back == 0;
            utterance.take_back(back);
            if let Voice::Model(item) = &utterance.voice
                && !whole
            {
                cuts.push(Cut {
                    item: item.clone(),
                    heard: duration(utterance.handed_samples),
                });
                self.broken_off.push_front(utterance);
            }
        }
        cuts.reverse();
        self.waiting_samples = 0;
        self.handed_until = None;
        cuts
    }

    /// Lets go on what was stopped last. Nothing more comes of it.
    pub(crate) fn resume(&mut self) {
        for mut utterance in self.broken_off.drain(..) {
            utterance.complete = true;
            self.waiting_samples += utterance.waiting.len();
            self.utterances.push_back(utterance);
        }
    }

    /// When the last sound will have been heard: `None` while more is to come or
    /// waits, the past when it was heard already.
    pub(crate) fn drained_at(&self, now: Instant) -> Option<Instant> {
        let more = self
            .utterances
            .iter()
            .any(|u| !u.complete || !u.waiting.is_empty());
        (!more).then(|| self.handed_until.unwrap_or(now))
    }

    fn ahead(&self, now: Instant) -> Duration {
        self.handed_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// What was handed over whole is kept as long as something is after it only
    /// in the track's buffer; one such utterance is enough to account for it.
    fn forget_heard(&mut self) {
        while self.utterances.len() > 1
            && self.utterances[0].complete
            && self.utterances[0].waiting.is_empty()
            && self.utterances[1].handed_samples > samples(MAX_AHEAD)
        {
            self.utterances.pop_front();
        }
    }
}

/// No track buffers more than this.
const MAX_AHEAD: Duration = Duration::from_millis(500);

/// How long so many samples last.
pub(crate) fn duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(SAMPLE_RATE))
}

fn samples(duration: Duration) -> usize {
    usize::try_from(duration.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000)
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(name: &str) -> Voice {
        Voice::Model(ItemId::from(name))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn tone(ms: u64) -> Vec<i16> {
        vec![1; samples(Duration::from_millis(ms))]
    }

    #[test]
    fn nothing_leaves_before_the_call_is_active() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.push(&item("a"), &tone(100));
        assert_eq!(queue.next_frame(now), None);
        queue.open();
        assert!(queue.next_frame(now).is_some());
    }

    #[test]
    fn what_the_track_still_buffers_was_not_heard() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.open();
        queue.push(&item("a"), &tone(1000));
        // Ten frames are handed over at once into the track's buffer …
        for _ in 0..10 {
            queue.next_frame(now).unwrap();
        }
        // … and 30 ms later the caller breaks in.
        let cuts = queue.cut(now + ms(30));
        assert_eq!(
            cuts,
            [Cut {
                item: ItemId::from("a"),
                heard: ms(30)
            }]
        );
        assert_eq!(queue.next_frame(now + ms(40)), None);
    }

    #[test]
    fn an_item_that_was_heard_to_its_end_is_not_cut() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.open();
        queue.push(&item("a"), &tone(20));
        queue.complete(&item("a"));
        while queue.next_frame(now).is_some() {}
        assert_eq!(queue.drained_at(now), Some(now + ms(20)));
        assert_eq!(queue.cut(now + ms(25)), []);
    }

    #[test]
    fn an_item_that_never_began_was_heard_for_no_time() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.open();
        queue.push(&item("a"), &tone(100));
        queue.complete(&item("a"));
        queue.push(&item("b"), &tone(100));
        for i in 0..5 {
            queue.next_frame(now + FRAME * i).unwrap();
        }
        let cuts = queue.cut(now + ms(50));
        assert_eq!(
            cuts[0],
            Cut {
                item: ItemId::from("a"),
                heard: ms(50)
            }
        );
        assert_eq!(
            cuts[1],
            Cut {
                item: ItemId::from("b"),
                heard: ms(0)
            }
        );
    }

    #[test]
    fn what_was_stopped_can_go_on_from_where_it_was_heard() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.open();
        let counted: Vec<i16> = (0..24_000).map(|n| (n / 24) as i16).collect();
        queue.push(&item("a"), &counted);
        for _ in 0..10 {
            queue.next_frame(now).unwrap();
        }
        assert_eq!(queue.cut(now + ms(30))[0].heard, ms(30));
        queue.resume();
        // The sample of the 31st millisecond.
        assert_eq!(queue.next_frame(now + ms(600)).unwrap()[0], 30);
        let mut last = 0;
        while let Some(frame) = queue.next_frame(now + ms(600)) {
            last = frame[FRAME_SAMPLES - 1];
        }
        assert_eq!(last, 999);
        assert!(queue.drained_at(now + ms(600)).is_some());
    }

    #[test]
    fn what_was_stopped_is_forgotten_when_other_sound_comes() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.open();
        queue.push(&item("a"), &tone(100));
        queue.cut(now);
        queue.push(&item("b"), &tone(10));
        queue.complete(&item("b"));
        queue.resume();
        assert!(queue.next_frame(now).is_some());
        assert_eq!(queue.next_frame(now), None);
    }

    #[test]
    fn a_gap_in_the_models_audio_does_not_count_as_heard() {
        let now = Instant::now();
        let mut queue = PlayoutQueue::default();
        queue.open();
        queue.push(&item("a"), &tone(20));
        while queue.next_frame(now).is_some() {}
        let later = now + ms(500);
        queue.push(&item("a"), &tone(200));
        queue.next_frame(later).unwrap();
        assert_eq!(queue.cut(later + ms(10))[0].heard, ms(30));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut queue = PlayoutQueue::default();
        let chunk = tone(1000);
        let dropped: usize = (0..300).map(|_| queue.push(&item("a"), &chunk)).sum();
        assert_eq!(dropped, 60 * SAMPLE_RATE as usize);
    }

    proptest! {
        /// Whatever the order of events: what was heard never exceeds what was
        /// given, nor the time since the first frame.
        #[test]
        fn heard_is_bounded_by_given_and_by_time(
            pushes in proptest::collection::vec((0u8..3, 1u64..200), 1..20),
            frames in 0u32..300,
            step_ms in 0u64..12,
            wait_ms in 0u64..50,
        ) {
            let start = Instant::now();
            let mut queue = PlayoutQueue::default();
            queue.open();
            let mut given = [Duration::ZERO; 3];
            for (voice, length) in pushes {
                queue.push(&item(&voice.to_string()), &tone(length));
                given[usize::from(voice)] += ms(length);
            }
            let mut now = start;
            for _ in 0..frames {
                queue.next_frame(now);
                now += ms(step_ms);
            }
            now += ms(wait_ms);
            let total: Duration = queue.cut(now).iter().map(|c| c.heard).sum();
            prop_assert!(total <= now - start + ms(1));
            prop_assert!(total <= given.iter().sum::<Duration>());
            prop_assert_eq!(queue.waiting_samples, 0);
        }
    }
}
