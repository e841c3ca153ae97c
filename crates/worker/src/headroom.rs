//! Whether the process has room for another call, by what it measures of itself.
//! Pure: readings come in, a verdict goes out.
//!
//! A count of calls is an estimate of what calls cost; this is what they do cost.
//! Each resource has a threshold. At it no offer is taken, and none is taken
//! again before the resource is at [`RELIEF`] of it: a verdict that flickered
//! would be told to every project each time. CPU and delay are averaged, so that
//! a spike refuses nobody.

use std::time::Duration;

use serde::Serialize;

/// Where offers are taken again, as a part of the threshold.
const RELIEF: f64 = 0.9;

/// The time over which CPU and delay are averaged. A spike of one status interval
/// (2.5 s) weighs less than half.
const AVERAGED_OVER: Duration = Duration::from_secs(5);

/// What the process is short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strain {
    /// Tasks run later than they are due.
    EventLoop,
    /// The CPUs that the process may use are used.
    Cpu,
    /// Memory, of the container or the machine.
    Memory,
    /// File descriptors: sockets, above all.
    Descriptors,
}

impl Strain {
    /// All.
    pub const ALL: [Self; 4] = [Self::EventLoop, Self::Cpu, Self::Memory, Self::Descriptors];

    /// For metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventLoop => "event_loop",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
        }
    }
}

/// From when on no offer is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Thresholds {
    /// Parts of 1.
    pub(crate) cpu: f64,
    /// How late tasks run.
    pub(crate) delay: Duration,
    /// Parts of 1.
    pub(crate) memory: f64,
    /// Parts of 1.
    pub(crate) descriptors: f64,
}

/// What was measured since the last reading. `None`: it cannot be measured here,
/// or was not measured this time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub(crate) cpu: Option<f64>,
    pub(crate) delay: Option<Duration>,
    pub(crate) memory: Option<f64>,
    pub(crate) descriptors: Option<f64>,
}

/// The judge.
#[derive(Debug)]
pub(crate) struct Headroom {
    gauges: [Gauge; 4],
}

#[derive(Debug)]
struct Gauge {
    strain: Strain,
    threshold: f64,
    value: f64,
    is_strained: bool,
}

impl Headroom {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        let gauge = |strain| Gauge {
            strain,
            threshold: match strain {
                Strain::EventLoop => thresholds.delay.as_secs_f64(),
                Strain::Cpu => thresholds.cpu,
                Strain::Memory => thresholds.memory,
                Strain::Descriptors => thresholds.descriptors,
            },
            value: 0.0,
            is_strained: false,
        };
        Self {
            gauges: Strain::ALL.map(gauge),
        }
    }

    /// Takes a reading. `elapsed` is the time since the one before.
    pub(crate) fn read(&mut self, elapsed: Duration, reading: Reading) {
        let weight = 1.0 - (-elapsed.as_secs_f64() / AVERAGED_OVER.as_secs_f64()).exp();
        for gauge in &mut self.gauges {
            let measured = match gauge.strain {
                Strain::EventLoop => reading.delay.map(|d| d.as_secs_f64()),
                Strain::Cpu => reading.cpu.map(|used| used.min(1.0)),
                Strain::Memory => reading.memory,
                Strain::Descriptors => reading.descriptors,
            };
            let Some(measured) = measured else { continue };
            match gauge.strain {
                Strain::EventLoop | Strain::Cpu => {
                    gauge.value += (measured - gauge.value) * weight;
                }
                Strain::Memory | Strain::Descriptors => gauge.value = measured,
            }
            let limit = if gauge.is_strained {
                gauge.threshold * RELIEF
            } else {
                gauge.threshold
            };
            gauge.is_strained = gauge.value >= limit;
        }
    }

    /// What no offer is taken for; the first of [`Strain::ALL`], if there are several.
    pub(crate) fn strain(&self) -> Option<Strain> {
        self.gauges.iter().find(|g| g.is_strained).map(|g| g.strain)
    }

    /// How much of a resource is used, in parts of 1; of the event loop, seconds.
    pub(crate) fn value(&self, strain: Strain) -> f64 {
        let gauge = self.gauges.iter().find(|g| g.strain == strain);
        gauge.map_or(0.0, |g| g.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        cpu: 0.9,
        delay: Duration::from_millis(100),
        memory: 0.9,
        descriptors: 0.8,
    };
    const SECOND: Duration = Duration::from_secs(1);

    fn cpu(used: f64) -> Reading {
        Reading {
            cpu: Some(used),
            ..Reading::default()
        }
    }

    #[test]
    fn a_spike_of_cpu_is_averaged_and_a_load_that_lasts_is_strain() {
        let mut headroom = Headroom::new(THRESHOLDS);
        for _ in 0..3 {
            headroom.read(SECOND, cpu(1.0));
        }
        assert_eq!(headroom.strain(), None);
        for _ in 0..20 {
            headroom.read(SECOND, cpu(1.0));
        }
        assert_eq!(headroom.strain(), Some(Strain::Cpu));
    }

    #[test]
    fn strain_lasts_until_there_is_clearly_room_again() {
        let mut headroom = Headroom::new(THRESHOLDS);
        let descriptors = |used| Reading {
            descriptors: Some(used),
            ..Reading::default()
        };
        let mut verdicts = Vec::new();
        for used in [0.79, 0.80, 0.79, 0.73, 0.71, 0.79, 0.81] {
            headroom.read(SECOND, descriptors(used));
            verdicts.push(headroom.strain().is_some());
        }
        assert_eq!(verdicts, [false, true, true, true, false, false, true]);
    }

    #[test]
    fn each_resource_is_told_by_its_name() {
        for (reading, strain) in [
            (
                Reading {
                    delay: Some(SECOND),
                    ..Reading::default()
                },
                Strain::EventLoop,
            ),
            (
                Reading {
                    memory: Some(0.95),
                    ..Reading::default()
                },
                Strain::Memory,
            ),
        ] {
            let mut headroom = Headroom::new(THRESHOLDS);
            headroom.read(SECOND, reading);
            assert_eq!(headroom.strain(), Some(strain));
            // What was not measured keeps its verdict.
            headroom.read(SECOND, cpu(0.1));
            assert_eq!(headroom.strain(), Some(strain));
        }
    }

    #[test]
    fn a_short_stop_of_the_event_loop_refuses_nobody() {
        let mut headroom = Headroom::new(THRESHOLDS);
        let delayed = |ms| Reading {
            delay: Some(Duration::from_millis(ms)),
            ..Reading::default()
        };
        headroom.read(Duration::from_millis(500), delayed(400));
        for _ in 0..10 {
            headroom.read(Duration::from_millis(100), delayed(1));
        }
        assert_eq!(headroom.strain(), None);
        assert!(headroom.value(Strain::EventLoop) < 0.1);
    }
}
