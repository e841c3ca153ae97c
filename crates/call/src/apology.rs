//! The sentence that a caller hears when there is no model to speak with. It
//! ships with the program, so that it is there when everything else is not.

use trunkline_realtime::SAMPLE_RATE;

/// "I am sorry. We cannot take your call just now. Please try again in a few
/// minutes. Goodbye." 8 kHz µ-law in a WAV container: what a phone line carries.
/// Made with espeak-ng, voice en-us, 150 words a minute.
const ENGLISH: &[u8] = include_bytes!("../assets/apology.en.wav");

const WAV_RATE: u32 = 8_000;

/// The apology as 24 kHz mono PCM.
pub(crate) fn english() -> Vec<i16> {
    let narrow: Vec<i16> = wav_data(ENGLISH).iter().map(|&byte| mu_law(byte)).collect();
    upsample(&narrow, (SAMPLE_RATE / WAV_RATE) as usize)
}

/// The bytes of a WAV file's `data` chunk.
fn wav_data(wav: &[u8]) -> &[u8] {
    let mut rest = wav.get(12..).unwrap_or_default();
    while let Some((header, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let length = length.min(body.len());
        if header.starts_with(b"data") {
            return &body[..length];
        }
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    &[]
}

/// ITU-T G.711 µ-law expansion.
fn mu_law(byte: u8) -> i16 {
    let bits = !byte;
    let magnitude = ((i16::from(bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4);
    if bits & 0x80 == 0 {
        magnitude - 0x84
    } else {
        0x84 - magnitude
    }
}

/// Linear interpolation: the images it leaves above 4 kHz are cut off again by
/// the phone line.
fn upsample(pcm: &[i16], factor: usize) -> Vec<i16> {
    let mut wide = Vec::with_capacity(pcm.len() * factor);
    for (i, &sample) in pcm.iter().enumerate() {
        let next = i32::from(*pcm.get(i + 1).unwrap_or(&sample));
        for step in 0..factor {
            let (step, factor) = (step as i32, factor as i32);
            let value = (i32::from(sample) * (factor - step) + next * step) / factor;
            wide.push(value as i16);
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apology_is_some_seconds_of_loud_sound() {
        let pcm = english();
        let seconds = pcm.len() as f64 / f64::from(SAMPLE_RATE);
        assert!((3.0..10.0).contains(&seconds), "{seconds} s");
        let peak = pcm.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(peak > 15_000, "peak {peak}");
    }

    #[test]
    fn mu_law_is_expanded_as_g711_says() {
        assert_eq!(
            [mu_law(0xff), mu_law(0x80), mu_law(0x00)],
            [0, 32_124, -32_124]
        );
    }

    #[test]
    fn a_broken_container_holds_no_sound() {
        assert!(wav_data(b"RIFF").is_empty());
        assert!(wav_data(b"RIFF\xff\xff\xff\xffWAVEjunk\xff\xff\xff\xffabc").is_empty());
    }
}
