//! The process's own figures, under the names that Prometheus' client libraries
//! use. Read from `/proc`; where there is none, they are left out.

use std::fs;

/// `USER_HZ`: the unit of times in `/proc/self/stat`. 100 on every Linux that
/// Rust runs on; the kernel promises it to user space.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn describe() {
    metrics::describe_gauge!("process_resident_memory_bytes", "Memory in RAM.");
    metrics::describe_counter!(
        "process_cpu_seconds_total",
        "Processor time, user and system, in whole seconds."
    );
    metrics::describe_gauge!("process_threads", "Threads.");
    metrics::describe_gauge!("process_open_fds", "Open file descriptors.");
}

/// Reads the figures and sets the metrics.
pub(super) fn measure() {
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kibibytes) = field(&status, "VmRSS:") {
            metrics::gauge!("process_resident_memory_bytes").set(kibibytes * 1024.0);
        }
        if let Some(threads) = field(&status, "Threads:") {
            metrics::gauge!("process_threads").set(threads);
        }
    }
    if let Some(seconds) = fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(cpu_seconds)
    {
        // The crate `metrics` counts in whole numbers.
        metrics::counter!("process_cpu_seconds_total").absolute(seconds as u64);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(entries.count() as f64);
    }
}

/// The first number behind a label of `/proc/self/status`.
fn field(status: &str, label: &str) -> Option<f64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(label))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Fields 14 and 15 of `/proc/self/stat`. The second field is the program's
/// name in parentheses and can hold blanks and parentheses itself.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let behind_name = stat.rsplit_once(')')?.1;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_with_blanks_and_parentheses() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 9 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }

    #[test]
    fn a_field_is_found_by_its_label() {
        let status = "Name:\ttrunkline\nVmRSS:\t   2048 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(2048.0));
        assert_eq!(field(status, "Threads:"), Some(7.0));
        assert_eq!(field(status, "Absent:"), None);
    }
}
