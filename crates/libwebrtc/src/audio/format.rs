//! Rates, channels and the media clock.

use std::time::Duration;

use opusic_c::{Channels, SampleRate};

/// RTP clock of Opus in hertz, whatever the rate of the audio. Source: RFC 7587, section 4.1.
pub(crate) const CLOCK_HZ: u32 = 48_000;

/// Media clock ticks in a millisecond.
pub(crate) const TICKS_PER_MS: i64 = CLOCK_HZ as i64 / 1000;

/// How much audio a frame at the API carries, in milliseconds. libwebrtc's sinks have the same.
pub(crate) const API_FRAME_MS: usize = 10;

/// How much audio a packet carries. 20 ms is what every Opus sender in telephony uses: half the
/// packets of 10 ms, and below 20 ms Opus spends its bits on headers.
pub(crate) const PACKET_MS: usize = 20;

/// [`PACKET_MS`] on the media clock.
pub(crate) const PACKET_TICKS: u32 = PACKET_MS as u32 * TICKS_PER_MS as u32;

/// [`PACKET_MS`] on the wall clock.
pub(crate) const PACKET: Duration = Duration::from_millis(PACKET_MS as u64);

/// A format that Opus encodes and decodes without resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) rate: Rate,
    pub(crate) layout: Layout,
}

/// A rate that Opus knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rate {
    Hz8000 = 8_000,
    Hz12000 = 12_000,
    Hz16000 = 16_000,
    Hz24000 = 24_000,
    Hz48000 = 48_000,
}

/// A channel count that Opus knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Mono = 1,
    Stereo = 2,
}

impl Rate {
    const ALL: [Self; 5] = [
        Self::Hz8000,
        Self::Hz12000,
        Self::Hz16000,
        Self::Hz24000,
        Self::Hz48000,
    ];

    fn exact(hz: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| *rate as u32 == hz)
    }

    /// The lowest rate that loses nothing of `hz`; the highest where there is none.
    fn covering(hz: u32) -> Self {
        Self::ALL
            .into_iter()
            .find(|rate| *rate as u32 >= hz)
            .unwrap_or(Self::Hz48000)
    }

    pub(crate) fn opus(self) -> SampleRate {
        match self {
            Self::Hz8000 => SampleRate::Hz8000,
            Self::Hz12000 => SampleRate::Hz12000,
            Self::Hz16000 => SampleRate::Hz16000,
            Self::Hz24000 => SampleRate::Hz24000,
            Self::Hz48000 => SampleRate::Hz48000,
        }
    }
}

impl Layout {
    pub(crate) fn opus(self) -> Channels {
        match self {
            Self::Mono => Channels::Mono,
            Self::Stereo => Channels::Stereo,
        }
    }
}

impl Format {
    /// The format, if Opus has exactly it.
    pub(crate) fn exact(sample_rate: u32, num_channels: u32) -> Option<Self> {
        let rate = Rate::exact(sample_rate)?;
        let layout = match num_channels {
            1 => Layout::Mono,
            2 => Layout::Stereo,
            _ => return None,
        };
        Some(Self { rate, layout })
    }

    /// Whether it is taken for speech: who captures music asks for all of its bandwidth.
    pub(crate) fn is_speech(self) -> bool {
        self.rate < Rate::Hz48000
    }

    /// The format that comes nearest without losing anything but channels beyond two. Rates
    /// below 1 mean "whatever there is": 48 kHz.
    pub(crate) fn nearest(sample_rate: i32, num_channels: i32) -> Self {
        let rate = u32::try_from(sample_rate)
            .ok()
            .filter(|hz| *hz > 0)
            .map_or(Rate::Hz48000, Rate::covering);
        let layout = if num_channels >= 2 {
            Layout::Stereo
        } else {
            Layout::Mono
        };
        Self { rate, layout }
    }

    pub(crate) fn hz(self) -> u32 {
        self.rate as u32
    }

    pub(crate) fn channels(self) -> usize {
        self.layout as usize
    }

    /// Samples of all channels in `ms` milliseconds.
    pub(crate) fn samples(self, ms: usize) -> usize {
        self.hz() as usize / 1000 * ms * self.channels()
    }

    /// Samples of all channels in `ticks` of the media clock, rounded down to whole frames.
    pub(crate) fn samples_in_ticks(self, ticks: u32) -> usize {
        (u64::from(ticks) * u64::from(self.hz()) / u64::from(CLOCK_HZ)) as usize * self.channels()
    }

    /// How long `samples` of all channels sound.
    pub(crate) fn duration(self, samples: usize) -> Duration {
        let per_channel = (samples / self.channels()) as u64;
        Duration::from_nanos(per_channel * 1_000_000_000 / u64::from(self.hz()))
    }

    /// Samples of all channels that sound for `duration`, rounded down to whole frames.
    pub(crate) fn samples_in(self, duration: Duration) -> usize {
        let per_channel = duration.as_nanos() * u128::from(self.hz()) / 1_000_000_000;
        usize::try_from(per_channel).unwrap_or(usize::MAX / 4) * self.channels()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rates_and_layouts_of_opus_are_exact() {
        for hz in [8_000, 12_000, 16_000, 24_000, 48_000] {
            assert_eq!(Format::exact(hz, 1).map(Format::hz), Some(hz));
        }
        for (hz, channels) in [(44_100, 1), (32_000, 1), (0, 1), (48_000, 0), (48_000, 3)] {
            assert_eq!(Format::exact(hz, channels), None);
        }
    }

    #[test]
    fn another_rate_gets_the_next_that_loses_nothing() {
        assert_eq!(Format::nearest(44_100, 1).hz(), 48_000);
        assert_eq!(Format::nearest(11_025, 1).hz(), 12_000);
        assert_eq!(Format::nearest(96_000, 6), Format::nearest(48_000, 2));
        assert_eq!(Format::nearest(-1, 0), Format::nearest(48_000, 1));
    }

    #[test]
    fn durations_and_samples_agree() {
        let format = Format::exact(24_000, 2).unwrap();
        assert_eq!(format.samples(20), 960);
        assert_eq!(format.samples_in_ticks(PACKET_TICKS), 960);
        assert_eq!(format.duration(960), PACKET);
        assert_eq!(format.samples_in(PACKET), 960);
    }
}
