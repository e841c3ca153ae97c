//! Packets sent of late, to be sent again where the peer asks for them. Pure.
//!
//! str0m answers requests with a stream of their own only (RFC 4588), which audio peers do not
//! negotiate: they expect the same packet again. So str0m is given such a stream, and what it
//! sends there is exchanged for the packet that it repeats, byte by byte as it was: encrypting
//! another one under the same number would give the key away.

use std::collections::VecDeque;

/// Packets of a stream that are kept: a second. What is asked for later is no longer waited for.
const MAX_KEPT: usize = 50;

const FIXED_HEADER_BYTES: usize = 12;

/// The parts of an RTP header that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentHeader {
    pub(super) ssrc: u32,
    pub(super) timestamp: u32,
    /// With everything before the payload.
    pub(super) bytes: usize,
}

/// Reads the header of a protected packet, which is in clear; `None` for everything else that
/// shares the path. Source of the ranges: RFC 7983, section 7; RFC 5761, section 4.
pub(super) fn rtp_header(datagram: &[u8]) -> Option<SentHeader> {
    let (fixed, rest) = datagram.split_first_chunk::<FIXED_HEADER_BYTES>()?;
    let is_rtp = fixed[0] >> 6 == 2 && !(192..=223).contains(&fixed[1]);
    if !is_rtp {
        return None;
    }
    let number =
        |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let sources = usize::from(fixed[0] & 0x0F) * 4;
    let mut bytes = FIXED_HEADER_BYTES + sources;
    if fixed[0] & 0x10 != 0 {
        let extension = rest.get(sources..)?.first_chunk::<4>()?;
        bytes += 4 + usize::from(u16::from_be_bytes([extension[2], extension[3]])) * 4;
    }
    Some(SentHeader {
        ssrc: number(8),
        timestamp: number(4),
        bytes,
    })
}

/// What became of a stream's packets on their way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SentStats {
    pub(super) header_bytes: u64,
    pub(super) repeated_packets: u64,
    /// Whole packets, header and tag included.
    pub(super) repeated_bytes: u64,
}

/// One stream's packets.
#[derive(Debug)]
pub(super) struct SentPackets {
    pub(super) ssrc: u32,
    /// Under which str0m repeats them; `None` where they are not.
    pub(super) alias: Option<u32>,
    pub(super) stats: SentStats,
    /// By RTP time, which no two packets share.
    kept: VecDeque<(u32, Vec<u8>)>,
}

impl SentPackets {
    pub(super) fn new(ssrc: u32, alias: Option<u32>) -> Self {
        Self {
            ssrc,
            alias,
            stats: SentStats::default(),
            kept: VecDeque::new(),
        }
    }

    /// A packet of the stream goes out.
    pub(super) fn sent(&mut self, header: &SentHeader, datagram: &[u8]) {
        self.stats.header_bytes += header.bytes as u64;
        if self.alias.is_none() {
            return;
        }
        let mut copy = if self.kept.len() < MAX_KEPT {
            Vec::new()
        } else {
            self.kept.pop_front().map_or_else(Vec::new, |(_, old)| old)
        };
        copy.clear();
        copy.extend_from_slice(datagram);
        self.kept.push_back((header.timestamp, copy));
    }

    /// The packet that str0m repeats with this one.
    pub(super) fn repeated(&mut self, header: &SentHeader) -> Option<Vec<u8>> {
        let is_wanted = |(timestamp, _): &&(u32, Vec<u8>)| *timestamp == header.timestamp;
        let (_, datagram) = self.kept.iter().find(is_wanted)?;
        self.stats.repeated_packets += 1;
        self.stats.repeated_bytes += datagram.len() as u64;
        Some(datagram.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32, timestamp: u32, marker: u8) -> Vec<u8> {
        let mut packet = vec![0x90, 111, 0, 1];
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xBE, 0xDE, 0, 1, 0x10, 0x85, 0, 0, marker]);
        packet
    }

    #[test]
    fn headers_are_read_and_other_traffic_is_left_alone() {
        let header = rtp_header(&packet(7, 960, 1)).unwrap();
        let expected = SentHeader {
            ssrc: 7,
            timestamp: 960,
            bytes: 20,
        };
        assert_eq!(header, expected);
        let mut report = packet(7, 960, 1);
        report[1] = 200;
        assert_eq!(rtp_header(&report), None);
        assert_eq!(rtp_header(&[20; 50]), None, "DTLS");
        assert_eq!(rtp_header(&packet(7, 960, 1)[..14]), None, "cut off");
    }

    #[test]
    fn what_is_asked_for_is_the_packet_as_it_was() {
        let mut sent = SentPackets::new(7, Some(8));
        for i in 0..60u32 {
            let datagram = packet(7, i * 960, i as u8);
            sent.sent(&rtp_header(&datagram).unwrap(), &datagram);
        }
        let ask = |sent: &mut SentPackets, i: u32| {
            sent.repeated(&rtp_header(&packet(8, i * 960, 99)).unwrap())
        };
        assert_eq!(ask(&mut sent, 30), Some(packet(7, 30 * 960, 30)));
        assert_eq!(ask(&mut sent, 9), None, "too long ago");
        assert_eq!(sent.stats.header_bytes, 1_200);
        let repeated = (sent.stats.repeated_packets, sent.stats.repeated_bytes);
        assert_eq!(repeated, (1, 21));
    }

    #[test]
    fn nothing_is_kept_where_nobody_may_ask() {
        let mut sent = SentPackets::new(7, None);
        let datagram = packet(7, 960, 1);
        sent.sent(&rtp_header(&datagram).unwrap(), &datagram);
        assert!(sent.kept.is_empty());
    }
}
