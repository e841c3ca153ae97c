//! A picture in words, as both the screen and the plain tables show it.

use chrono::{DateTime, Utc};

use super::picture::{Call, Picture, Slow, Worker};

pub(super) const PROJECT_HEAD: [&str; 6] =
    ["TENANT", "STATE", "SINCE", "CALLS", "RESTARTS", "REASON"];

pub(super) const CALL_HEAD: [&str; 7] =
    ["TENANT", "CALLER", "CALLED", "AGE", "STEP", "TURNS", "SLOW"];

pub(super) fn project_row(worker: &Worker, now: DateTime<Utc>) -> [String; 6] {
    let count = |count: Option<u32>| count.map_or_else(String::new, |count| count.to_string());
    [
        worker.tenant.to_string(),
        worker.state.to_string(),
        duration((now - worker.since).num_seconds()),
        count(worker.active_calls),
        count(worker.restarts),
        worker
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| reason.to_string()),
    ]
}

pub(super) fn call_row(call: &Call, now: DateTime<Utc>) -> [String; 7] {
    let text = |text: &Option<super::picture::Clean>| {
        text.as_ref()
            .map_or_else(|| "?".to_owned(), |text| text.to_string())
    };
    let slow: Vec<String> = call.slow(now).iter().map(slow_words).collect();
    [
        text(&call.tenant),
        text(&call.caller),
        text(&call.called),
        duration(call.age_s(now)),
        call.step.to_string(),
        call.turns().to_string(),
        slow.join(", "),
    ]
}

/// `lookup 1.8 s`; with dots while it goes on.
fn slow_words(slow: &Slow) -> String {
    let tenths = slow.took_ms / 100;
    let more = if slow.is_over { "" } else { "…" };
    format!("{} {}.{} s{more}", slow.part, tenths / 10, tenths % 10)
}

/// `12s`, `3m07s`, `2h05m`, `4d`.
fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The replica, in lines.
pub(super) fn head(picture: &Picture) -> [String; 2] {
    let replica = &picture.replica;
    let of = replica
        .max_calls
        .map_or_else(String::new, |most| format!(" of {most}"));
    let first = format!(
        "{}  {}  trunkline {}  {} calls{of}",
        replica.name, replica.phase, replica.version, replica.active_calls
    );
    let Some(used) = &replica.resources else {
        return [
            first,
            "what the process uses is not told to this token".to_owned(),
        ];
    };
    let percent = |ratio: f64| format!("{:.0} %", ratio * 100.0);
    let resident = used.resident_bytes.map_or_else(String::new, |bytes| {
        format!(" (this process {} MB)", bytes / 1_000_000)
    });
    let per_call = used
        .process_cores_per_call
        .map_or_else(String::new, |cores| {
            format!(", process / calls {:.1} % of a core", cores * 100.0)
        });
    let strained = used
        .strained
        .as_ref()
        .map_or_else(String::new, |what| format!("  NO MORE CALLS: {what}"));
    let second = format!(
        "CPU {} of {:.1}{per_call}  event loop {:.1} ms late  memory {}{resident}  descriptors \
         {}{strained}",
        percent(used.cpu_used_ratio),
        used.cpus,
        used.event_loop_delay_ms,
        percent(used.memory_used_ratio),
        percent(used.descriptors_used_ratio),
    );
    [first, second]
}

/// How many projects are in which state.
pub(super) fn states(picture: &Picture) -> String {
    let counts = picture.replica.tenants.iter();
    let counts: Vec<String> = counts.map(|(state, n)| format!("{n} {state}")).collect();
    if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_are_wide() {
        let told = [-5, 59, 187, 7_500, 400_000].map(duration);
        assert_eq!(told, ["0s", "59s", "3m07s", "2h05m", "4d"]);
    }

    #[test]
    fn what_is_slow_is_told_with_its_time() {
        let slow = Slow {
            part: "lookup",
            took_ms: 1_890,
            limit_ms: 1_000,
            is_over: false,
        };
        assert_eq!(slow_words(&slow), "lookup 1.8 s…");
    }
}
