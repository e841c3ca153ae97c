//! Which packets are lost, packet by packet.

use rand::Rng;

use super::profile::{Loss, Share};

/// A loss model and where it stands.
#[derive(Debug)]
pub(super) struct LossProcess {
    model: Loss,
    /// Whether a bursty model is in its bad state.
    bad: bool,
}

impl LossProcess {
    /// Begins in the good state.
    ///
    /// # Panics
    /// When a burst is shorter than one packet, or everything is lost in
    /// bursts.
    pub(super) fn new(model: Loss) -> Self {
        if let Loss::Bursty { share, mean_burst } = model {
            assert!(mean_burst >= 1.0, "a burst is at least one packet long");
            assert!(
                share.get() < 1.0,
                "without a good state there are no bursts"
            );
        }
        Self { model, bad: false }
    }

    /// Whether the next packet is lost. Draws once at most, and not for a model
    /// that loses nothing.
    pub(super) fn next(&mut self, rng: &mut impl Rng) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Random { share } => share.happens(rng),
            Loss::Bursty { share, mean_burst } => {
                let toss: f64 = rng.random();
                self.bad = if self.bad {
                    toss >= 1.0 / mean_burst
                } else {
                    toss < onset(share, mean_burst)
                };
                self.bad
            }
        }
    }
}

/// The chance that a burst begins, for the bad state to hold `share` of the
/// time: bursts of `mean_burst` packets with `(1 - share) / share` times as
/// many good ones between. Above 1 where bursts this short cannot lose so much.
fn onset(share: Share, mean_burst: f64) -> f64 {
    share.get() / (1.0 - share.get()) / mean_burst
}
