//! Measures the process, and tells the load meter what it is short of.

use std::time::{Duration, Instant};

use metrics::gauge;
use tokio_util::sync::CancellationToken;

use crate::headroom::{Headroom, Reading, Strain, Thresholds};
use crate::load::{LoadMeter, Resources};
use crate::measure::{self, CpuMeter};

/// Between two looks at how late this task runs. An event loop that stands still
/// for longer is seen by the next one.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks at the delay for each one at everything else: CPU time is counted in
/// steps of 10 ms, and less than a second of it says little.
const TURNS_PER_READING: u32 = 10;

/// Measures until told to stop.
pub(crate) async fn run(load: LoadMeter, thresholds: Thresholds, stop: CancellationToken) {
    let mut headroom = Headroom::new(thresholds);
    let mut cpu = CpuMeter::new();
    let mut told = None;
    let mut turn = 0_u32;
    let mut last = Instant::now();
    loop {
        let due = Instant::now() + INTERVAL;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let now = Instant::now();
        let delay = Reading {
            delay: Some(now.saturating_duration_since(due)),
            ..Reading::default()
        };
        // One long stop is one reading, and does not count as many.
        let elapsed = now.saturating_duration_since(last).min(INTERVAL * 2);
        headroom.read(elapsed, delay);
        last = now;
        turn += 1;
        if turn >= TURNS_PER_READING {
            turn = 0;
            let resources = Reading {
                delay: None,
                cpu: cpu.used(now),
                memory: measure::memory(),
                descriptors: measure::descriptors(),
            };
            headroom.read(INTERVAL * TURNS_PER_READING, resources);
            publish(&headroom);
            load.set_resources(Resources {
                cpus: cpu.cpus(),
                cpu: headroom.value(Strain::Cpu),
                event_loop_delay: Duration::from_secs_f64(headroom.value(Strain::EventLoop)),
                memory: headroom.value(Strain::Memory),
                resident_bytes: measure::resident_bytes(),
                descriptors: headroom.value(Strain::Descriptors),
                strain: headroom.strain(),
            });
        }
        load.set_headroom(headroom.value(Strain::Cpu), headroom.strain());
        tell(&headroom, &mut told);
    }
}

/// Says in the log when the verdict changed.
fn tell(headroom: &Headroom, told: &mut Option<Strain>) {
    let strain = headroom.strain();
    if strain == *told {
        return;
    }
    *told = strain;
    match strain {
        Some(strain) => tracing::warn!(
            resource = strain.as_str(),
            used = headroom.value(strain),
            "the process takes no more calls until it has room again"
        ),
        None => tracing::info!("the process has room again and takes calls"),
    }
}

fn publish(headroom: &Headroom) {
    for strain in Strain::ALL {
        let value = headroom.value(strain);
        if strain == Strain::EventLoop {
            gauge!("trunkline_event_loop_delay_seconds").set(value);
        } else {
            gauge!("trunkline_headroom_used_ratio", "resource" => strain.as_str()).set(value);
        }
    }
    for strain in Strain::ALL {
        let is_strained = headroom.strain() == Some(strain);
        gauge!("trunkline_process_strained", "resource" => strain.as_str())
            .set(f64::from(u8::from(is_strained)));
    }
}
