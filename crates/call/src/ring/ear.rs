//! What the caller of a test call hears, on one line of time.
//!
//! It begins when the call becomes active. Samples are put one after the other
//! as they come: packets come in bursts on a busy machine, and cutting by the
//! clock would tear words apart. Only after a pause the clock is looked at again.

use std::time::{Duration, Instant};

use super::HEARD_RATE;

/// How far the samples may lag behind the clock before a pause is put in: more than any burst.
const GAP: Duration = Duration::from_millis(400);

/// A sample beyond this is sound: about −36 dBFS. Codecs make less than a tenth of it out of
/// silence, and speech ten times more.
const SOUND: u16 = 500;

/// An hour takes 170 MB.
const MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Ear {
    opened: Option<Instant>,
    samples: Vec<i16>,
}

/// Whether a piece held anything to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Silence,
    Sound,
}

impl Ear {
    /// From now on what is heard is kept.
    pub(super) fn open(&mut self, now: Instant) {
        self.opened.get_or_insert(now);
    }

    pub(super) fn hear(&mut self, now: Instant, pcm: &[i16]) -> Level {
        let Some(opened) = self.opened else {
            // Nobody hears what is said before the call is active.
            return Level::Silence;
        };
        let clock = samples_in(now.duration_since(opened));
        if self.samples.len() + samples_in(GAP) < clock {
            self.samples.resize(clock, 0);
        }
        if self.samples.len() + pcm.len() <= samples_in(MAX) {
            self.samples.extend_from_slice(pcm);
        }
        if pcm.iter().any(|sample| sample.unsigned_abs() > SOUND) {
            Level::Sound
        } else {
            Level::Silence
        }
    }

    pub(super) fn into_samples(self) -> Vec<i16> {
        self.samples
    }
}

fn samples_in(time: Duration) -> usize {
    // At most an hour of samples and what the clock adds to it.
    (time.as_secs_f64() * f64::from(HEARD_RATE)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_keeps_its_order_and_a_pause_its_length() {
        let start = Instant::now();
        let mut ear = Ear::default();
        assert_eq!(ear.hear(start, &[9_000; 10]), Level::Silence);
        ear.open(start);
        assert_eq!(ear.hear(start, &[1, 2]), Level::Silence);
        assert_eq!(ear.hear(start, &[3, -9_000]), Level::Sound);
        assert_eq!(ear.samples, [1, 2, 3, -9_000]);
        ear.hear(start + Duration::from_secs(1), &[7]);
        assert_eq!(ear.samples.len(), HEARD_RATE as usize + 1);
        assert_eq!(ear.into_samples().last(), Some(&7));
    }
}
