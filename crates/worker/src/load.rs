//! How busy the process is, as LiveKit is told.
//!
//! A server only considers workers whose load is below 0.7, and among those it
//! draws with the weight `1 − load`. So load is a wish, not a gate: it stays
//! below 0.7 whatever the CPU does for a moment, and a worker that takes no call
//! says so by its status, which follows from counted calls alone.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The highest load that is reported: the server passes over 0.7 and more.
pub const MAX_LOAD: f32 = 0.69;

/// The time over which CPU is averaged. A spike of one status interval (2.5 s)
/// weighs less than half.
const CPU_AVERAGED_OVER: Duration = Duration::from_secs(5);

/// How old a CPU sample may be: many workers ask, one reading serves them all.
const CPU_SAMPLE_AGE: Duration = Duration::from_secs(1);

/// Ticks of `/proc/self/stat` in a second. Linux fixes it at 100 for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// The calls and the load of the whole process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LoadMeter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    max_calls: NonZeroU32,
    /// Calls and reservations. The channel's lock makes admission exact.
    taken: watch::Sender<u32>,
    /// Whether `taken` is at its bound, apart: thousands of workers listen, and
    /// not each of them is to wake with each call.
    full: watch::Sender<bool>,
    cpu: Mutex<Cpu>,
}

/// One call's place in the process. Dropping it gives the place back.
#[derive(Debug)]
pub struct ProcessSlot {
    inner: Arc<Inner>,
}

impl Drop for ProcessSlot {
    fn drop(&mut self) {
        self.inner.taken.send_modify(|taken| *taken -= 1);
        self.inner.note_fullness();
    }
}

impl Inner {
    /// Reads the count under the flag's lock: of two threads, the later one sees
    /// the newest count.
    fn note_fullness(&self) {
        self.full.send_if_modified(|full| {
            let now = *self.taken.borrow() >= self.max_calls.get();
            std::mem::replace(full, now) != now
        });
    }
}

impl LoadMeter {
    /// A meter for a process that takes at most `max_calls` calls at a time.
    pub fn new(max_calls: NonZeroU32) -> Self {
        Self {
            inner: Arc::new(Inner {
                max_calls,
                taken: watch::Sender::new(0),
                full: watch::Sender::new(false),
                cpu: Mutex::new(Cpu::default()),
            }),
        }
    }

    /// A place for one more call, if there is one. Exact: of two that ask at the
    /// same time for the last place, one gets it.
    pub fn try_enter(&self) -> Option<ProcessSlot> {
        let mut entered = false;
        self.inner.taken.send_if_modified(|taken| {
            entered = *taken < self.inner.max_calls.get();
            *taken += u32::from(entered);
            entered
        });
        entered.then(|| {
            self.inner.note_fullness();
            ProcessSlot {
                inner: Arc::clone(&self.inner),
            }
        })
    }

    /// Calls and reservations of the process.
    pub fn taken(&self) -> u32 {
        *self.inner.taken.borrow()
    }

    /// The most calls that the process takes.
    pub fn max_calls(&self) -> NonZeroU32 {
        self.inner.max_calls
    }

    /// Whether no call can be taken.
    pub fn is_full(&self) -> bool {
        self.taken() >= self.inner.max_calls.get()
    }

    /// From 0 to [`MAX_LOAD`]: the larger of taken places and CPU.
    pub fn load(&self) -> f32 {
        let calls = f64::from(self.taken()) / f64::from(self.inner.max_calls.get());
        let cpu = self.inner.cpu.lock().utilisation(Instant::now());
        scaled(calls.max(cpu))
    }

    /// Whether the process is full, to be waited on.
    pub(crate) fn fullness(&self) -> watch::Receiver<bool> {
        self.inner.full.subscribe()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a fraction of one")]
fn scaled(fraction: f64) -> f32 {
    fraction.clamp(0.0, 1.0) as f32 * MAX_LOAD
}

/// The process's CPU use against the CPUs that it may use.
#[derive(Debug, Default)]
struct Cpu {
    last: Option<(Instant, u64)>,
    average: f64,
}

impl Cpu {
    fn utilisation(&mut self, now: Instant) -> f64 {
        let fresh = self
            .last
            .is_some_and(|(at, _)| now.saturating_duration_since(at) < CPU_SAMPLE_AGE);
        if !fresh && let Some(ticks) = own_ticks() {
            let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
            self.sample(now, ticks, cpus);
        }
        self.average
    }

    fn sample(&mut self, now: Instant, ticks: u64, cpus: usize) {
        if let Some((at, before)) = self.last {
            let elapsed = now.saturating_duration_since(at).as_secs_f64();
            if elapsed > 0.0 {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let used = ticks.saturating_sub(before) as f64
                    / (TICKS_PER_SECOND * elapsed * cpus.max(1) as f64);
                let weight = 1.0 - (-elapsed / CPU_AVERAGED_OVER.as_secs_f64()).exp();
                self.average += (used.min(1.0) - self.average) * weight;
            }
        }
        self.last = Some((now, ticks));
    }
}

/// User and system time of this process. `None` where there is no `/proc`: load
/// is then calls alone.
fn own_ticks() -> Option<u64> {
    parse_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Fields 14 and 15 of proc(5)'s `stat`. The name in field 2 may hold blanks and
/// brackets, so fields are counted from its last bracket.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(max: u32) -> LoadMeter {
        LoadMeter::new(NonZeroU32::new(max).unwrap())
    }

    #[test]
    fn the_last_place_is_given_once() {
        let meter = meter(50);
        let slots: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..20)
                            .filter_map(|_| meter.try_enter())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap())
                .collect()
        });
        assert_eq!(slots.len(), 50);
        assert!(meter.is_full() && meter.try_enter().is_none());
        drop(slots);
        assert_eq!(meter.taken(), 0);
    }

    #[test]
    fn a_full_process_still_reports_less_than_the_server_passes_over() {
        let meter = meter(1);
        let _slot = meter.try_enter().unwrap();
        assert!((meter.load() - MAX_LOAD).abs() < 1e-6);
        assert!(scaled(7.0) < 0.7);
    }

    #[test]
    fn a_spike_of_cpu_is_averaged() {
        let start = Instant::now();
        let mut cpu = Cpu::default();
        cpu.sample(start, 1000, 2);
        cpu.sample(start + Duration::from_secs(1), 1200, 2);
        assert!((0.15..0.25).contains(&cpu.average), "{}", cpu.average);
        for second in 2..40 {
            cpu.sample(start + Duration::from_secs(second), 1000 + second * 200, 2);
        }
        assert!(cpu.average > 0.95);
    }

    #[test]
    fn ticks_are_read_behind_a_name_with_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 71 29 0 0 20 0 8 0 99 1 1";
        assert_eq!(parse_ticks(stat), Some(100));
        assert_eq!(parse_ticks("nonsense"), None);
    }

    #[test]
    fn becoming_full_and_free_again_is_told_once_each() {
        let meter = meter(2);
        let mut full = meter.fullness();
        let one = meter.try_enter().unwrap();
        assert!(!full.has_changed().unwrap());
        let two = meter.try_enter().unwrap();
        assert!(*full.borrow_and_update());
        drop(one);
        assert!(full.has_changed().unwrap() && !*full.borrow_and_update());
        drop(two);
        assert!(!full.has_changed().unwrap());
    }
}
