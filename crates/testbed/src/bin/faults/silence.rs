//! How long nothing was heard when something should have been.
//!
//! It is the agent's turn from the moment that both sides hear each other until its first sentence
//! is over, and from the end of each of the caller's sentences until the agent's answer is over or
//! the call is. Within these turns every silence counts, but for the times when nothing could have
//! been heard: when the phone's own way to LiveKit was down.

use std::time::Duration;

/// A sample beyond this is sound: about −36 dBFS, as the recording has it.
const SOUND: u16 = 500;

/// The pieces that are judged: a packet's half.
const FRAME: Duration = Duration::from_millis(10);

/// What a busy line loses at a time, at most. Words are 20 ms apart.
const BREAK: Duration = Duration::from_millis(200);

/// A time of the call, counted from where both sides hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Span {
    pub(crate) fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// What is left of it without `other`.
    fn without(self, other: Self) -> [Self; 2] {
        [
            Self {
                from: self.from,
                to: self.to.min(other.from.max(self.from)),
            },
            Self {
                from: self.from.max(other.to.min(self.to)),
                to: self.to,
            },
        ]
    }
}

/// Where there is sound in a recording.
pub(crate) fn sounds(pcm: &[i16], rate: u32) -> Vec<Span> {
    let frame = (FRAME.as_secs_f64() * f64::from(rate)) as usize;
    let mut sounds: Vec<Span> = Vec::new();
    let mut from = Duration::ZERO;
    for piece in pcm.chunks(frame) {
        let to = from + FRAME;
        if piece.iter().any(|sample| sample.unsigned_abs() > SOUND) {
            match sounds.last_mut().filter(|last| last.to == from) {
                Some(last) => last.to = to,
                None => sounds.push(Span { from, to }),
            }
        }
        from = to;
    }
    sounds
}

/// The sound around a moment, without a break that is longer than what is lost on a busy line.
pub(crate) fn run(sounds: &[Span], at: Duration) -> Option<Span> {
    let mut runs: Vec<Span> = Vec::new();
    for sound in sounds {
        match runs.last_mut().filter(|last| last.to + BREAK >= sound.from) {
            Some(last) => last.to = sound.to,
            None => runs.push(*sound),
        }
    }
    // The decoder is exact to one of our pieces.
    let is_around = |run: &Span| run.from <= at + FRAME && at < run.to;
    runs.into_iter().find(is_around)
}

/// The longest silence of all turns, if there were any.
pub(crate) fn longest(turns: &[Span], sounds: &[Span], explained: &[Span]) -> Option<Span> {
    let mut silences: Vec<Span> = turns.to_vec();
    for covered in sounds.iter().chain(explained) {
        silences = silences
            .into_iter()
            .flat_map(|silence| {
                let overlaps = covered.from < silence.to && silence.from < covered.to;
                match overlaps {
                    true => silence.without(*covered).to_vec(),
                    false => vec![silence],
                }
            })
            .filter(|silence| silence.length() > Duration::ZERO)
            .collect();
    }
    silences.into_iter().max_by_key(Span::length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: u64, to: u64) -> Span {
        Span {
            from: Duration::from_millis(from),
            to: Duration::from_millis(to),
        }
    }

    #[test]
    fn sound_is_found_where_it_is() {
        let mut pcm = vec![0; 800];
        pcm[160..320].fill(2_000);
        pcm[480] = -2_000;
        assert_eq!(sounds(&pcm, 8_000), [span(20, 40), span(60, 70)]);
    }

    #[test]
    fn a_run_of_sound_goes_over_short_breaks() {
        let heard = [
            span(0, 300),
            span(320, 600),
            span(700, 900),
            span(1_200, 1_500),
        ];
        let at = |ms| run(&heard, Duration::from_millis(ms));
        assert_eq!(at(310), Some(span(0, 900)));
        assert_eq!(at(1_195), Some(span(1_200, 1_500)));
        assert_eq!(at(2_000), None);
    }

    #[test]
    fn the_longest_silence_lies_before_between_or_after_what_is_heard() {
        let turns = [span(0, 1_000), span(5_000, 9_000)];
        let longest_with = |sounds: &[Span]| longest(&turns, sounds, &[]);
        assert_eq!(longest_with(&[]), Some(span(5_000, 9_000)));
        let heard = [span(100, 1_000), span(5_500, 6_000), span(8_000, 9_000)];
        assert_eq!(longest_with(&heard), Some(span(6_000, 8_000)));
        assert_eq!(longest_with(&[span(0, 9_000)]), None);
    }

    #[test]
    fn silence_outside_of_turns_is_nobodys_fault() {
        let heard = [span(0, 1_000), span(5_000, 5_900)];
        let turns = [span(0, 1_000), span(5_000, 6_000)];
        assert_eq!(longest(&turns, &heard, &[]), Some(span(5_900, 6_000)));
    }

    #[test]
    fn what_is_explained_is_taken_out_of_the_middle() {
        let explained = [span(1_000, 4_000)];
        let turn = [span(0, 4_500)];
        assert_eq!(longest(&turn, &[], &explained), Some(span(0, 1_000)));
    }
}
