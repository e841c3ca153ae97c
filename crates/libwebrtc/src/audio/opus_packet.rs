//! What an Opus packet says about itself, read without decoding it. Pure.

use super::format::TICKS_PER_MS;

/// Audio in one packet, in ticks. Source: RFC 6716, section 3.2.5.
pub(crate) const MAX_TICKS: u32 = 120 * TICKS_PER_MS as u32;

/// Longest packet that is looked at, in bytes: six frames of 20 ms at the highest bitrate there is.
/// Source: RFC 6716, section 3.4.
pub(crate) const MAX_BYTES: usize = 6 * 1_277;

/// From this configuration on there is no speech coder, and so no copy. Source: RFC 6716, table 2.
const FIRST_WITHOUT_SPEECH_CODER: u8 = 16;

/// How long a packet sounds, in ticks; `None` where it is none.
pub(crate) fn ticks(payload: &[u8]) -> Option<u32> {
    if payload.is_empty() || payload.len() > MAX_BYTES {
        return None;
    }
    let ticks = opusic_c::utils::get_nb_samples(payload, opusic_c::SampleRate::Hz48000).ok()?;
    u32::try_from(ticks)
        .ok()
        .filter(|ticks| (1..=MAX_TICKS).contains(ticks))
}

/// Whether a packet holds a coarse copy of what sounded before it. Packets of more than two frames,
/// or of two of unequal length, are taken not to: no sender of 20 ms makes them.
pub(crate) fn has_coarse_copy(payload: &[u8]) -> bool {
    let [toc, flags, ..] = payload else {
        return false;
    };
    let configuration = toc >> 3;
    let is_one_frame_or_two_equal = toc & 3 <= 1;
    if configuration >= FIRST_WITHOUT_SPEECH_CODER || !is_one_frame_or_two_equal {
        return false;
    }
    // Speech of 40 and 60 ms is two or three pieces of 20; the others are one.
    let pieces = match (configuration, configuration % 4) {
        (..12, 2) => 2,
        (..12, 3) => 3,
        _ => 1,
    };
    // A flag of voice for each piece, then one for the copies; then the same of the other channel.
    // Source: RFC 6716, section 4.2.3.
    let middle = flags << pieces & 0x80 != 0;
    let is_stereo = toc & 4 != 0;
    let side = is_stereo && flags << (2 * pieces + 1) & 0x80 != 0;
    middle || side
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::audio::{
        encoder::{AudioEncoder, MAX_PACKET_BYTES},
        format::Format,
        settings::OpusSettings,
    };

    /// How many of a second's packets have a copy, for an encoder that expects losses or does not.
    fn copies(expects_loss: bool, channels: u32) -> usize {
        let format = Format::exact(16_000, channels).unwrap();
        let mut settings = OpusSettings::from_fmtp(Some("useinbandfec=1;stereo=1"));
        settings.redundant = !expects_loss;
        let mut encoder = AudioEncoder::new(format, &settings).unwrap();
        let mut packet = [0; MAX_PACKET_BYTES];
        let packets = (0..50).map(|number| {
            let pcm: Vec<i16> = (0..format.samples(20))
                .map(|i| {
                    let t = (number * 320 + i / channels as usize) as f32 / 16_000.0;
                    let voice = (1..9).map(|n| (t * 140.0 * n as f32 * TAU).sin());
                    let syllable = (t * 12.0).sin().max(0.0);
                    (voice.sum::<f32>() * syllable * 3_000.0) as i16
                })
                .collect();
            let length = encoder.encode(&pcm, &mut packet).unwrap();
            assert_eq!(ticks(&packet[..length]), Some(960));
            usize::from(has_coarse_copy(&packet[..length]))
        });
        packets.sum()
    }

    #[test]
    fn copies_are_seen_where_the_encoder_made_them() {
        for channels in [1, 2] {
            assert!(copies(true, channels) > 15, "{channels}");
            assert_eq!(copies(false, channels), 0);
        }
    }

    #[test]
    fn what_is_no_packet_has_no_length_and_no_copy() {
        for payload in [&[][..], &[3, 0], &[0xFF]] {
            assert!(!has_coarse_copy(payload), "{payload:?}");
        }
        assert_eq!(ticks(&[]), None);
        assert_eq!(ticks(&[8; MAX_BYTES + 1]), None);
        // 60 ms of narrowband: three flags of voice before that of the copies.
        assert!(has_coarse_copy(&[3 << 3, 0b1111_0000]));
        assert!(!has_coarse_copy(&[3 << 3, 0b1110_1111]));
        assert!(!has_coarse_copy(&[16 << 3, 0xFF]), "music");
    }
}
