//! Redundant audio (RFC 2198): each packet repeats the ones before it. Pure.

use std::collections::VecDeque;

/// Set in the header of every block but the last.
const MORE_BLOCKS: u8 = 0x80;
const BLOCK_HEADER_BYTES: usize = 4;

/// A block may lie so far back, and be so long. Source: RFC 2198, section 3: 14 and 10 bits.
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_BLOCK_BYTES: usize = (1 << 10) - 1;

/// Redundant blocks that are looked at in one packet. Senders have one or two; what a hostile one
/// adds costs no more.
const MAX_BLOCKS: usize = 8;

/// How many packets back a packet repeats at most.
const MAX_LEVELS: usize = 2;

/// Payloads up to this length are not repeated: they say that nothing is to be heard.
const MIN_WORTH_BYTES: usize = 3;

/// A redundant block, the copy of an earlier packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) payload_type: u8,
    /// How much earlier than the packet's own, in RTP ticks.
    pub(crate) offset: u32,
    pub(crate) payload: &'a [u8],
}

/// A packet taken apart.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// What the packet itself is about.
    pub(crate) primary_type: u8,
    pub(crate) primary: &'a [u8],
    blocks: [Option<Block<'a>>; MAX_BLOCKS],
}

impl<'a> Parts<'a> {
    /// Oldest first, as they were sent.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block<'a>> {
        self.blocks.into_iter().flatten()
    }
}

/// Takes a payload apart; `None` where it is none of this sort.
pub(crate) fn parse(payload: &[u8]) -> Option<Parts<'_>> {
    let mut blocks = [None; MAX_BLOCKS];
    let mut lengths = [0; MAX_BLOCKS];
    let mut count = 0;
    let mut rest = payload;
    let primary_type = loop {
        let (first, _) = rest.split_first()?;
        if first & MORE_BLOCKS == 0 {
            rest = &rest[1..];
            break *first;
        }
        let (header, behind) = rest.split_first_chunk::<BLOCK_HEADER_BYTES>()?;
        if count == MAX_BLOCKS {
            return None;
        }
        let fields = u32::from_be_bytes(*header);
        lengths[count] = (fields & 0x3FF) as usize;
        blocks[count] = Some(Block {
            payload_type: first & !MORE_BLOCKS,
            offset: fields >> 10 & MAX_OFFSET,
            payload: &[],
        });
        count += 1;
        rest = behind;
    };
    for (block, length) in blocks.iter_mut().flatten().zip(lengths) {
        let (payload, behind) = rest.split_at_checked(length)?;
        block.payload = payload;
        rest = behind;
    }
    Some(Parts {
        primary_type,
        primary: rest,
        blocks,
    })
}

/// How many of the packets before it each packet repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Levels {
    One = 1,
    Two = 2,
}

impl Levels {
    /// The network has lost so much of what was sent, of 1. One copy repairs single losses; from
    /// 2 % on, losses next to each other become common, and in bursts sooner.
    pub(crate) fn for_loss(fraction: f32) -> Self {
        if fraction < 0.02 {
            Self::One
        } else {
            Self::Two
        }
    }
}

/// Puts payloads together with copies of those before them.
#[derive(Debug, Default)]
pub(crate) struct RedPacker {
    /// What was sent last, oldest first, with its RTP time.
    sent: VecDeque<(u32, Vec<u8>)>,
    packed: Vec<u8>,
}

impl RedPacker {
    /// The packet for `payload`, which is of `payload_type` and `timestamp`.
    pub(crate) fn pack(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        payload: &[u8],
        levels: Levels,
    ) -> &[u8] {
        self.packed.clear();
        let skipped = self.sent.len().saturating_sub(levels as usize);
        let copies = self.sent.iter().skip(skipped).filter(|(at, copy)| {
            timestamp.wrapping_sub(*at) <= MAX_OFFSET && copy.len() >= MIN_WORTH_BYTES
        });
        for (at, copy) in copies.clone() {
            let fields = u32::from(payload_type | MORE_BLOCKS) << 24
                | timestamp.wrapping_sub(*at) << 10
                | copy.len() as u32;
            self.packed.extend(fields.to_be_bytes());
        }
        self.packed.push(payload_type);
        for (_, copy) in copies {
            self.packed.extend(copy);
        }
        self.packed.extend(payload);
        self.remember(timestamp, payload);
        &self.packed
    }

    fn remember(&mut self, timestamp: u32, payload: &[u8]) {
        let mut copy = if self.sent.len() < MAX_LEVELS {
            Vec::new()
        } else {
            self.sent.pop_front().map_or_else(Vec::new, |(_, old)| old)
        };
        copy.clear();
        if payload.len() <= MAX_BLOCK_BYTES {
            copy.extend(payload);
        }
        self.sent.push_back((timestamp, copy));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_repeats_the_one_before_it() {
        let mut packer = RedPacker::default();
        assert_eq!(packer.pack(111, 5_000, b"first", Levels::One), b"\x6ffirst");
        let packed = packer.pack(111, 5_960, b"second", Levels::One);
        assert_eq!(packed, b"\xef\x0f\x00\x05\x6ffirstsecond");
        let parts = parse(packed).unwrap();
        assert_eq!((parts.primary_type, parts.primary), (111, &b"second"[..]));
        let copy = Block {
            payload_type: 111,
            offset: 960,
            payload: b"first",
        };
        assert_eq!(parts.blocks().collect::<Vec<_>>(), [copy]);
    }

    #[test]
    fn two_levels_repeat_two_and_time_may_wrap() {
        let mut packer = RedPacker::default();
        let start = u32::MAX - 1_000;
        for (i, word) in ["one", "two", "three"].into_iter().enumerate() {
            let timestamp = start.wrapping_add(i as u32 * 960);
            packer.pack(111, timestamp, word.as_bytes(), Levels::Two);
        }
        let packed = packer.pack(111, start.wrapping_add(2_880), b"four", Levels::Two);
        let parts = parse(packed).unwrap();
        let copies: Vec<_> = parts.blocks().map(|b| (b.offset, b.payload)).collect();
        assert_eq!(copies, [(1_920, &b"two"[..]), (960, b"three")]);
    }

    #[test]
    fn what_is_too_old_too_long_or_silent_is_not_repeated() {
        for (payload, gap) in [
            (vec![1; 1_024], 960),
            (vec![1; 9], 16_384),
            (vec![1; 2], 960),
        ] {
            let mut packer = RedPacker::default();
            packer.pack(111, 0, &payload, Levels::Two);
            let packed = packer.pack(111, gap, b"next", Levels::Two);
            assert_eq!(packed, b"\x6fnext");
        }
    }

    #[test]
    fn more_is_repeated_where_more_is_lost() {
        assert_eq!(Levels::for_loss(0.0), Levels::One);
        assert_eq!(Levels::for_loss(0.05), Levels::Two);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let packed = b"\xef\x0f\x00\x05\x6ffirstsecond";
        for length in 0..10 {
            assert!(parse(&packed[..length]).is_none(), "{length}");
        }
        assert!(parse(&[0xEF; 400]).is_none());
    }

    proptest! {
        #[test]
        fn no_payload_makes_the_reader_panic_or_invent(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(parts) = parse(&payload) {
                let copied: usize = parts.blocks().map(|b| b.payload.len() + BLOCK_HEADER_BYTES).sum();
                prop_assert_eq!(copied + 1 + parts.primary.len(), payload.len());
            }
        }
    }
}
