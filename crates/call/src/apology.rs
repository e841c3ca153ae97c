//! The sentence that a caller hears when there is no model to speak with. It
//! ships with the program, so that it is there when everything else is not.

use trunkline_realtime::SAMPLE_RATE;

use crate::recording::resampled;

/// "I am sorry. We cannot take your call just now. Please try again in a few
/// minutes. Goodbye.", by the language's code of ISO 639. 8 kHz µ-law in a WAV container:
/// what a phone line carries. Made with espeak-ng, 150 words a minute.
const RECORDINGS: [(&str, &[u8]); 7] = [
    ("en", include_bytes!("../assets/apology.en.wav")),
    ("de", include_bytes!("../assets/apology.de.wav")),
    ("es", include_bytes!("../assets/apology.es.wav")),
    ("fr", include_bytes!("../assets/apology.fr.wav")),
    ("it", include_bytes!("../assets/apology.it.wav")),
    ("nl", include_bytes!("../assets/apology.nl.wav")),
    ("pt", include_bytes!("../assets/apology.pt.wav")),
];

const WAV_RATE: u32 = 8_000;

/// The apology as 24 kHz mono PCM, in English where there is none in the language.
pub(crate) fn in_language(code: Option<&str>) -> Vec<i16> {
    let mut recordings = RECORDINGS.iter();
    let (_, wav) = recordings
        .find(|(language, _)| Some(*language) == code)
        .unwrap_or(&RECORDINGS[0]);
    wide(wav)
}

/// The apology in every language that there is.
pub(crate) fn in_all_languages() -> impl Iterator<Item = Vec<i16>> {
    RECORDINGS.iter().map(|(_, wav)| wide(wav))
}

fn wide(wav: &[u8]) -> Vec<i16> {
    let narrow: Vec<i16> = wav_data(wav).iter().map(|&byte| mu_law(byte)).collect();
    resampled(&narrow, WAV_RATE, SAMPLE_RATE)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apology_is_some_seconds_of_loud_sound_in_each_language() {
        for (language, _) in RECORDINGS {
            let pcm = in_language(Some(language));
            let seconds = pcm.len() as f64 / f64::from(SAMPLE_RATE);
            assert!((3.0..11.0).contains(&seconds), "{language}: {seconds} s");
            let peak = pcm.iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!(peak > 15_000, "{language}: peak {peak}");
        }
        let english = in_language(None);
        assert_eq!(in_language(Some("tlh")), english);
        assert_ne!(in_language(Some("de")), english);
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
