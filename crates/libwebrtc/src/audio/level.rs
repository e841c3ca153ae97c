//! How loud a piece of audio is, as RFC 6464 counts it.

/// The level of silence: -127 dBov. Source: RFC 6464, section 3.
pub(crate) const SILENCE: u8 = 127;

/// Audio at least this loud is marked as voice, in -dBov. A choice: 20 dB below what a quiet
/// speaker is recorded at, and above dither and line noise. Servers go by the level itself.
const VOICE_FLOOR: u8 = 55;

/// The level of `samples` in -dBov: 0 is the loudest there is, [`SILENCE`] is silence.
pub(crate) fn audio_level(samples: &[i16]) -> u8 {
    let mean = mean_square(samples);
    if mean == 0.0 {
        return SILENCE;
    }
    let dbov = 10.0 * mean.log10();
    (-dbov).round().clamp(0.0, f64::from(SILENCE)) as u8
}

/// The mean square of `samples`, where full scale is 1.
pub(crate) fn mean_square(samples: &[i16]) -> f64 {
    let squares = samples.iter().map(|s| u64::from(s.unsigned_abs()).pow(2));
    let count = samples.len().max(1) as f64;
    squares.sum::<u64>() as f64 / count / (32_768.0 * 32_768.0)
}

/// Whether audio of this level counts as voice.
pub(crate) fn is_voice(level: u8) -> bool {
    level <= VOICE_FLOOR
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_scale_is_zero_and_silence_is_127() {
        assert_eq!(audio_level(&[i16::MIN; 480]), 0);
        assert_eq!(audio_level(&[0; 480]), SILENCE);
        assert_eq!(audio_level(&[]), SILENCE);
    }

    #[test]
    fn a_tenth_of_the_amplitude_is_20_db_less() {
        assert_eq!(audio_level(&[3277; 480]), 20);
        assert_eq!(audio_level(&[328; 480]), 40);
    }

    #[test]
    fn speech_is_voice_and_line_noise_is_not() {
        assert!(is_voice(audio_level(&[500; 480])));
        assert!(!is_voice(audio_level(&[20; 480])));
    }

    proptest! {
        #[test]
        fn louder_is_never_a_higher_level(samples in prop::collection::vec(-16_000i16..16_000, 1..960)) {
            let louder: Vec<i16> = samples.iter().map(|s| s * 2).collect();
            prop_assert!(audio_level(&louder) <= audio_level(&samples));
        }
    }
}
