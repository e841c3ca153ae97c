//! Whether what was heard is the apology: the sentence for callers who cannot be served.
//!
//! Compared are the outlines of loudness. A codec makes another wave out of it, and keeps
//! the outline.

use crate::apology;

use super::HEARD_RATE;

/// 20 ms of sound are one point of an outline: a syllable has ten of them.
const POINT_SAMPLES: usize = HEARD_RATE as usize / 50;

/// From here on two outlines are of the same sentence. Measured: 0.98 of one that was heard in a
/// call, 0.5 of a sentence of the same voice, length and beginning, and less of others.
const ALIKE: f64 = 0.75;

/// What may be missing at the end: the hang-up cuts it off.
const MISSING_POINTS: usize = 50;

pub(super) fn is_in(heard: &[i16]) -> bool {
    let mut heard = outline(heard);
    heard.extend([0.0; MISSING_POINTS]);
    apology::in_all_languages().any(|sentence| {
        let sought = outline(&sentence);
        heard
            .windows(sought.len())
            .any(|part| likeness(part, &sought) >= ALIKE)
    })
}

/// The loudness, point by point.
fn outline(pcm: &[i16]) -> Vec<f64> {
    let loudness = |samples: &[i16]| {
        let power: f64 = samples
            .iter()
            .map(|&sample| f64::from(sample).powi(2))
            .sum();
        (power / samples.len() as f64).sqrt()
    };
    pcm.chunks(POINT_SAMPLES).map(loudness).collect()
}

/// Pearson's correlation of two outlines of one length; 0 where one of them is flat.
fn likeness(a: &[f64], b: &[f64]) -> f64 {
    let mean = |points: &[f64]| points.iter().sum::<f64>() / points.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut together, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        together += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    let both = (of_a * of_b).sqrt();
    if both > 0.0 { together / both } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a call has it: later, quieter, with noise, and without its last half second.
    fn heard(sentence: &[i16]) -> Vec<i16> {
        let end = sentence.len() - HEARD_RATE as usize / 2;
        let mut noise = 1_u32;
        let mut pcm = vec![0; 7 * POINT_SAMPLES + POINT_SAMPLES / 2];
        pcm.extend(sentence[..end].iter().map(|&sample| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sample / 3 + (noise >> 24) as i16
        }));
        pcm
    }

    #[test]
    fn the_apology_is_known_in_a_call_and_nothing_else_is_taken_for_it() {
        for sentence in apology::in_all_languages() {
            assert!(is_in(&heard(&sentence)));
            let backwards: Vec<i16> = sentence.iter().rev().copied().collect();
            assert!(!is_in(&heard(&backwards)));
            assert!(!is_in(&sentence[..sentence.len() / 2]));
        }
        assert!(!is_in(&vec![0; 20 * HEARD_RATE as usize]));
        assert!(!is_in(&[]));
    }
}
