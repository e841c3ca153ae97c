//! What a received stream looks like on the wire: counts, losses, jitter. Pure.

use std::time::Instant;

use super::format::CLOCK_HZ;

/// The part of a packet that says where it belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RtpInfo {
    pub(crate) ssrc: u32,
    /// Extended beyond 16 bits.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// Of the RTP header with its extensions.
    pub(crate) header_bytes: usize,
    pub(crate) packing: Packing,
}

/// What the payload of a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// An Opus packet.
    Plain,
    /// An Opus packet with copies of those before it (RFC 2198).
    Redundant,
}

/// Counts of everything received for a track, its former sources included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ReceptionStats {
    /// The source that was heard last.
    pub(crate) ssrc: u32,
    pub(crate) packets: u64,
    /// Payload without header.
    pub(crate) bytes: u64,
    pub(crate) header_bytes: u64,
    /// Expected less received, which late duplicates may make negative.
    pub(crate) lost: i64,
    /// Interarrival jitter in seconds. Source: RFC 3550, appendix A.8.
    pub(crate) jitter: f64,
    pub(crate) last_arrival: Option<Instant>,
}

/// Watches one track's packets.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    stats: ReceptionStats,
    source: Option<Source>,
    /// Lost of the sources before.
    lost_before: i64,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: u64,
    highest: u64,
    received: u64,
    arrival: Instant,
    timestamp: u32,
}

impl Source {
    fn lost(&self) -> i64 {
        // Numbers that nobody sends in earnest are as far apart as 64 bits allow.
        let expected = (self.highest - self.first).saturating_add(1);
        let expected = i64::try_from(expected).unwrap_or(i64::MAX);
        expected.saturating_sub_unsigned(self.received)
    }
}

impl Reception {
    pub(crate) fn stats(&self) -> ReceptionStats {
        let lost = self.source.as_ref().map_or(0, Source::lost);
        ReceptionStats {
            lost: self.lost_before.saturating_add(lost),
            ..self.stats
        }
    }

    pub(crate) fn packet(&mut self, now: Instant, info: &RtpInfo, payload_bytes: usize) {
        self.stats.ssrc = info.ssrc;
        self.stats.packets += 1;
        self.stats.bytes += payload_bytes as u64;
        self.stats.header_bytes += info.header_bytes as u64;
        self.stats.last_arrival = Some(now);
        let Some(source) = self.source.as_mut().filter(|old| old.ssrc == info.ssrc) else {
            let lost = self.source.as_ref().map_or(0, Source::lost);
            self.lost_before = self.lost_before.saturating_add(lost);
            self.stats.jitter = 0.0;
            self.source = Some(Source {
                ssrc: info.ssrc,
                first: info.sequence,
                highest: info.sequence,
                received: 1,
                arrival: now,
                timestamp: info.timestamp,
            });
            return;
        };
        source.received += 1;
        source.first = source.first.min(info.sequence);
        source.highest = source.highest.max(info.sequence);
        let apart = now.saturating_duration_since(source.arrival).as_secs_f64();
        let ticks = info.timestamp.wrapping_sub(source.timestamp).cast_signed();
        let difference = (apart - f64::from(ticks) / f64::from(CLOCK_HZ)).abs();
        self.stats.jitter += (difference - self.stats.jitter) / 16.0;
        (source.arrival, source.timestamp) = (now, info.timestamp);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet(ssrc: u32, number: u64) -> RtpInfo {
        RtpInfo {
            ssrc,
            sequence: 65_000 + number,
            timestamp: (number as u32).wrapping_mul(960).wrapping_sub(100_000),
            header_bytes: 20,
            packing: Packing::Plain,
        }
    }

    /// So many milliseconds after the start each, by packet number.
    fn after(arrivals: &[(u32, u64, u64)]) -> ReceptionStats {
        let start = Instant::now();
        let mut reception = Reception::default();
        for (ssrc, number, ms) in arrivals {
            let now = start + Duration::from_millis(*ms);
            reception.packet(now, &packet(*ssrc, *number), 50);
        }
        reception.stats()
    }

    #[test]
    fn losses_are_the_numbers_that_did_not_come() {
        let stats = after(&[(1, 0, 0), (1, 1, 20), (1, 4, 80), (1, 3, 90)]);
        assert_eq!((stats.packets, stats.lost), (4, 1));
        assert_eq!((stats.bytes, stats.header_bytes), (200, 80));
    }

    #[test]
    fn losses_of_former_sources_stay() {
        let stats = after(&[(1, 0, 0), (1, 2, 40), (2, 500, 60), (2, 503, 120)]);
        assert_eq!((stats.packets, stats.lost), (4, 3));
    }

    #[test]
    fn numbers_as_far_apart_as_can_be_overflow_nothing() {
        let mut reception = Reception::default();
        let start = Instant::now();
        for (ssrc, sequence) in [(1, 0), (1, u64::MAX), (2, 0), (2, 1 << 63), (3, 7)] {
            let info = RtpInfo {
                sequence,
                ..packet(ssrc, 0)
            };
            reception.packet(start, &info, 50);
        }
        assert_eq!(reception.stats().lost, i64::MAX);
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_silence_adds_none() {
        let mut even: Vec<_> = (0..50).map(|i| (1, i, i * 20)).collect();
        even.push((1, 100, 2_000));
        assert!(after(&even).jitter < 1e-6);
    }

    #[test]
    fn a_swing_of_10_ms_is_a_jitter_of_10_ms() {
        let swing: Vec<_> = (0..200).map(|i| (1, i, i * 20 + i % 2 * 10)).collect();
        let jitter = after(&swing).jitter;
        assert!((jitter - 0.01).abs() < 1e-4, "{jitter}");
    }
}
