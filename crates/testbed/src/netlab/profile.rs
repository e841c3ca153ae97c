//! What one direction of a wire does to the packets that it carries.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution as _, Exp1, StandardNormal};

/// A normal deviation beyond this many is cut off there, so that one draw in a
/// billion does not hold a packet back for a second.
const MAX_DEVIATIONS: f64 = 4.0;

/// An exponential draw beyond this many means is cut off there, for the same
/// reason: one in 3,000 is.
const MAX_MEANS: f64 = 8.0;

/// How a direction treats its packets. The default is a perfect wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// How long every packet takes, before jitter.
    pub delay: Duration,
    /// What is added to the delay, or taken from it; never below zero in sum.
    pub jitter: Jitter,
    /// Which packets are lost.
    pub loss: Loss,
    /// Whether packets may overtake each other.
    pub order: Order,
    /// How many packets come twice, the copy right behind the original.
    pub duplicate: Share,
    /// How much passes in a second, and what waits for its turn.
    pub rate: Option<Rate>,
}

impl Profile {
    /// Packets take this long, and all arrive.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }
}

/// A share of all packets, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// # Panics
    /// Outside of 0 to 100.
    #[must_use]
    pub const fn percent(percent: f64) -> Self {
        assert!(percent >= 0.0 && percent <= 100.0, "a share of 0 to 100 %");
        Self(percent / 100.0)
    }

    /// From 0 to 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    pub(super) fn happens(self, rng: &mut impl Rng) -> bool {
        rng.random_bool(self.0)
    }
}

/// How the delay varies, independently from packet to packet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Evenly between `-spread` and `+spread`.
    Uniform {
        /// The most, either way.
        spread: Duration,
    },
    /// Normally distributed around the delay, cut off at four deviations.
    Normal {
        /// The standard deviation.
        deviation: Duration,
    },
    /// Only ever longer, exponentially: mostly little, now and then much, as
    /// queues on the way make it. Cut off at eight times the mean.
    Exponential {
        /// The mean.
        mean: Duration,
    },
}

impl Jitter {
    /// This packet's delay.
    pub(super) fn vary(self, delay: Duration, rng: &mut impl Rng) -> Duration {
        let (unit, by) = match self {
            Self::None => return delay,
            Self::Uniform { spread } => (spread, rng.random_range(-1.0..=1.0)),
            Self::Normal { deviation } => {
                let draw: f64 = StandardNormal.sample(rng);
                (deviation, draw.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS))
            }
            Self::Exponential { mean } => {
                let draw: f64 = Exp1.sample(rng);
                (mean, draw.min(MAX_MEANS))
            }
        };
        if by < 0.0 {
            delay.saturating_sub(unit.mul_f64(-by))
        } else {
            delay + unit.mul_f64(by)
        }
    }
}

/// Which packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each by its own toss.
    Random {
        /// How many.
        share: Share,
    },
    /// In bursts: a Gilbert–Elliott chain that loses everything in its bad
    /// state and nothing in its good one.
    Bursty {
        /// How many, in the long run. Below 100 %.
        share: Share,
        /// How many in a row, in the mean; at least 1.
        mean_burst: f64,
    },
}

/// Whether packets may overtake each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Order {
    /// First in, first out, whatever the jitter: a packet that was held back
    /// holds back those behind it, and the mean delay grows by that.
    #[default]
    Kept,
    /// Each arrives when its own delay says, so that jitter reorders.
    ByDelay,
    /// As `Kept`, but some come later and are overtaken.
    Late {
        /// How many are late.
        share: Share,
        /// By how much.
        by: Duration,
    },
}

/// A bottleneck: bits leave one after the other, and what does not fit into the
/// queue before it is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At least 1.
    pub bits_per_second: u64,
    /// What may wait; a packet that would exceed it is dropped.
    pub queue_bytes: usize,
}

impl Rate {
    /// How long `bytes` take to leave.
    pub(super) fn time_for(self, bytes: usize) -> Duration {
        // At most gigabytes, and a rate that is a person's choice.
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second.max(1) as f64)
    }
}
