//! What the caller says while there is no model to hear it.

use std::collections::VecDeque;

use trunkline_realtime::SAMPLE_RATE;

/// What is kept: the latest 5 s. A new session takes two; what was said before those
/// five is of no use without its beginning.
const MAX_SAMPLES: usize = 5 * SAMPLE_RATE as usize;

/// The latest of the caller's sound.
#[derive(Debug, Default)]
pub(crate) struct Held {
    frames: VecDeque<Vec<i16>>,
    samples: usize,
}

impl Held {
    pub(crate) fn push(&mut self, frame: Vec<i16>) {
        self.samples += frame.len();
        self.frames.push_back(frame);
        while self.samples > MAX_SAMPLES {
            let Some(frame) = self.frames.pop_front() else {
                return;
            };
            self.samples -= frame.len();
        }
    }

    /// All of it, the oldest first, in pieces that the model's socket takes at a time.
    pub(crate) fn take(&mut self) -> Vec<Vec<i16>> {
        self.samples = 0;
        let all: Vec<i16> = self.frames.drain(..).flatten().collect();
        let pieces = all.chunks(SAMPLE_RATE as usize);
        pieces.map(<[i16]>::to_vec).collect()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_five_seconds_are_kept_in_order() {
        let mut held = Held::default();
        for n in 0..600 {
            held.push(vec![n; 240]);
        }
        let pieces = held.take();
        assert_eq!(pieces.len(), 5);
        let all: Vec<i16> = pieces.into_iter().flatten().collect();
        assert_eq!(all.len(), MAX_SAMPLES);
        assert_eq!((all[0], all[MAX_SAMPLES - 1]), (100, 599));
        assert!(held.take().is_empty());
    }
}
