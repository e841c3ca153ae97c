//! PCM on its way from the application to those who send it. Sans-IO.
//!
//! The policy: several pipelines may pull the same audio, each at its own pace, and audio is
//! forgotten when all of them have had it. While none of them pulls, the queue empties itself in
//! real time, so that an application that waits for room never waits for ever.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::format::{Format, PACKET_MS};

/// A pipeline that has not pulled waiting audio for so long does not send at present. Ten of its
/// 20 ms: a driver on a busy machine is late by less, and an application notices no more.
const STALE_AFTER: Duration = Duration::from_millis(200);

/// Names a pipeline at a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PullerId(u64);

#[derive(Debug)]
struct Puller {
    id: PullerId,
    /// Position in the stream of samples up to which it has had the audio.
    cursor: u64,
    last_pull: Instant,
    /// Found too little at its last pull, and wants to know when there is a packet's worth.
    hungry: bool,
}

/// What the application captured and has not been sent.
#[derive(Debug)]
pub(crate) struct SourceQueue {
    format: Format,
    samples: VecDeque<i16>,
    /// Position of the first sample that is held.
    base: u64,
    pullers: Vec<Puller>,
    next_id: u64,
    /// Up to when audio has been consumed, as far as the clock consumes it.
    drained_until: Instant,
    /// Since when there has been something to pull.
    filled_since: Instant,
    is_cut: bool,
}

impl SourceQueue {
    pub(crate) fn new(now: Instant, format: Format) -> Self {
        Self {
            format,
            samples: VecDeque::new(),
            base: 0,
            pullers: Vec::new(),
            next_id: 0,
            drained_until: now,
            filled_since: now,
            is_cut: false,
        }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Samples that are held.
    pub(crate) fn level(&self) -> usize {
        self.samples.len()
    }

    /// Adds samples. Answers whether a pipeline waits for them.
    pub(crate) fn push(&mut self, now: Instant, samples: &[i16]) -> bool {
        self.advance(now);
        if self.samples.is_empty() {
            self.drained_until = now;
            self.filled_since = now;
        }
        self.is_cut = false;
        self.samples.extend(samples);
        let end = self.end();
        let packet = self.format.samples(PACKET_MS) as u64;
        let mut fed = false;
        for puller in &mut self.pullers {
            if puller.hungry && end - puller.cursor.max(self.base) >= packet {
                puller.hungry = false;
                fed = true;
            }
        }
        fed
    }

    /// Forgets the oldest samples beyond `limit`; answers how many.
    pub(crate) fn truncate_oldest(&mut self, limit: usize) -> usize {
        let excess = self.samples.len().saturating_sub(limit);
        self.forget(excess);
        excess
    }

    /// Forgets everything: what was being said is over.
    pub(crate) fn cut(&mut self) {
        self.forget(self.samples.len());
        self.is_cut = true;
    }

    /// Whether the application ended what it was saying, and has said nothing since.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// A new pipeline: it gets what is held and what comes.
    pub(crate) fn attach(&mut self, now: Instant) -> PullerId {
        self.advance(now);
        let id = PullerId(self.next_id);
        self.next_id += 1;
        self.pullers.push(Puller {
            id,
            cursor: self.base,
            last_pull: now,
            hungry: false,
        });
        id
    }

    pub(crate) fn detach(&mut self, now: Instant, id: PullerId) {
        self.advance(now);
        self.pullers.retain(|puller| puller.id != id);
        if self.pullers.is_empty() {
            self.drained_until = self.drained_until.max(now);
        }
        self.forget_what_all_had(now);
    }

    /// What a pipeline could pull now.
    pub(crate) fn available(&self, id: PullerId) -> usize {
        let cursor = self
            .pullers
            .iter()
            .find(|p| p.id == id)
            .map(|p| p.cursor.max(self.base));
        cursor.map_or(0, |cursor| (self.end() - cursor) as usize)
    }

    /// Moves a pipeline's next samples into `into`, as many as there are; answers how many.
    pub(crate) fn pull(&mut self, now: Instant, id: PullerId, into: &mut [i16]) -> usize {
        let (base, end) = (self.base, self.end());
        let Some(puller) = self.pullers.iter_mut().find(|puller| puller.id == id) else {
            return 0;
        };
        let cursor = puller.cursor.max(base);
        let count = into.len().min((end - cursor) as usize);
        puller.cursor = cursor + count as u64;
        puller.last_pull = now;
        let from = (cursor - base) as usize;
        copy_range(&self.samples, from, &mut into[..count]);
        self.drained_until = self.drained_until.max(now);
        self.forget_what_all_had(now);
        count
    }

    /// A pipeline has come by and found less than it needs: [`SourceQueue::push`] tells when
    /// there is enough.
    pub(crate) fn wait_for_packet(&mut self, now: Instant, id: PullerId) {
        if let Some(puller) = self.pullers.iter_mut().find(|puller| puller.id == id) {
            puller.hungry = true;
            puller.last_pull = now;
        }
    }

    /// Lets the clock consume what nobody pulls.
    pub(crate) fn advance(&mut self, now: Instant) {
        let start = self.drain_start();
        let Some(elapsed) = now.checked_duration_since(start) else {
            return;
        };
        let due = self.format.samples_in(elapsed);
        if due >= self.samples.len() {
            self.drained_until = now;
            self.forget(self.samples.len());
        } else {
            self.drained_until = start + self.format.duration(due);
            self.forget(due);
        }
    }

    /// When no more than `level` samples will be held if nobody pulls from now on.
    pub(crate) fn falls_to_at(&self, level: usize) -> Instant {
        let excess = self.samples.len().saturating_sub(level);
        // One microsecond makes up for the rounding down of durations.
        self.drain_start() + self.format.duration(excess) + Duration::from_micros(1)
    }

    /// From when the clock consumes: at once where no pipeline is attached, else from when the
    /// last of them is stale.
    fn drain_start(&self) -> Instant {
        self.pullers
            .iter()
            .map(|puller| self.stale_at(puller))
            .max()
            .map_or(self.drained_until, |stale| stale.max(self.drained_until))
    }

    fn stale_at(&self, puller: &Puller) -> Instant {
        puller.last_pull.max(self.filled_since) + STALE_AFTER
    }

    fn end(&self) -> u64 {
        self.base + self.samples.len() as u64
    }

    fn forget_what_all_had(&mut self, now: Instant) {
        let live = self
            .pullers
            .iter()
            .filter(|puller| self.stale_at(puller) > now);
        if let Some(cursor) = live.map(|puller| puller.cursor.max(self.base)).min() {
            self.forget((cursor - self.base) as usize);
        }
    }

    fn forget(&mut self, count: usize) {
        self.samples.drain(..count);
        self.base += count as u64;
    }
}

fn copy_range(from: &VecDeque<i16>, start: usize, into: &mut [i16]) {
    let (head, tail) = from.as_slices();
    let split = head.len().saturating_sub(start).min(into.len());
    let (first, second) = into.split_at_mut(split);
    if !first.is_empty() {
        first.copy_from_slice(&head[start..start + first.len()]);
    }
    if !second.is_empty() {
        let skip = start.saturating_sub(head.len());
        second.copy_from_slice(&tail[skip..skip + second.len()]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn queue(now: Instant) -> SourceQueue {
        SourceQueue::new(now, Format::exact(8_000, 1).unwrap())
    }

    fn ramp(from: i16, count: i16) -> Vec<i16> {
        (from..from + count).collect()
    }

    #[test]
    fn a_pipeline_gets_samples_in_order_and_they_are_forgotten() {
        let now = Instant::now();
        let mut queue = queue(now);
        let id = queue.attach(now);
        queue.push(now, &ramp(0, 100));
        let mut out = [0; 60];
        assert_eq!(queue.pull(now, id, &mut out), 60);
        assert_eq!(out.to_vec(), ramp(0, 60));
        assert_eq!(queue.level(), 40);
        assert_eq!(queue.pull(now, id, &mut out), 40);
        assert_eq!(out[..40], ramp(60, 40));
    }

    #[test]
    fn two_pipelines_both_get_everything() {
        let now = Instant::now();
        let mut queue = queue(now);
        let (one, two) = (queue.attach(now), queue.attach(now));
        queue.push(now, &ramp(0, 50));
        let (mut first, mut second) = ([0; 50], [0; 50]);
        assert_eq!(queue.pull(now, one, &mut first), 50);
        assert_eq!(queue.level(), 50);
        assert_eq!(queue.pull(now, two, &mut second), 50);
        assert_eq!(first, second);
        assert_eq!(queue.level(), 0);
    }

    #[test]
    fn a_source_that_nobody_pulls_drains_in_real_time() {
        let now = Instant::now();
        let mut queue = queue(now);
        queue.push(now, &[1; 800]);
        assert_eq!(
            queue.falls_to_at(400),
            now + 50 * MS + Duration::from_micros(1)
        );
        queue.advance(now + 30 * MS);
        assert_eq!(queue.level(), 560);
        queue.advance(now + 200 * MS);
        assert_eq!(queue.level(), 0);
    }

    #[test]
    fn silence_before_a_capture_is_not_charged_to_it() {
        let now = Instant::now();
        let mut queue = queue(now);
        queue.push(now + 5000 * MS, &[1; 800]);
        assert_eq!(queue.level(), 800);
        queue.advance(now + 5010 * MS);
        assert_eq!(queue.level(), 720);
    }

    #[test]
    fn a_pipeline_that_stops_pulling_does_not_hold_the_source_up() {
        let now = Instant::now();
        let mut queue = queue(now);
        let id = queue.attach(now);
        queue.push(now, &[1; 1600]);
        queue.advance(now + STALE_AFTER);
        assert_eq!(queue.level(), 1600, "late is not gone");
        queue.advance(now + STALE_AFTER + 100 * MS);
        assert_eq!(queue.level(), 800);
        // It comes back, and carries on with what is left.
        let mut out = [0; 160];
        assert_eq!(queue.pull(now + STALE_AFTER + 100 * MS, id, &mut out), 160);
        queue.advance(now + STALE_AFTER + 120 * MS);
        assert_eq!(queue.level(), 640, "a live pipeline alone consumes");
    }

    #[test]
    fn a_stale_pipeline_does_not_hold_up_its_neighbour() {
        let now = Instant::now();
        let mut queue = queue(now);
        let (live, _stale) = (queue.attach(now), queue.attach(now));
        queue.push(now, &[1; 1600]);
        let later = now + STALE_AFTER + MS;
        let mut out = [0; 1600];
        queue.pull(later - 2 * MS, live, &mut out[..160]);
        assert_eq!(queue.level(), 1600);
        queue.pull(later, live, &mut out[..160]);
        assert_eq!(queue.level(), 1280);
    }

    #[test]
    fn detaching_the_last_pipeline_starts_the_drain() {
        let now = Instant::now();
        let mut queue = queue(now);
        let id = queue.attach(now);
        queue.push(now, &[1; 800]);
        queue.detach(now + 10 * MS, id);
        queue.advance(now + 20 * MS);
        assert_eq!(queue.level(), 720);
    }

    #[test]
    fn a_hungry_pipeline_is_fed_once_a_whole_packet_is_there() {
        let now = Instant::now();
        let mut queue = queue(now);
        let id = queue.attach(now);
        queue.wait_for_packet(now, id);
        assert!(!queue.push(now, &[1; 80]));
        assert!(queue.push(now, &[1; 80]));
        assert!(!queue.push(now, &[1; 160]), "it was told already");
    }

    #[derive(Debug, Clone)]
    enum Op {
        Push(usize),
        Pull(usize, usize),
        Pass(u64),
        Clear,
    }

    proptest! {
        /// Whatever happens, a pipeline never sees a sample twice or out of order, and no
        /// audio outlives the time that it takes to play.
        #[test]
        fn pipelines_see_an_ordered_part_of_the_stream(ops in prop::collection::vec(prop_oneof![
            (1usize..400).prop_map(Op::Push),
            (0usize..2, 1usize..400).prop_map(|(who, n)| Op::Pull(who, n)),
            (1u64..300).prop_map(Op::Pass),
            Just(Op::Clear),
        ], 1..200)) {
            let mut now = Instant::now();
            let mut queue = queue(now);
            let ids = [queue.attach(now), queue.attach(now)];
            let mut written = 0i64;
            let mut seen = [-1i64; 2];
            for op in ops {
                match op {
                    Op::Push(count) => {
                        let samples: Vec<i16> =
                            (0..count as i64).map(|i| ((written + i) % 30_000) as i16).collect();
                        written += count as i64;
                        queue.push(now, &samples);
                    }
                    Op::Pull(who, count) => {
                        let mut out = vec![0; count];
                        let got = queue.pull(now, ids[who], &mut out);
                        for sample in &out[..got] {
                            let step = (i64::from(*sample) - seen[who]).rem_euclid(30_000);
                            prop_assert!(step > 0, "a sample came twice");
                            seen[who] += step;
                            prop_assert!(seen[who] < written);
                        }
                    }
                    Op::Pass(ms) => {
                        now += ms as u32 * MS;
                        queue.advance(now);
                    }
                    Op::Clear => queue.cut(),
                }
                prop_assert!(queue.available(ids[0]).max(queue.available(ids[1])) <= queue.level());
            }
            let gone = queue.falls_to_at(0);
            queue.advance(gone.max(now));
            prop_assert_eq!(queue.level(), 0);
        }
    }
}
