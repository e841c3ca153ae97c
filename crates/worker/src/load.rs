//! How busy the process is: its places, and what LiveKit is told.
//!
//! A server only considers workers whose load is below 0.7, and among those it
//! draws with the weight `1 − load`. So load is a wish, not a gate: it stays
//! below 0.7 whatever the CPU does for a moment, and a worker that takes no call
//! says so by its status, which follows from counted calls and from strain that
//! lasts ([`crate::headroom`]).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::headroom::Strain;
use crate::session::Refusal;
use crate::share::{Standing, Verdict, judge};

/// The highest load that is reported: the server passes over 0.7 and more.
pub const MAX_LOAD: f32 = 0.69;

/// What the process uses of what it may use. CPU and delay are averages of some
/// seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resources {
    /// The CPUs that it may use; a quota can be a part of one.
    pub cpus: f64,
    /// Their used part of 1.
    pub cpu: f64,
    /// How late tasks run.
    pub event_loop_delay: Duration,
    /// The used part of the memory that there is.
    pub memory: f64,
    /// What the process itself has in RAM. `None` where it cannot be measured.
    pub resident_bytes: Option<u64>,
    /// The used part of the descriptors that it may open.
    pub descriptors: f64,
    /// What it is short of.
    pub strain: Option<Strain>,
}

/// The calls and the load of the whole process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LoadMeter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    max_calls: NonZeroU32,
    /// Its lock makes admission exact.
    ledger: Mutex<Ledger>,
    /// Whether nobody gets a place, apart: thousands of workers listen, and not
    /// each of them is to wake with each call.
    closed: watch::Sender<bool>,
    /// Since when, and why.
    closed_since: Mutex<Option<(Refusal, DateTime<Utc>)>>,
    /// Bits of an `f64`: the part of the CPUs that is used.
    cpu: AtomicU64,
    /// As read last, for people.
    resources: Mutex<Option<Resources>>,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Calls and reservations.
    taken: u32,
    /// Tenants with at least one of them.
    active: u32,
    /// Tenants.
    tenants: u32,
    strain: Option<Strain>,
}

/// A tenant's part in the process. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    inner: Arc<Inner>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.inner.ledger.lock().tenants -= 1;
    }
}

/// One call's place in the process, until [`ProcessSlot::leave`].
#[derive(Debug)]
pub(crate) struct ProcessSlot {
    inner: Arc<Inner>,
}

impl ProcessSlot {
    /// Gives the place back. `left` are the tenant's other places, read under
    /// the same lock that its next entry takes.
    pub(crate) fn leave(self, left: u32) {
        {
            let mut ledger = self.inner.ledger.lock();
            ledger.taken -= 1;
            ledger.active -= u32::from(left == 0);
        }
        self.inner.note_closing();
    }
}

impl Inner {
    /// Reads the count under the flag's lock: of two threads, the later one sees
    /// the newest count.
    fn note_closing(&self) {
        self.closed.send_if_modified(|closed| {
            let obstacle = self.obstacle();
            let is_full = obstacle == Some(Refusal::ProcessFull);
            gauge!("trunkline_process_full").set(f64::from(u8::from(is_full)));
            let mut since = self.closed_since.lock();
            *since = obstacle.map(|refusal| match *since {
                Some((before, at)) if before == refusal => (refusal, at),
                _ => (refusal, Utc::now()),
            });
            let now = obstacle.is_some();
            std::mem::replace(closed, now) != now
        });
    }

    fn obstacle(&self) -> Option<Refusal> {
        let ledger = self.ledger.lock();
        if ledger.taken >= self.max_calls.get() {
            Some(Refusal::ProcessFull)
        } else {
            ledger.strain.map(Refusal::Strained)
        }
    }
}

impl LoadMeter {
    /// A meter for a process that takes at most `max_calls` calls at a time.
    pub fn new(max_calls: NonZeroU32) -> Self {
        Self {
            inner: Arc::new(Inner {
                max_calls,
                ledger: Mutex::default(),
                closed: watch::Sender::new(false),
                closed_since: Mutex::new(None),
                cpu: AtomicU64::new(0),
                resources: Mutex::new(None),
            }),
        }
    }

    /// One more tenant, whose share is to be seen to.
    pub(crate) fn enrol(&self) -> Membership {
        self.inner.ledger.lock().tenants += 1;
        Membership {
            inner: Arc::clone(&self.inner),
        }
    }

    /// A place for one more call of a tenant that has `own` places, if there is
    /// one for it. Exact: of two that ask at the same time for the last place, one
    /// gets it. To be asked under the lock that guards `own`.
    ///
    /// # Errors
    /// When there is none, or it is kept for others.
    pub(crate) fn try_enter(&self, own: u32) -> Result<ProcessSlot, Refusal> {
        {
            let mut ledger = self.inner.ledger.lock();
            let standing = Standing {
                capacity: self.inner.max_calls.get(),
                taken: ledger.taken,
                tenants: ledger.tenants,
                active: ledger.active,
                own,
            };
            match judge(standing) {
                Verdict::Full => return Err(Refusal::ProcessFull),
                _ if ledger.strain.is_some() => {
                    return Err(ledger
                        .strain
                        .map_or(Refusal::ProcessFull, Refusal::Strained));
                }
                Verdict::BeyondShare => return Err(Refusal::TenantShare),
                Verdict::Admitted => {}
            }
            ledger.taken += 1;
            ledger.active += u32::from(own == 0);
        }
        self.inner.note_closing();
        Ok(ProcessSlot {
            inner: Arc::clone(&self.inner),
        })
    }

    /// Calls and reservations of the process.
    pub fn taken(&self) -> u32 {
        self.inner.ledger.lock().taken
    }

    /// The most calls that the process takes.
    pub fn max_calls(&self) -> NonZeroU32 {
        self.inner.max_calls
    }

    /// Why no call of any tenant can be taken, if so.
    pub fn obstacle(&self) -> Option<Refusal> {
        self.inner.obstacle()
    }

    /// Why no call of any tenant can be taken, and since when, if so.
    pub fn closed_since(&self) -> Option<(Refusal, DateTime<Utc>)> {
        *self.inner.closed_since.lock()
    }

    /// What the process is short of, as it was measured last.
    pub(crate) fn set_headroom(&self, cpu: f64, strain: Option<Strain>) {
        self.inner.cpu.store(cpu.to_bits(), Ordering::Relaxed);
        self.inner.ledger.lock().strain = strain;
        self.inner.note_closing();
    }

    /// What the process uses, as it was read last. `None`: not yet.
    pub fn resources(&self) -> Option<Resources> {
        *self.inner.resources.lock()
    }

    pub(crate) fn set_resources(&self, resources: Resources) {
        *self.inner.resources.lock() = Some(resources);
    }

    /// From 0 to [`MAX_LOAD`]: the larger of taken places and CPU.
    pub fn load(&self) -> f32 {
        let calls = f64::from(self.taken()) / f64::from(self.inner.max_calls.get());
        let cpu = f64::from_bits(self.inner.cpu.load(Ordering::Relaxed));
        scaled(calls.max(cpu))
    }

    /// Whether no tenant can get a place, to be waited on.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.inner.closed.subscribe()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a fraction of one")]
fn scaled(fraction: f64) -> f32 {
    fraction.clamp(0.0, 1.0) as f32 * MAX_LOAD
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
                    // Each call is another tenant's.
                    scope.spawn(|| (0..20).filter_map(|_| meter.try_enter(0).ok()).collect())
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|t| -> Vec<ProcessSlot> { t.join().unwrap() })
                .collect()
        });
        assert_eq!(slots.len(), 50);
        assert_eq!(meter.obstacle(), Some(Refusal::ProcessFull));
        assert_eq!(meter.try_enter(0).err(), Some(Refusal::ProcessFull));
        for slot in slots {
            slot.leave(0);
        }
        assert_eq!((meter.taken(), meter.obstacle()), (0, None));
    }

    #[test]
    fn a_full_process_still_reports_less_than_the_server_passes_over() {
        let meter = meter(1);
        let _slot = meter.try_enter(0).unwrap();
        assert!((meter.load() - MAX_LOAD).abs() < 1e-6);
        assert!(scaled(7.0) < 0.7);
    }

    #[test]
    fn becoming_full_and_free_again_is_told_once_each() {
        let meter = meter(2);
        let mut closed = meter.closing();
        let one = meter.try_enter(0).unwrap();
        assert!(!closed.has_changed().unwrap());
        let two = meter.try_enter(0).unwrap();
        assert!(*closed.borrow_and_update());
        one.leave(0);
        assert!(closed.has_changed().unwrap() && !*closed.borrow_and_update());
        two.leave(0);
        assert!(!closed.has_changed().unwrap());
    }

    #[test]
    fn strain_closes_the_process_says_of_what_and_is_told() {
        let meter = meter(10);
        let mut closed = meter.closing();
        meter.set_headroom(0.95, Some(Strain::Cpu));
        assert!(*closed.borrow_and_update());
        assert_eq!(
            meter.try_enter(0).err(),
            Some(Refusal::Strained(Strain::Cpu))
        );
        assert!((meter.load() - 0.95 * MAX_LOAD).abs() < 1e-3);
        meter.set_headroom(0.5, None);
        assert!(closed.has_changed().unwrap());
        assert!(meter.try_enter(0).is_ok());
    }
}
