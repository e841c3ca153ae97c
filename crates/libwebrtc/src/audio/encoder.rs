//! PCM into Opus packets.

use opusic_c::{Application, Bitrate, Channels, Encoder, ErrorCode, InbandFec, Signal};

use super::{
    format::{Format, Layout},
    settings::OpusSettings,
};

/// How hard libopus looks for a good encoding, 0 to 10. On half a minute of synthetic speech at
/// 24 kHz, sent as wideband with 48 kbit/s, score (PESQ, wideband) and cost of a core were 4.16 and
/// 0.27 % at 1, 4.20 and 0.48 % at 3, 4.48 and 0.68 % at 5, 4.51 and 0.67 % at 6, 4.52 and 0.85 %
/// at 8 (libopus 1.6.1, which below 6 does not use AVX2 for most of the work).
const COMPLEXITY: u8 = 6;

/// The largest packet of one frame. Source: RFC 6716, section 3.2.1.
pub(crate) const MAX_PACKET_BYTES: usize = 1275;

/// Encodes one stream.
pub(crate) struct AudioEncoder {
    inner: Encoder,
    format: Format,
    /// What libopus was told.
    settings: OpusSettings,
    /// libopus' binding takes 16-bit samples as `u16`, bit for bit.
    scratch: Vec<u16>,
}

impl AudioEncoder {
    pub(crate) fn new(format: Format, settings: &OpusSettings) -> Result<Self, ErrorCode> {
        let speech = format.is_speech();
        let application = if speech {
            Application::Voip
        } else {
            Application::Audio
        };
        let mut inner = Encoder::new(format.layout.opus(), format.rate.opus(), application)?;
        inner.set_complexity(COMPLEXITY)?;
        inner.set_signal(if speech { Signal::Voice } else { Signal::Auto })?;
        let mut encoder = Self {
            inner,
            format,
            settings: *settings,
            scratch: Vec::new(),
        };
        encoder.apply(settings)?;
        Ok(encoder)
    }

    /// Changes what can change while it runs.
    pub(crate) fn set(&mut self, settings: &OpusSettings) -> Result<(), ErrorCode> {
        if self.settings == *settings {
            return Ok(());
        }
        self.settings = *settings;
        self.apply(settings)
    }

    fn apply(&mut self, settings: &OpusSettings) -> Result<(), ErrorCode> {
        let inner = &mut self.inner;
        inner.set_bitrate(Bitrate::Value(settings.bitrate(self.format)))?;
        inner.set_inband_fec(if settings.in_band_fec {
            InbandFec::Mode1
        } else {
            InbandFec::Off
        })?;
        inner.set_packet_loss(settings.expected_loss_percent())?;
        inner.set_max_bandwidth(settings.bandwidth(self.format))?;
        let is_downmixed = self.format.layout == Layout::Stereo && !settings.stereo;
        inner.set_force_channels(is_downmixed.then_some(Channels::Mono))
    }

    /// Encodes one packet's worth into `packet`; answers its length.
    pub(crate) fn encode(&mut self, pcm: &[i16], packet: &mut [u8]) -> Result<usize, ErrorCode> {
        self.scratch.clear();
        self.scratch
            .extend(pcm.iter().map(|sample| sample.cast_unsigned()));
        self.inner.encode_to_slice(&self.scratch, packet)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::audio::format::PACKET_MS;

    fn settings() -> OpusSettings {
        OpusSettings::from_fmtp(Some("useinbandfec=1;stereo=1"))
    }

    #[test]
    fn every_format_encodes_to_packets_of_20_ms_near_its_bitrate() {
        for hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
            for channels in [1, 2] {
                let format = Format::exact(hz, channels).unwrap();
                let mut encoder = AudioEncoder::new(format, &settings()).unwrap();
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
                    bits < settings().bitrate(format) * 3 / 2,
                    "{hz} Hz {channels}: {bits} bit/s"
                );
            }
        }
    }

    #[test]
    fn a_change_of_settings_changes_what_is_encoded() {
        let format = Format::exact(48_000, 2).unwrap();
        let mut encoder = AudioEncoder::new(format, &settings()).unwrap();
        let sound = voice(Format::exact(48_000, 1).unwrap(), 1);
        let stereo: Vec<i16> = sound.iter().flat_map(|s| [*s, -*s / 2]).collect();
        let mut packet = [0; MAX_PACKET_BYTES];
        let mut bytes = |encoder: &mut AudioEncoder| {
            let packets = stereo.chunks_exact(format.samples(PACKET_MS));
            packets
                .map(|pcm| encoder.encode(pcm, &mut packet).unwrap())
                .sum::<usize>()
        };
        let before = bytes(&mut encoder);
        let mut narrow =
            OpusSettings::from_fmtp(Some("maxplaybackrate=8000;maxaveragebitrate=12000"));
        narrow.max_bitrate = Some(64_000);
        encoder.set(&narrow).unwrap();
        bytes(&mut encoder);
        let after = bytes(&mut encoder);
        assert!(after * 3 < before, "{after} of {before} bytes");
        // libopus changes the bandwidth of speech in pauses only.
        let mut encoder = AudioEncoder::new(format, &narrow).unwrap();
        bytes(&mut encoder);
        let packet = encoder
            .encode(&stereo[..format.samples(PACKET_MS)], &mut packet)
            .map(|_| packet[0]);
        let (mode, is_stereo) = (packet.unwrap() >> 3, packet.unwrap() & 4 != 0);
        // Source: RFC 6716, table 2: SILK or CELT of 4 kHz.
        assert!(matches!(mode, 0..=3 | 16..=19), "{mode}");
        assert!(!is_stereo);
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
            let mut encoder = AudioEncoder::new(format, &settings()).unwrap();
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
