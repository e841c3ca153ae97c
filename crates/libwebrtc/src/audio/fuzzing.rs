//! Sound from packets.

use std::time::{Duration, Instant};

use super::{
    format::{Format, TICKS_PER_MS},
    playout::Playout,
    red::{self, Levels, RedPacker},
};
use crate::fuzzing::Input;

/// Packets that one input may bring: more say nothing new and take the fuzzer's time.
const MAX_STEPS: usize = 400;

/// A payload with copies: taken apart, and put together and taken apart again.
pub fn redundancy(data: &[u8]) {
    if let Some(parts) = red::parse(data) {
        let copied: usize = parts.blocks().map(|block| 4 + block.payload.len()).sum();
        assert_eq!(copied + 1 + parts.primary.len(), data.len());
    }
    let mut input = Input::new(data);
    let mut packer = RedPacker::default();
    while !input.is_empty() {
        let (loss, timestamp) = (input.byte(), input.long());
        let payload = input.piece();
        let packed = packer.pack(
            111,
            timestamp,
            payload,
            Levels::for_loss(f32::from(loss) / 255.0),
        );
        let parts = red::parse(packed).expect("a packet of our own");
        assert_eq!(parts.primary, payload);
        assert!(parts.blocks().all(|block| block.payload_type == 111));
    }
}

/// Any packets at any time into a player, which goes on playing.
pub fn playout(data: &[u8]) {
    let mut input = Input::new(data);
    let (hz, channels) = match input.byte() % 4 {
        0 => (8_000, 1),
        1 => (16_000, 1),
        2 => (24_000, 2),
        _ => (48_000, 2),
    };
    let format = Format::nearest(hz, channels);
    let mut now = Instant::now();
    let mut playout = Playout::new(now, format).expect("a decoder");
    let (mut seq, mut timestamp, mut ssrc) = (0_u16, 0_u32, 1_u32);
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let what = input.byte();
        match what % 8 {
            // The next packet, as most are.
            0..=2 => {
                seq = seq.wrapping_add(1);
                timestamp = timestamp.wrapping_add(960);
            }
            3 => seq = seq.wrapping_add(input.word()),
            4 => timestamp = timestamp.wrapping_add(input.long()),
            5 => (seq, timestamp) = (input.word(), input.long()),
            6 => ssrc = u32::from(input.byte() % 4),
            _ => now += Duration::from_millis(input.word().into()),
        }
        if what & 0x80 != 0 {
            let payload = input.piece();
            match red::parse(payload).filter(|_| what & 0x40 != 0) {
                Some(parts) => playout.insert_redundant(now, ssrc, seq, timestamp, &parts),
                None => playout.insert(now, ssrc, seq, timestamp, payload),
            }
        }
        for _ in 0..(what >> 3) % 4 {
            now += Duration::from_millis(10);
            playout.prepare(now, 1, 10 * TICKS_PER_MS);
            let frame = playout.take();
            assert_eq!(frame.len(), format.samples(10));
        }
        let (packets, samples) = playout.held();
        assert!(packets <= 100, "{packets} packets are held");
        assert!(samples <= format.samples(1_000), "{samples} samples wait");
    }
}
