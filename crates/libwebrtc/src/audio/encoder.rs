//! PCM into Opus packets.

use opusic_c::{Application, Bitrate, Encoder, ErrorCode, InbandFec, Signal};

use super::format::{Format, Layout, Rate};

/// How hard libopus looks for a good encoding, 0 to 10. Measured on speech, 5 is where the ear
/// stops telling (SILK's delayed decision is on); 9 and 10 cost a third to a half more time.
const COMPLEXITY: u8 = 5;

/// Packet loss that the encoder prepares for, in percent. Above zero libopus puts a coarse copy
/// of each frame into the next packet; at 10 it does so for voiced speech and pays some 20 % of
/// the bits. Telephone legs lose in single packets, which that copy repairs.
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

/// Bits a second. Up to 24 kHz they are where speech is transparent to listeners in Opus' own
/// tests with in-band error correction added (narrowband 16 k, wideband 24 k, super-wideband
/// 32 k); 48 kHz may be music: 48 k, the SDK's own preset. Stereo shares much between channels.
fn bitrate(format: Format) -> u32 {
    let mono = match format.rate {
        Rate::Hz8000 => 16_000,
        Rate::Hz12000 | Rate::Hz16000 => 24_000,
        Rate::Hz24000 => 32_000,
        Rate::Hz48000 => 48_000,
    };
    match format.layout {
        Layout::Mono => mono,
        Layout::Stereo => mono * 3 / 2,
    }
}

#[cfg(test)]
mod tests {
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
                            ((t * 400.0 * 6.283).sin() * (t * 3.0 * 6.283).sin() * 8_000.0) as i16
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
}
