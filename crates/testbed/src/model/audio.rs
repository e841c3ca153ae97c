//! The audio formats of the wire.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::error::WireError;
use super::params::Param;

/// The rate at which the model hears, whatever the wire carries.
pub(super) const HEARING_RATE: u32 = 24_000;

/// How samples are written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// 16 bit, little endian, 24 kHz.
    Pcm,
    /// G.711 µ-law, 8 kHz.
    MuLaw,
    /// G.711 A-law, 8 kHz.
    ALaw,
}

impl Format {
    /// The format that a checked configuration names.
    pub(super) fn of(value: &Value) -> Self {
        match value["type"].as_str() {
            Some("audio/pcmu") => Self::MuLaw,
            Some("audio/pcma") => Self::ALaw,
            _ => Self::Pcm,
        }
    }

    pub(super) fn check(format: &Param<'_>) -> Result<(), WireError> {
        let fields = format.fields(&["type", "rate"])?;
        format
            .require("type")?
            .one_of(&["audio/pcm", "audio/pcmu", "audio/pcma"])?;
        for (_, rate) in fields.iter().filter(|(name, _)| *name == "rate") {
            if rate.value != &Value::from(24_000) {
                let message = "Invalid value: only a sample rate of 24000 is supported.";
                return Err(WireError::wrong_value(&rate.path, message));
            }
        }
        Ok(())
    }

    pub(super) fn json(self) -> Value {
        match self {
            Self::Pcm => json!({ "type": "audio/pcm", "rate": 24_000 }),
            Self::MuLaw => json!({ "type": "audio/pcmu" }),
            Self::ALaw => json!({ "type": "audio/pcma" }),
        }
    }

    pub(super) fn rate(self) -> u32 {
        match self {
            Self::Pcm => 24_000,
            Self::MuLaw | Self::ALaw => 8_000,
        }
    }

    /// Samples in base64, as deltas carry them.
    pub(super) fn encode(self, samples: &[i16]) -> String {
        let bytes: Vec<u8> = match self {
            Self::Pcm => samples
                .iter()
                .flat_map(|sample| sample.to_le_bytes())
                .collect(),
            Self::MuLaw => samples.iter().map(|&sample| g711::mu_law(sample)).collect(),
            Self::ALaw => samples.iter().map(|&sample| g711::a_law(sample)).collect(),
        };
        BASE64_STANDARD.encode(bytes)
    }

    /// What an `input_audio_buffer.append` carries, at [`HEARING_RATE`].
    pub(super) fn decode(self, audio: &Param<'_>) -> Result<Vec<i16>, WireError> {
        let invalid = || {
            WireError::wrong_value(
                &audio.path,
                format!(
                    "Invalid '{}': expected base64-encoded audio bytes.",
                    audio.path
                ),
            )
        };
        let bytes = BASE64_STANDARD
            .decode(audio.string()?)
            .map_err(|_| invalid())?;
        match self {
            Self::Pcm => {
                let (samples, rest) = bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(invalid());
                }
                Ok(samples
                    .iter()
                    .map(|&sample| i16::from_le_bytes(sample))
                    .collect())
            }
            Self::MuLaw => Ok(thrice(bytes.into_iter().map(g711::from_mu_law))),
            Self::ALaw => Ok(thrice(bytes.into_iter().map(g711::from_a_law))),
        }
    }
}

/// From 8 to 24 kHz by holding each sample. The images this makes lie above the words.
fn thrice(samples: impl Iterator<Item = i16>) -> Vec<i16> {
    samples.flat_map(|sample| [sample; 3]).collect()
}

/// ITU-T G.711 companding.
mod g711 {
    const MU_BIAS: i32 = 0x84;
    const MU_CLIP: i32 = 32_635;

    pub(super) fn mu_law(sample: i16) -> u8 {
        let sign = if sample < 0 { 0x80 } else { 0 };
        let magnitude = i32::from(sample).abs().min(MU_CLIP) + MU_BIAS;
        // The bias puts the leading bit at 7 to 14; the four bits after it are kept.
        let exponent = 24 - magnitude.leading_zeros() as i32;
        let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
        !(sign | (exponent << 4) as u8 | mantissa as u8)
    }

    pub(super) fn from_mu_law(byte: u8) -> i16 {
        let byte = !byte;
        let (exponent, mantissa) = (i32::from(byte >> 4 & 7), i32::from(byte & 0x0f));
        let magnitude = (((mantissa << 3) + MU_BIAS) << exponent) - MU_BIAS;
        (if byte & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        }) as i16
    }

    pub(super) fn a_law(sample: i16) -> u8 {
        let sign = if sample >= 0 { 0x80 } else { 0 };
        let magnitude = (if sample < 0 {
            !i32::from(sample)
        } else {
            i32::from(sample)
        }) >> 4;
        let compressed = if magnitude < 32 {
            magnitude
        } else {
            let segment = 28 - magnitude.leading_zeros() as i32;
            (segment << 4) + ((magnitude >> (segment - 1)) & 0x0f)
        };
        (sign | compressed as u8) ^ 0x55
    }

    pub(super) fn from_a_law(byte: u8) -> i16 {
        let byte = byte ^ 0x55;
        let (exponent, mantissa) = (i32::from(byte >> 4 & 7), i32::from(byte & 0x0f));
        let magnitude = match exponent {
            0 => (mantissa << 4) + 8,
            _ => ((mantissa << 4) + 0x108) << (exponent - 1),
        };
        (if byte & 0x80 != 0 {
            magnitude
        } else {
            -magnitude
        }) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companding_and_back_is_within_the_steps_of_the_standard() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let allowed = (i32::from(sample).abs() / 16).max(16);
            let mu = i32::from(g711::from_mu_law(g711::mu_law(sample)));
            let a = i32::from(g711::from_a_law(g711::a_law(sample)));
            let near = |decoded: i32| (decoded - i32::from(sample)).abs() <= allowed;
            assert!(
                near(mu) || i32::from(sample).abs() > 32_000,
                "µ-law {sample}: {mu}"
            );
            assert!(near(a), "A-law {sample}: {a}");
        }
    }

    #[test]
    fn silence_has_the_codes_of_the_standard() {
        assert_eq!((g711::mu_law(0), g711::a_law(0)), (0xff, 0xd5));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        let value = Value::String(Format::Pcm.encode(&samples));
        let decoded = Format::Pcm.decode(&Param::new("audio", &value));
        assert_eq!(decoded.as_deref(), Ok(samples.as_slice()));
    }

    #[test]
    fn half_a_sample_is_refused() {
        let value = Value::String(BASE64_STANDARD.encode([1, 2, 3]));
        let error = Format::Pcm
            .decode(&Param::new("audio", &value))
            .expect_err("a refusal");
        assert_eq!(error.code, "invalid_value");
    }
}
