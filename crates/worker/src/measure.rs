//! What the process measures of itself, from `/proc` and its control group. Where
//! something cannot be read it is `None`, and nothing is refused for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Ticks of `/proc/self/stat` in a second. Linux fixes it at 100 for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where control groups of version 2 are. With version 1 the CPU's quota is known
/// from the standard library, and memory is the machine's.
const CGROUPS: &str = "/sys/fs/cgroup";

/// CPU time against the CPUs that the process may use.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    cpus: f64,
    last: Option<(Instant, u64)>,
}

impl CpuMeter {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let cpus = quota().map_or(threads as f64, |quota| quota.min(threads as f64));
        Self { cpus, last: None }
    }

    /// The CPUs that the process may use.
    pub(crate) fn cpus(&self) -> f64 {
        self.cpus
    }

    /// The used part of 1 since the last time.
    pub(crate) fn used(&mut self, now: Instant) -> Option<f64> {
        let ticks = parse_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        self.sample(now, ticks)
    }

    fn sample(&mut self, now: Instant, ticks: u64) -> Option<f64> {
        let (at, before) = self.last.replace((now, ticks))?;
        let elapsed = now.saturating_duration_since(at);
        if elapsed < Duration::from_millis(1) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let used = ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND;
        Some(used / (elapsed.as_secs_f64() * self.cpus))
    }
}

/// The used part of the memory that there is: of the control group with the
/// tightest limit, or else of the machine.
pub(crate) fn memory() -> Option<f64> {
    let machine = || parse_meminfo(&fs::read_to_string("/proc/meminfo").ok()?);
    let group = groups()
        .into_iter()
        .filter_map(|group| group_memory(&group));
    group.fold(machine(), |most, used| Some(most.unwrap_or(0.0).max(used)))
}

/// What the process has in RAM, in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    parse_resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The used part of the descriptors that the process may open.
pub(crate) fn descriptors() -> Option<f64> {
    let limit = parse_descriptor_limit(&fs::read_to_string("/proc/self/limits").ok()?)?;
    // From Linux 6.2 on the directory's size is the count. Counting costs
    // milliseconds where there are ten thousand.
    let open = match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
        count => count,
    };
    ratio(open, limit)
}

/// The groups that this process is in, from its own upwards.
fn groups() -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string("/proc/self/cgroup") else {
        return Vec::new();
    };
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return Vec::new();
    };
    let root = Path::new(CGROUPS);
    let own = root.join(path);
    own.ancestors()
        .take_while(|group| group.starts_with(root))
        .map(Path::to_path_buf)
        .collect()
}

/// The CPUs of the tightest quota.
fn quota() -> Option<f64> {
    let files = groups().into_iter().map(|group| group.join("cpu.max"));
    files
        .filter_map(|file| parse_quota(&fs::read_to_string(file).ok()?))
        .reduce(f64::min)
}

/// What cannot be given back at once, against the group's limit: pages of files
/// that nobody uses are not counted, as Kubernetes does it.
fn group_memory(group: &Path) -> Option<f64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    let idle: u64 = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "))
        .and_then(|value| value.trim().parse().ok())?;
    ratio(used.saturating_sub(idle), limit)
}

fn ratio(used: u64, limit: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio is no exact number")]
    (limit > 0).then(|| used as f64 / limit as f64)
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

/// `max 100000` is no quota; `150000 100000` are one and a half CPUs.
fn parse_quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let quota: f64 = quota.parse().ok()?;
    let period: f64 = period.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Kilobytes of 1,024 bytes, whatever they are called.
fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn parse_meminfo(text: &str) -> Option<f64> {
    let kilobytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let total = kilobytes("MemTotal:")?;
    let available = kilobytes("MemAvailable:")?;
    ratio(total.saturating_sub(available), total)
}

/// The soft limit: the third column behind the name.
fn parse_descriptor_limit(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    // `unlimited` is no number, and no limit.
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_a_name_with_brackets() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 71 29 0 0 20 0 8 0 99 1 1";
        assert_eq!(parse_ticks(stat), Some(100));
        assert_eq!(parse_ticks("nonsense"), None);
    }

    #[test]
    fn cpu_is_measured_against_what_the_process_may_use() {
        let mut meter = CpuMeter {
            cpus: 2.0,
            last: None,
        };
        let start = Instant::now();
        assert_eq!(meter.sample(start, 1_000), None);
        let later = start + Duration::from_secs(1);
        assert_eq!(meter.sample(later, 1_100), Some(0.5));
        assert_eq!(meter.sample(later, 1_100), None);
    }

    #[test]
    fn a_quota_can_be_a_part_of_a_cpu_or_none() {
        assert_eq!(parse_quota("150000 100000\n"), Some(1.5));
        assert_eq!(parse_quota("max 100000\n"), None);
    }

    #[test]
    fn memory_is_what_is_not_available() {
        let text = "MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    250 kB\n";
        assert_eq!(parse_meminfo(text), Some(0.75));
        assert_eq!(parse_meminfo("MemTotal: 0 kB\nMemAvailable: 0 kB"), None);
    }

    #[test]
    fn what_is_in_ram_is_read_in_bytes() {
        let status = "Name:\ta\nVmRSS:\t    2048 kB\nThreads:\t7\n";
        assert_eq!(parse_resident(status), Some(2 * 1024 * 1024));
        assert_eq!(parse_resident("Name:\ta\n"), None);
    }

    #[test]
    fn the_soft_limit_of_descriptors_counts() {
        let text = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files     \n";
        assert_eq!(parse_descriptor_limit(text), Some(1024));
        let unlimited = "Max open files            unlimited            unlimited            files";
        assert_eq!(parse_descriptor_limit(unlimited), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_measured() {
        let used = memory().unwrap();
        assert!((0.0..=1.0).contains(&used), "{used}");
        let before = descriptors().unwrap();
        let files: Vec<_> = (0..16)
            .map(|_| fs::File::open("/proc/self/stat").unwrap())
            .collect();
        assert!(
            descriptors().unwrap() > before,
            "{} files more",
            files.len()
        );
        let mut meter = CpuMeter::new();
        assert!(meter.cpus > 0.0 && meter.used(Instant::now()).is_none());
    }
}
