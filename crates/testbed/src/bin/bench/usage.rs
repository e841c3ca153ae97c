//! What a process uses, as the kernel counts it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use procfs::process::Process;
use procfs::{CurrentSI as _, KernelStats};

/// A moment of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    at: Instant,
    /// Processor time of all its threads, those that have ended included.
    cpu: Duration,
    /// Its memory, what it shares with others counted in parts.
    pub(crate) pss_kb: f64,
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    machine: Machine,
}

/// Processor time of the whole machine, in ticks.
#[derive(Clone, Copy, Debug)]
struct Machine {
    busy: u64,
    all: u64,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) wall: Duration,
    /// Cores that the process kept busy.
    pub(crate) cores: f64,
    /// The share of the machine that everybody together kept busy: near 1, nothing that was
    /// measured had all the time that it wanted.
    pub(crate) machine_busy: f64,
}

impl Usage {
    /// Looks at a process of ours.
    pub(crate) fn of(pid: i32) -> anyhow::Result<Self> {
        let process = Process::new(pid).context("cannot look at the process")?;
        let stat = process.stat().context("cannot read its statistics")?;
        let rollup = process.smaps_rollup().context("cannot read its memory")?;
        let pss: u64 = rollup
            .memory_map_rollup
            .iter()
            .filter_map(|map| map.extension.map.get("Pss"))
            .sum();
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        Ok(Self {
            at: Instant::now(),
            cpu: Duration::from_secs_f64(ticks),
            pss_kb: pss as f64 / 1_000.0,
            threads: usize::try_from(stat.num_threads).unwrap_or_default(),
            descriptors: process.fd_count().context("cannot count descriptors")?,
            machine: Machine::now()?,
        })
    }

    /// Cores that a process kept busy that was started after `earlier`, a look at another one.
    pub(crate) fn cores_since_start(&self, earlier: &Self) -> f64 {
        self.cpu.as_secs_f64() / self.at.duration_since(earlier.at).as_secs_f64()
    }

    /// What happened since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Span {
        let wall = self.at.duration_since(earlier.at);
        let all = self.machine.all.saturating_sub(earlier.machine.all);
        let busy = self.machine.busy.saturating_sub(earlier.machine.busy);
        Span {
            wall,
            cores: self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / wall.as_secs_f64(),
            machine_busy: busy as f64 / all.max(1) as f64,
        }
    }
}

impl Machine {
    fn now() -> anyhow::Result<Self> {
        let total = KernelStats::current()
            .context("cannot read the machine's statistics")?
            .total;
        let busy = total.user + total.nice + total.system + total.softirq.unwrap_or_default();
        let idle = total.idle + total.iowait.unwrap_or_default();
        Ok(Self {
            busy,
            all: busy + idle,
        })
    }
}
