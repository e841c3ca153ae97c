//! Packets of SCTP that the other side takes for its peer's: with its tag, its numbers and the right
//! checksum. Source: RFC 9260.

use super::open_crypto;
use crate::fuzzing::Input;

const HEADER_BYTES: usize = 12;

/// The chunks there are, some of them twice so that they come more often.
const KINDS: [u8; 20] = [
    DATA, 1, 2, SACK, 4, 5, 6, 7, 8, 9, 10, 11, 14, RESET, FORWARD, 193, DATA, DATA, RESET, SACK,
];
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const RESET: u8 = 130;
const FORWARD: u8 = 192;

/// Who has sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// What has to be known of an association in order to speak in the peer's name.
#[derive(Debug, Default)]
pub(in crate::peer) struct Sctp {
    /// What our side wants to see in every packet.
    tag: [u8; 4],
    /// The peer's first number, and its next.
    first: u32,
    next: u32,
    /// The last number of ours.
    ours: u32,
}

impl Sctp {
    /// Learns from a datagram that one side sends.
    pub(super) fn overhear(&mut self, datagram: &[u8], side: Side) {
        let Some(packet) = open_crypto::recorded(datagram).filter(|p| p.len() >= HEADER_BYTES)
        else {
            return;
        };
        let tag = [packet[4], packet[5], packet[6], packet[7]];
        if side == Side::Theirs && tag != [0; 4] {
            self.tag = tag;
        }
        let mut chunks = &packet[HEADER_BYTES..];
        while let [kind, _, high, low, body @ ..] = chunks {
            let length = usize::from(u16::from_be_bytes([*high, *low])).max(4);
            let number = |at: usize| {
                let bytes = body.get(at..)?.first_chunk()?;
                Some(u32::from_be_bytes(*bytes))
            };
            match (*kind, side) {
                (INIT | INIT_ACK, Side::Theirs) => {
                    self.first = number(12).unwrap_or_default();
                    self.next = self.first;
                }
                (INIT | INIT_ACK, Side::Ours) => {
                    self.ours = number(12).unwrap_or_default().wrapping_sub(1);
                }
                (DATA, Side::Theirs) => self.next = number(0).unwrap_or_default().wrapping_add(1),
                (DATA, Side::Ours) => self.ours = number(0).unwrap_or_default(),
                _ => {}
            }
            chunks = chunks.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    /// Chunks of an input.
    pub(in crate::peer) fn packet(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let mut chunks = Vec::new();
        for _ in 0..=input.byte() % 3 {
            let (kind, flags, by) = (input.byte(), input.byte(), input.byte());
            let kind = KINDS[usize::from(kind) % KINDS.len()];
            let mut body = input.piece().to_vec();
            self.number(kind, by, &mut body);
            chunk(&mut chunks, kind, flags, &body);
        }
        self.around(&chunks)
    }

    /// A packet with one piece of data, numbered as the peer's next.
    #[cfg(test)]
    pub(in crate::peer) fn data(&mut self, stream: u16, data: &[u8]) -> Vec<u8> {
        let [high, low] = stream.to_be_bytes();
        let mut body = vec![0, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 53];
        body.extend_from_slice(data);
        self.number(DATA, 0, &mut body);
        let mut chunks = Vec::new();
        chunk(&mut chunks, DATA, 3, &body);
        self.around(&chunks)
    }

    /// Writes numbers that are near the right ones where a chunk has them.
    fn number(&mut self, kind: u8, by: u8, body: &mut [u8]) {
        if by == u8::MAX {
            return;
        }
        let by = u32::from(by);
        let (at, number) = match kind {
            DATA | FORWARD => (0, self.next.wrapping_add(by)),
            SACK => (0, self.ours.wrapping_sub(by)),
            // After a parameter's type and length.
            RESET => (4, self.first.wrapping_add(by)),
            _ => return,
        };
        if let Some(place) = body.get_mut(at..at + 4) {
            place.copy_from_slice(&number.to_be_bytes());
            if kind == DATA && by == 0 {
                self.next = self.next.wrapping_add(1);
            }
        }
    }

    fn around(&self, chunks: &[u8]) -> Vec<u8> {
        let mut packet = [0x13, 0x88, 0x13, 0x88].to_vec();
        packet.extend_from_slice(&self.tag);
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(chunks);
        let check = checksum(&packet, 0x82F6_3B78).to_le_bytes();
        packet[8..12].copy_from_slice(&check);
        open_crypto::record(&packet)
    }
}

fn chunk(to: &mut Vec<u8>, kind: u8, flags: u8, body: &[u8]) {
    let length = u16::try_from(body.len() + 4).unwrap_or_default();
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(body);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// CRC-32 with the polynomial of STUN's or SCTP's, bit by bit.
pub(super) fn checksum(bytes: &[u8], polynomial: u32) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (polynomial & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
