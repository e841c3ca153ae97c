//! How a stream is to be encoded, as both sides and the application want it. Pure.

use opusic_c::Bandwidth;

use super::{
    format::{Format, Layout, Rate},
    red::Levels,
};

/// Opus encodes nothing below and nothing above. Source: RFC 6716, section 2.1.1.
const MIN_BITRATE: u32 = 6_000;
const MAX_BITRATE: u32 = 510_000;

/// Packet loss that an encoder without other redundancy prepares for before it knows better, in
/// percent. Above zero libopus puts a coarse copy of each voiced frame into the next packet, out
/// of the same bits. On synthetic speech 5 was not enough at 48 kHz; 20 repaired 1.5 dB better
/// than 10.
const EXPECTED_LOSS_PERCENT: u8 = 10;

/// What an encoder prepares for at most: beyond, the copy takes more than it gives.
const MAX_EXPECTED_LOSS_PERCENT: u8 = 25;

/// How the application, the peer and the network want a stream encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OpusSettings {
    /// What the application allows, in bits a second.
    pub(crate) max_bitrate: Option<u32>,
    /// What the peer allows, in bits a second.
    pub(crate) max_average_bitrate: Option<u32>,
    /// The highest rate that the peer plays, in hertz.
    pub(crate) max_playback_rate: Option<u32>,
    /// The peer makes use of coarse copies in the following packet.
    pub(crate) in_band_fec: bool,
    /// Silence need not be sent.
    pub(crate) dtx: bool,
    /// The peer plays two channels.
    pub(crate) stereo: bool,
    /// Every packet repeats those before it.
    pub(crate) redundant: bool,
    /// What the peer says was lost of late, of 1.
    pub(crate) lost: f32,
}

impl OpusSettings {
    /// Reads the peer's wishes. Source: RFC 7587, section 6.1, the defaults included.
    pub(crate) fn from_fmtp(fmtp: Option<&str>) -> Self {
        let mut settings = Self {
            max_bitrate: None,
            max_average_bitrate: None,
            max_playback_rate: None,
            in_band_fec: false,
            dtx: false,
            stereo: false,
            redundant: false,
            lost: 0.0,
        };
        for parameter in fmtp.unwrap_or_default().split(';') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let number = value.trim().parse::<u32>().ok();
            let is_on = number == Some(1);
            match name.trim() {
                "maxaveragebitrate" => settings.max_average_bitrate = number,
                "maxplaybackrate" => settings.max_playback_rate = number,
                "useinbandfec" => settings.in_band_fec = is_on,
                "usedtx" => settings.dtx = is_on,
                "stereo" => settings.stereo = is_on,
                _ => {}
            }
        }
        settings
    }

    /// Bits a second for a format: what it needs, unless the application names another figure;
    /// within what it can make use of and what the peer allows.
    pub(crate) fn bitrate(&self, format: Format) -> u32 {
        let wanted = self.max_bitrate.map_or(usual_bitrate(format), |allowed| {
            allowed.min(useful_bitrate(format))
        });
        let allowed = self.max_average_bitrate.unwrap_or(MAX_BITRATE);
        wanted.min(allowed).clamp(MIN_BITRATE, MAX_BITRATE)
    }

    /// Up to where the sound is sent: what the peer plays, and of speech the 8 kHz that HD voice
    /// has. What the bits for the next 4 kHz cost below that is heard: at 48 kbit/s, speech of
    /// 24 kHz scores 4.32 (PESQ, wideband) with them and 4.51 without, for a tenth less of the
    /// processor; and nothing of them is left on a telephone.
    pub(crate) fn bandwidth(&self, format: Format) -> Bandwidth {
        let useful = if format.is_speech() { 16_000 } else { u32::MAX };
        // Source: RFC 7587, section 3.1.3.
        match self.max_playback_rate.unwrap_or(u32::MAX).min(useful) {
            0..=8_000 => Bandwidth::Narrow,
            8_001..=12_000 => Bandwidth::Medium,
            12_001..=16_000 => Bandwidth::Wide,
            16_001..=24_000 => Bandwidth::Superwide,
            24_001.. => Bandwidth::Full,
        }
    }

    /// The loss that the encoder is told to prepare for, in percent.
    pub(crate) fn expected_loss_percent(&self) -> u8 {
        if !self.in_band_fec {
            return 0;
        }
        // Copies of whole packets do better than coarse ones, which then cost for nothing.
        let least = if self.redundant {
            0
        } else {
            EXPECTED_LOSS_PERCENT
        };
        let lost = (self.lost * 100.0).round().clamp(0.0, 100.0) as u8;
        lost.clamp(least, MAX_EXPECTED_LOSS_PERCENT)
    }

    /// How many packets back each packet repeats, where it does.
    pub(crate) fn levels(&self) -> Levels {
        Levels::for_loss(self.lost)
    }
}

/// What RFC 7587, section 3.1.1, recommends (8 to 12 k for narrowband speech, 16 to 20 k for
/// wideband, 28 to 40 k for fullband, from 48 k for music), and for the lower rates as much more
/// as libopus wants before it adds its copy for lost packets. At 8 kHz and 16 k it added none, at
/// 20 k just so.
fn usual_bitrate(format: Format) -> u32 {
    let mono = match format.rate {
        Rate::Hz8000 | Rate::Hz12000 => 24_000,
        Rate::Hz16000 | Rate::Hz24000 => 32_000,
        Rate::Hz48000 => 48_000,
    };
    // Stereo shares much between its channels.
    match format.layout {
        Layout::Mono => mono,
        Layout::Stereo => mono * 3 / 2,
    }
}

/// Above this the sound of a format hardly gains. The SDK names 48 k for every track unless told
/// otherwise, telephone calls included.
fn useful_bitrate(format: Format) -> u32 {
    let mono = match format.rate {
        Rate::Hz8000 | Rate::Hz12000 => 32_000,
        Rate::Hz16000 | Rate::Hz24000 => 48_000,
        Rate::Hz48000 => MAX_BITRATE,
    };
    mono.saturating_mul(format.layout as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(hz: u32, channels: u32) -> Format {
        Format::exact(hz, channels).unwrap()
    }

    #[test]
    fn the_peers_wishes_are_read_and_the_rest_has_its_defaults() {
        let line = "minptime=10; useinbandfec=1;usedtx=1;stereo=1;maxaveragebitrate=20000;\
                    maxplaybackrate=16000;sprop-stereo=1;x";
        let settings = OpusSettings::from_fmtp(Some(line));
        assert!(settings.in_band_fec && settings.dtx && settings.stereo);
        assert_eq!(settings.max_average_bitrate, Some(20_000));
        assert_eq!(settings.max_playback_rate, Some(16_000));
        let defaults = OpusSettings::from_fmtp(None);
        assert!(!defaults.in_band_fec && !defaults.dtx && !defaults.stereo);
        assert_eq!(defaults.bitrate(format(24_000, 1)), 32_000);
    }

    #[test]
    fn the_application_and_the_peer_bound_the_bitrate() {
        let mut settings = OpusSettings::from_fmtp(None);
        settings.max_bitrate = Some(48_000);
        assert_eq!(settings.bitrate(format(24_000, 1)), 48_000);
        assert_eq!(
            settings.bitrate(format(8_000, 1)),
            32_000,
            "no use for more"
        );
        settings.max_bitrate = Some(1_000_000);
        assert_eq!(settings.bitrate(format(48_000, 2)), 510_000);
        settings.max_average_bitrate = Some(64_000);
        assert_eq!(settings.bitrate(format(48_000, 2)), 64_000);
        settings.max_bitrate = Some(1);
        assert_eq!(settings.bitrate(format(48_000, 2)), 6_000);
    }

    #[test]
    fn coarse_copies_are_made_where_nothing_else_repairs() {
        let mut settings = OpusSettings::from_fmtp(Some("useinbandfec=1"));
        assert_eq!(settings.expected_loss_percent(), 10);
        settings.lost = 0.17;
        assert_eq!(settings.expected_loss_percent(), 17);
        settings.lost = 0.9;
        assert_eq!(settings.expected_loss_percent(), 25);
        (settings.redundant, settings.lost) = (true, 0.0);
        assert_eq!(settings.expected_loss_percent(), 0);
        settings.in_band_fec = false;
        settings.lost = 0.1;
        assert_eq!(settings.expected_loss_percent(), 0);
    }
}
