//! Makes sound shorter or longer without a click: by one period of what repeats. Pure.

use super::format::Format;

/// The shortest and the longest piece that is taken out or added: the pitch periods of voices, 80 to
/// 400 Hz.
const MIN_PIECE_US: usize = 2_500;
const MAX_PIECE_US: usize = 12_500;

/// Over how much sound two places are compared.
const COMPARE_US: usize = 7_500;

/// How alike two places must be, 0 to 1, for the cut not to be heard.
const ALIKE: f32 = 0.85;

/// Silence is like itself wherever it is cut, as nothing else is.
const SILENT: f32 = 2.0;

/// Mean square below which a cut is not heard whatever it joins: -55 dBov.
const QUIET: f32 = 32_768.0 * 32_768.0 * 3.2e-6;

/// Whether to cut where it would be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Only in silence.
    Idle,
    /// Only where nobody notices.
    Gentle,
    /// At the best place there is.
    Insistent,
}

impl Urgency {
    /// How alike what is joined must be.
    fn likeness(self) -> f32 {
        match self {
            Self::Idle => SILENT,
            Self::Gentle => ALIKE,
            Self::Insistent => 0.0,
        }
    }
}

/// With less sound than this there is nothing to find: pitch periods of 10 ms, 100 Hz.
pub(crate) const ENOUGH_MS: usize = 20;

/// Takes a piece of at most `most` samples out of the beginning of `pcm[start..]`; answers how
/// many.
pub(crate) fn accelerate(
    format: Format,
    pcm: &mut Vec<i16>,
    start: usize,
    most: usize,
    urgency: Urgency,
) -> usize {
    let channels = format.channels();
    let wanted = urgency.likeness();
    let Some((piece, likeness)) = repeating_piece(format, &pcm[start..], most, wanted) else {
        return 0;
    };
    if likeness < wanted {
        return 0;
    }
    // Fade from the first piece into the second, then leave the first out.
    let removed = piece * channels;
    for frame in 0..piece {
        let weight = (frame + 1) as f32 / (piece + 1) as f32;
        for channel in 0..channels {
            let first = start + frame * channels + channel;
            let second = first + removed;
            let mixed = f32::from(pcm[first]) * (1.0 - weight) + f32::from(pcm[second]) * weight;
            pcm[second] = mixed.round() as i16;
        }
    }
    pcm.drain(start..start + removed);
    removed
}

/// Repeats a piece of at most `most` samples of the beginning of `pcm[start..]` where nobody
/// notices; answers how many were added.
pub(crate) fn decelerate(format: Format, pcm: &mut Vec<i16>, start: usize, most: usize) -> usize {
    let channels = format.channels();
    let Some((piece, likeness)) = repeating_piece(format, &pcm[start..], most, ALIKE) else {
        return 0;
    };
    if likeness < ALIKE {
        return 0;
    }
    let added = piece * channels;
    let end = pcm.len();
    pcm.resize(end + added, 0);
    pcm.copy_within(start + added..end, start + 2 * added);
    // The first piece stays; what follows it fades into it again, and so leads on to what
    // followed at first.
    for frame in 0..piece {
        let weight = (frame + 1) as f32 / (piece + 1) as f32;
        for channel in 0..channels {
            let first = start + frame * channels + channel;
            let following = pcm[first + 2 * added];
            let mixed = f32::from(following) * (1.0 - weight) + f32::from(pcm[first]) * weight;
            pcm[first + added] = mixed.round() as i16;
        }
    }
    added
}

/// In how many frames the beginning of `sound` repeats itself, in `most` samples at most, and how
/// alike it is then, where it may be as alike as is wanted.
fn repeating_piece(
    format: Format,
    sound: &[i16],
    most: usize,
    wanted: f32,
) -> Option<(usize, f32)> {
    let channels = format.channels();
    let frames = |us: usize| format.hz() as usize * us / 1_000_000;
    let length = sound.len() / channels;
    if length < format.samples(ENOUGH_MS) / channels {
        return None;
    }
    let (min, compare) = (frames(MIN_PIECE_US), frames(COMPARE_US));
    let max = frames(MAX_PIECE_US).min(length / 2).min(most / channels);
    if max < min {
        return None;
    }
    let at = |frame: usize| f32::from(sound[frame * channels]);
    let energy: f32 = (0..max + compare).map(|i| at(i) * at(i)).sum::<f32>();
    let is_quiet = energy / (max + compare) as f32 <= QUIET;
    if is_quiet {
        return Some((max, SILENT));
    }
    // Searching is worth it only where what is found can be enough.
    (wanted < SILENT).then(|| best_piece(at, min, max, compare))
}

/// The distance at which the sound is most like itself, and how alike.
fn best_piece(at: impl Fn(usize) -> f32, min: usize, max: usize, compare: usize) -> (usize, f32) {
    let mut best = (max, 0.0f32);
    let here: f32 = (0..compare).map(|i| at(i) * at(i)).sum();
    for piece in min..=max {
        let (mut product, mut there) = (0.0f32, 0.0f32);
        for i in 0..compare {
            product += at(i) * at(i + piece);
            there += at(i + piece) * at(i + piece);
        }
        let likeness = product / (here * there).sqrt().max(1.0);
        if likeness > best.1 {
            best = (piece, likeness);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(format: Format, hz: f32, ms: usize) -> Vec<i16> {
        (0..format.samples(ms) / format.channels())
            .flat_map(|i| {
                let value =
                    (i as f32 / format.hz() as f32 * hz * std::f32::consts::TAU).sin() * 8000.0;
                vec![value as i16; format.channels()]
            })
            .collect()
    }

    fn largest_jump(pcm: &[i16], channels: usize) -> i32 {
        let pairs = pcm.iter().zip(&pcm[channels..]);
        pairs
            .map(|(a, b)| (i32::from(*b) - i32::from(*a)).abs())
            .max()
            .unwrap()
    }

    #[test]
    fn a_tone_loses_whole_periods_and_does_not_click() {
        for (hz, channels) in [(8_000, 1), (24_000, 1), (48_000, 2)] {
            let format = Format::exact(hz, channels).unwrap();
            let mut pcm = tone(format, 200.0, 40);
            let (length, jump) = (pcm.len(), largest_jump(&pcm, format.channels()));
            let removed = accelerate(format, &mut pcm, 0, usize::MAX, Urgency::Gentle);
            assert_eq!(pcm.len(), length - removed);
            let period = hz as usize / 200 * channels as usize;
            assert!(removed > 0 && removed.is_multiple_of(period), "{removed}");
            assert!(largest_jump(&pcm, format.channels()) <= jump + 60);
        }
    }

    #[test]
    fn a_tone_gains_whole_periods_and_does_not_click() {
        for (hz, channels) in [(8_000, 1), (24_000, 1), (48_000, 2)] {
            let format = Format::exact(hz, channels).unwrap();
            let mut pcm = tone(format, 200.0, 40);
            let (before, jump) = (pcm.clone(), largest_jump(&pcm, format.channels()));
            let added = decelerate(format, &mut pcm, 0, usize::MAX);
            assert_eq!(pcm.len(), before.len() + added);
            let period = hz as usize / 200 * channels as usize;
            assert!(added > 0 && added.is_multiple_of(period), "{added}");
            assert!(largest_jump(&pcm, format.channels()) <= jump + 60);
            assert_eq!(pcm[..added], before[..added]);
            assert_eq!(pcm[2 * added..], before[added..]);
        }
    }

    #[test]
    fn silence_loses_the_longest_piece() {
        let format = Format::exact(16_000, 1).unwrap();
        let mut pcm = vec![0; 640];
        let mut cut = |most| accelerate(format, &mut pcm, 0, most, Urgency::Idle);
        assert_eq!(cut(usize::MAX), 200);
        assert_eq!(cut(50), 50);
        assert_eq!(cut(39), 0, "shorter than any piece");
        let mut pcm = tone(format, 200.0, 40);
        assert_eq!(
            accelerate(format, &mut pcm, 0, usize::MAX, Urgency::Idle),
            0
        );
    }

    #[test]
    fn noise_is_cut_only_when_it_must_be() {
        let format = Format::exact(16_000, 1).unwrap();
        let mut state = 1u32;
        let noise: Vec<i16> = (0..640)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16 - 8192
            })
            .collect();
        let mut pcm = noise.clone();
        assert_eq!(
            accelerate(format, &mut pcm, 0, usize::MAX, Urgency::Gentle),
            0
        );
        assert_eq!(decelerate(format, &mut pcm, 0, usize::MAX), 0);
        assert_eq!(pcm, noise);
        assert!(accelerate(format, &mut pcm, 0, usize::MAX, Urgency::Insistent) > 0);
    }

    #[test]
    fn what_lies_before_the_start_is_not_touched() {
        let format = Format::exact(8_000, 1).unwrap();
        let mut pcm = vec![7; 80];
        pcm.extend(tone(format, 200.0, 40));
        assert!(accelerate(format, &mut pcm, 80, usize::MAX, Urgency::Gentle) > 0);
        assert_eq!(pcm[..80], [7; 80]);
    }

    #[test]
    fn too_little_sound_is_left_alone() {
        let format = Format::exact(8_000, 1).unwrap();
        let mut pcm = tone(format, 200.0, 15);
        assert_eq!(
            accelerate(format, &mut pcm, 0, usize::MAX, Urgency::Insistent),
            0
        );
    }
}
