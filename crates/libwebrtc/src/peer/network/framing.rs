//! Packets in a byte stream, as peers and as TURN servers put them there.

/// Longest packet taken from a stream. Media, DTLS and STUN fit the path's 1,500 bytes; whoever
/// announces more speaks something else, and is not to make us keep it.
pub(super) const MAX_FRAME: usize = 8 * 1024;

/// How packets are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each has its length in two bytes before it. Source: RFC 4571.
    Peer,
    /// Each says by itself how long it is; channel data is filled up to four bytes. Source:
    /// RFC 8656, section 12.5.
    Turn,
}

/// The stream is not of this framing, or announces a packet longer than [`MAX_FRAME`]; nothing
/// after it can be trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Where a packet lies in what begins with it.
struct Frame {
    start: usize,
    end: usize,
    /// The end of what belongs to it.
    total: usize,
}

/// Length of the header of a STUN message. Source: RFC 8489, section 5.
const STUN_HEADER: usize = 20;

/// Length of the header of channel data. Source: RFC 8656, section 12.4.
const CHANNEL_HEADER: usize = 4;

impl Framing {
    /// The packet that `bytes` begin with; none where they do not tell its length yet.
    fn frame(self, bytes: &[u8]) -> Result<Option<Frame>, Unreadable> {
        let number = |at: usize| -> Option<usize> {
            let pair = bytes.get(at..at + 2)?;
            Some(usize::from(u16::from_be_bytes([pair[0], pair[1]])))
        };
        let (start, length, filled) = match (self, bytes.first()) {
            (_, None) => return Ok(None),
            (Self::Peer, Some(_)) => match number(0) {
                Some(length) => (2, length, length),
                None => return Ok(None),
            },
            (Self::Turn, Some(0..=0x3f)) => match number(2) {
                Some(length) => (0, STUN_HEADER + length, STUN_HEADER + length),
                None => return Ok(None),
            },
            (Self::Turn, Some(0x40..=0x4f)) => match number(2) {
                Some(length) => {
                    let length = CHANNEL_HEADER + length;
                    (0, length, length.next_multiple_of(4))
                }
                None => return Ok(None),
            },
            (Self::Turn, Some(_)) => return Err(Unreadable),
        };
        if length > MAX_FRAME {
            return Err(Unreadable);
        }
        Ok(Some(Frame {
            start,
            end: start + length,
            total: start + filled,
        }))
    }

    /// What goes before and after a packet in a stream; none where it is too long for one.
    pub(super) fn around(self, packet: &[u8]) -> Option<([u8; 2], usize, &'static [u8])> {
        const FILLING: [u8; 3] = [0; 3];
        match self {
            Self::Peer => {
                let length = u16::try_from(packet.len()).ok()?;
                Some((length.to_be_bytes(), 2, &[]))
            }
            Self::Turn => {
                let missing = packet.len().next_multiple_of(4) - packet.len();
                Some(([0; 2], 0, &FILLING[..missing]))
            }
        }
    }
}

/// Takes packets out of a stream that comes in pieces.
#[derive(Debug)]
pub(super) struct Unframer {
    framing: Framing,
    /// The beginning of a packet whose end has not come.
    partial: Vec<u8>,
}

impl Unframer {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            partial: Vec::new(),
        }
    }

    /// Bytes that wait for their packet's end.
    #[cfg(any(test, fuzzing))]
    pub(super) fn waiting(&self) -> usize {
        self.partial.len()
    }

    /// Takes the next piece and hands on every packet that it completes.
    pub(super) fn take(
        &mut self,
        mut piece: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Unreadable> {
        while !self.partial.is_empty() && !piece.is_empty() {
            let wanted = match self.framing.frame(&self.partial)? {
                Some(frame) => frame.total - self.partial.len(),
                // The header's end; byte by byte, for it is that short.
                None => 1,
            };
            let (head, tail) = piece.split_at(wanted.min(piece.len()));
            self.partial.extend_from_slice(head);
            piece = tail;
            if let Some(frame) = self.framing.frame(&self.partial)?
                && self.partial.len() == frame.total
            {
                each(&self.partial[frame.start..frame.end]);
                self.partial.clear();
            }
        }
        while let Some(frame) = self.framing.frame(piece)? {
            if piece.len() < frame.total {
                break;
            }
            each(&piece[frame.start..frame.end]);
            piece = &piece[frame.total..];
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream_of(framing: Framing, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for packet in packets {
            let (header, length, filling) = framing.around(packet).unwrap();
            stream.extend_from_slice(&header[..length]);
            stream.extend_from_slice(packet);
            stream.extend_from_slice(filling);
        }
        stream
    }

    fn cut(framing: Framing, stream: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut unframer = Unframer::new(framing);
        let mut out = Vec::new();
        for piece in stream.chunks(size) {
            let mut keep = |packet: &[u8]| out.push(packet.to_vec());
            unframer.take(piece, &mut keep).unwrap();
        }
        assert!(unframer.partial.is_empty());
        out
    }

    /// A STUN message (its length is a multiple of four) or channel data.
    fn turn_packet(is_channel: bool, body: Vec<u8>) -> Vec<u8> {
        let length = if is_channel {
            body.len()
        } else {
            body.len() / 4 * 4
        };
        let first = if is_channel { 0x40 } else { 0 };
        let mut packet = vec![first, 1];
        packet.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        if !is_channel {
            packet.extend_from_slice(&[7; 16]);
        }
        packet.extend_from_slice(&body[..length]);
        packet
    }

    #[test]
    fn an_announced_giant_ends_it() {
        let mut unframer = Unframer::new(Framing::Peer);
        assert_eq!(
            unframer.take(&[0xff, 0xff, 1], &mut |_| {}),
            Err(Unreadable)
        );
        let mut unframer = Unframer::new(Framing::Peer);
        unframer.take(&[0xff], &mut |_| {}).unwrap();
        assert_eq!(unframer.take(&[0xff], &mut |_| {}), Err(Unreadable));
        let mut unframer = Unframer::new(Framing::Turn);
        assert_eq!(unframer.take(&[0x80], &mut |_| {}), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn packets_of_peers_survive_any_cut(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            size in 1_usize..700,
        ) {
            let stream = stream_of(Framing::Peer, &packets);
            prop_assert_eq!(cut(Framing::Peer, &stream, size), packets);
        }

        #[test]
        fn packets_of_servers_survive_any_cut(
            bodies in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..8),
            size in 1_usize..700,
        ) {
            let packets: Vec<_> = bodies.into_iter().map(|(is, body)| turn_packet(is, body)).collect();
            let stream = stream_of(Framing::Turn, &packets);
            prop_assert_eq!(cut(Framing::Turn, &stream, size), packets);
        }

        #[test]
        fn noise_is_bounded(
            is_turn: bool,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..20),
        ) {
            let framing = if is_turn { Framing::Turn } else { Framing::Peer };
            let mut unframer = Unframer::new(framing);
            for piece in &pieces {
                let mut check = |packet: &[u8]| assert!(packet.len() <= MAX_FRAME);
                if unframer.take(piece, &mut check).is_err() {
                    break;
                }
                prop_assert!(unframer.partial.len() < MAX_FRAME + 4);
            }
        }
    }
}
