//! PCM into Opus packets.

use opusic_c::{Application, Bitrate, Encoder, ErrorCode, InbandFec, Signal};

use super::format::{Format, Layout, Rate};

/// How hard libopus looks for a good encoding, 0 to 10. On 15 s of synthetic speech at 24 kHz
/// and 32 kbit/s, spectral distortion and cost of a core were 3.4 dB and 0.3 % at 1, 2.5 dB and
/// 0.8 % at 5, 2.0 dB and 1.0 % at 10 (libopus 1.6.1, optimised).
const COMPLEXITY: u8 = 5;

/// Packet loss that the encoder prepares for, in percent. Above zero libopus puts a coarse copy
/// of each voiced frame into the next packet, out of the same bits. On the same speech 5
/// was not enough at 48 kHz; 20 repaired 1.5 dB better than 10.
const EXPECTED_LOSS_PERCENT: u8 = 10;

/// The largest packet of one frame. Source: RFC 6716, section 3.2.1.
pub(crate) const MAX_PACKET_BYTES: usize = 1275;

/// Encodes one stream.
pub(crate) struct AudioEncoder {
    inner: Encoder,
    /// libopus' binding takes 16-bit samples as `u16`, bit for bit.
    scratch: Vec<u16>,
}

impl AudioEncoder {
    pub(crate) fn new(format: Format) -> Result<Self, ErrorCode> {
        let speech = format.rate < Rate::Hz48000;
        let application = if speech {
            Application::Voip
        } else {
            Application::Audio
        };
        let mut inner = Encoder::new(format.layout.opus(), format.rate.opus(), application)?;
        inner.set_complexity(COMPLEXITY)?;
        inner.set_bitrate(Bitrate::Value(bitrate(format)))?;
        inner.set_inband_fec(InbandFec::Mode1)?;
        inner.set_packet_loss(EXPECTED_LOSS_PERCENT)?;
        inner.set_signal(if speech { Signal::Voice } else { Signal::Auto })?;
        Ok(Self {
            inner,
            scratch: Vec::new(),
        })
    }

    /// Encodes one packet's worth into `packet`; answers its length.
    pub(crate) fn encode(&mut self, pcm: &[i16], packet: &mut [u8]) -> Result<usize, ErrorCode> {
        self.scratch.clear();
        self.scratch
            .extend(pcm.iter().map(|sample| sample.cast_unsigned()));
        self.inner.encode_to_slice(&self.scratch, packet)
    }
}

/// Bits a second: what RFC 7587, section 3.1.1, recommends (8 to 12 k for narrowband speech, 16
/// to 20 k for wideband, 28 to 40 k for fullband, from 48 k for music), and for the lower rates
/// as much more as libopus wants before it adds its copy for lost packets. At 8 kHz and 16 k it
/// added none, at 20 k just so.
fn bitrate(format: Format) -> u32 {
    let mono = match format.rate {
        Rate::Hz8000 | Rate::Hz12000 => 24_000,
        Rate::Hz16000 => 28_000,
        Rate::Hz24000 => 32_000,
        Rate::Hz48000 => 48_000,
    };
    // Stereo shares much between its channels.
    match format.layout {
        Layout::Mono => mono,
        Layout::Stereo => mono * 3 / 2,
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::audio::format::PACKET_MS;

    #[test]
    fn every_format_encodes_to_packets_of_20_ms_near_its_bitrate() {
        for hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
            for channels in [1, 2] {
                let format = Format::exact(hz, channels).unwrap();
                let mut encoder = AudioEncoder::new(format).unwrap();
                let mut packet = [0; MAX_PACKET_BYTES];
                let mut bytes = 0;
                for frame in 0..50 {
                    let pcm: Vec<i16> = (0..format.samples(PACKET_MS))
                        .map(|i| {
                            let t = (frame * format.samples(PACKET_MS) + i) / channels as usize;
                            let t = t as f32 / hz as f32;
                            ((t * 400.0 * TAU).sin() * (t * 3.0 * TAU).sin() * 8_000.0) as i16
                        })
                        .collect();
                    let length = encoder.encode(&pcm, &mut packet).unwrap();
                    let ticks = opusic_c::utils::get_nb_samples(
                        &packet[..length],
                        opusic_c::SampleRate::Hz48000,
                    );
                    assert_eq!(ticks, Ok(960));
                    bytes += length;
                }
                let bits = bytes as u32 * 8;
                assert!(
                    bits < bitrate(format) * 3 / 2,
                    "{hz} Hz {channels}: {bits} bit/s"
                );
            }
        }
    }

    /// A voice-like sound: a gliding pitch with its harmonics, in syllables.
    fn voice(format: Format, seconds: usize) -> Vec<i16> {
        let hz = format.hz() as f32;
        let mut phase = 0.0f32;
        (0..format.hz() as usize * seconds)
            .map(|i| {
                let t = i as f32 / hz;
                phase = (phase + (130.0 + 30.0 * (t * 4.0).sin()) / hz).fract();
                let harmonics = (1..15).map(|n| {
                    let n = n as f32;
                    (phase * n * TAU).sin() / n
                });
                let syllable = 0.2 + 0.8 * (t * 12.0).sin().abs();
                (harmonics.sum::<f32>() * syllable * 6_000.0) as i16
            })
            .collect()
    }

    #[test]
    fn at_every_rate_the_next_packet_repairs_a_lost_one_better_than_concealment() {
        use crate::audio::decoder::AudioDecoder;
        for hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
            let format = Format::exact(hz, 1).unwrap();
            let mut encoder = AudioEncoder::new(format).unwrap();
            let packets: Vec<Vec<u8>> = voice(format, 4)
                .chunks_exact(format.samples(PACKET_MS))
                .map(|pcm| {
                    let mut packet = [0; MAX_PACKET_BYTES];
                    let length = encoder.encode(pcm, &mut packet).unwrap();
                    packet[..length].to_vec()
                })
                .collect();
            let mut decoders = [(); 3].map(|()| AudioDecoder::new(format).unwrap());
            let mut errors = [0.0f64; 2];
            for (i, pair) in packets.windows(2).enumerate() {
                let [mut whole, mut repaired, mut concealed] = [(); 3].map(|()| Vec::new());
                decoders[0].decode(&pair[0], &mut whole).unwrap();
                if i % 7 == 6 {
                    decoders[1].recover(&pair[1], 960, &mut repaired).unwrap();
                    decoders[2].conceal(960, &mut concealed).unwrap();
                    for (error, pcm) in errors.iter_mut().zip([&repaired, &concealed]) {
                        let differences = whole.iter().zip(pcm);
                        *error += differences
                            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                            .sum::<f64>();
                    }
                } else {
                    decoders[1].decode(&pair[0], &mut repaired).unwrap();
                    decoders[2].decode(&pair[0], &mut concealed).unwrap();
                }
            }
            let better = errors[1] / errors[0];
            assert!(better > 1.5, "{hz} Hz: {better:.2} times less error");
        }
    }
}
