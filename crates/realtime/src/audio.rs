//! PCM audio and its form on the wire: base64 of little-endian 16-bit samples.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Mono PCM of 16 bits at 24 kHz, both ways, whatever the vendor speaks.
pub const SAMPLE_RATE: u32 = 24_000;

/// The longest piece of audio that is taken from one message, in samples: 30 s.
/// Vendors send 0.1 to 0.5 s; a small server may send a whole sentence at once.
pub(crate) const MAX_DELTA_SAMPLES: u64 = 30 * SAMPLE_RATE as u64;

/// How long `samples` samples last.
pub fn duration_of(samples: u64) -> Duration {
    let rate = u64::from(SAMPLE_RATE);
    let nanos = (samples % rate) * 1_000_000_000 / rate;
    Duration::from_secs(samples / rate) + Duration::from_nanos(nanos)
}

/// What is wrong with a piece of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAudio {
    #[error("audio that is longer than {} s", MAX_DELTA_SAMPLES / SAMPLE_RATE as u64)]
    TooLong,
    #[error("audio that is not base64")]
    NotBase64,
    #[error("audio that ends within a sample")]
    HalfSample,
}

/// Appends `pcm` to `text` as base64.
pub(crate) fn encode(pcm: &[i16], text: &mut String) {
    let mut bytes = Vec::with_capacity(pcm.len() * 2);
    for sample in pcm {
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    STANDARD.encode_string(bytes, text);
}

/// Reads base64. What is too long is refused before it is decoded.
pub(crate) fn decode(text: &str) -> Result<Vec<i16>, BadAudio> {
    // Four characters hold three bytes, so this is the most that can come out.
    if (text.len() as u64 / 4) * 3 > MAX_DELTA_SAMPLES * 2 + 2 {
        return Err(BadAudio::TooLong);
    }
    let bytes = STANDARD.decode(text).map_err(|_| BadAudio::NotBase64)?;
    let (samples, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(BadAudio::HalfSample);
    }
    Ok(samples.iter().map(|b| i16::from_le_bytes(*b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_survives_the_wire() {
        let pcm: Vec<i16> = vec![0, 1, -1, i16::MAX, i16::MIN, 12_345];
        let mut text = String::from("x");
        encode(&pcm, &mut text);
        assert_eq!(text, "xAAABAP///38AgDkw");
        assert_eq!(decode(&text[1..]), Ok(pcm));
    }

    #[test]
    fn audio_that_is_damaged_is_refused_and_not_guessed() {
        assert_eq!(decode("AAA="), Ok(vec![0]));
        assert_eq!(decode("AAAA"), Err(BadAudio::HalfSample));
        assert_eq!(decode("AAA"), Err(BadAudio::NotBase64));
        assert_eq!(decode("AA A"), Err(BadAudio::NotBase64));
        assert_eq!(decode("-_8="), Err(BadAudio::NotBase64));
        let long = "AAAA".repeat(30 * 24_000);
        assert_eq!(decode(&long), Err(BadAudio::TooLong));
    }

    #[test]
    fn samples_are_time() {
        assert_eq!(duration_of(24), Duration::from_millis(1));
        assert_eq!(duration_of(36_000), Duration::from_millis(1500));
        assert_eq!(
            duration_of(u64::MAX / 2).as_secs(),
            u64::MAX / 2 / u64::from(SAMPLE_RATE)
        );
    }
}
