//! Numbers that packets carry for feedback about their arrival, as far as str0m has to be kept from
//! them. Pure.
//!
//! str0m extends the numbers beyond 16 bits. One that belongs before number 0 becomes nearly 2⁶⁴,
//! and the next report lists all that is missing between: memory without end, for one packet.
//! Numbers are safe once one from the upper half has been seen; until then, packets with a number
//! that could be taken for one from before the beginning do not pass. Honest senders begin at 0,
//! or have no packet late by half the range.

/// Half of the range of 16 bits.
const HALF: u64 = 1 << 15;

const FIXED_HEADER_BYTES: usize = 12;

/// The forms that header extensions come in. Source: RFC 8285, sections 4.2 and 4.3.
const ONE_BYTE_FORM: u16 = 0xBEDE;
const TWO_BYTE_FORM: u16 = 0x1000;

/// Ends the extensions of the one-byte form.
const LAST_ID: u8 = 15;

/// What has been seen of the numbers.
#[derive(Debug, Default)]
pub(super) struct FeedbackNumbers {
    /// Under which ids they travel.
    ids: Vec<u8>,
    /// The highest of a packet that was authentic.
    highest: Option<u64>,
}

impl FeedbackNumbers {
    pub(super) fn new(ids: Vec<u8>) -> Self {
        Self { ids, highest: None }
    }

    /// Whether a datagram may reach str0m. `is_heard` says whether str0m would tell of it.
    pub(super) fn may_pass(&self, datagram: &[u8], is_heard: impl Fn(u32, u8) -> bool) -> bool {
        if self.ids.is_empty() || self.highest.is_some_and(|highest| highest >= HALF) {
            return true;
        }
        let Some(packet) = Packet::of(datagram) else {
            return true;
        };
        let mut numbers = packet.extensions().filter_map(|(id, value)| {
            let is_number = self.ids.contains(&id);
            value.first_chunk().copied().filter(|_| is_number)
        });
        match self.highest {
            Some(highest) => {
                numbers.all(|number| u64::from(u16::from_be_bytes(number)) <= HALF + highest)
            }
            // Where the numbers begin is known from a packet that is told of.
            None => numbers.next().is_none() || is_heard(packet.ssrc, packet.payload_type),
        }
    }

    /// An authentic packet had this number.
    pub(super) fn seen(&mut self, number: u16) {
        let number = match self.highest {
            None => u64::from(number),
            Some(highest) => {
                let step = number.wrapping_sub(highest as u16).cast_signed();
                highest.saturating_add_signed(step.into())
            }
        };
        self.highest = self.highest.max(Some(number));
    }
}

/// The parts of a packet of RTP that matter here.
struct Packet<'a> {
    ssrc: u32,
    payload_type: u8,
    is_one_byte_form: bool,
    extensions: &'a [u8],
}

impl<'a> Packet<'a> {
    /// `None` for what has no header extensions, RTCP and everything else included.
    fn of(datagram: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = datagram.split_first_chunk::<FIXED_HEADER_BYTES>()?;
        if fixed[0] & 0xD0 != 0x90 {
            return None;
        }
        let rest = rest.get(usize::from(fixed[0] & 0x0F) * 4..)?;
        let ([form_high, form_low, words @ ..], rest) = rest.split_first_chunk::<4>()?;
        let form = u16::from_be_bytes([*form_high, *form_low]);
        if form != ONE_BYTE_FORM && form & 0xFFF0 != TWO_BYTE_FORM {
            return None;
        }
        Some(Self {
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload_type: fixed[1] & 0x7F,
            is_one_byte_form: form == ONE_BYTE_FORM,
            extensions: rest.get(..usize::from(u16::from_be_bytes(*words)) * 4)?,
        })
    }

    /// Ids and values.
    fn extensions(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.extensions;
        std::iter::from_fn(move || {
            while let [0, after @ ..] = rest {
                rest = after;
            }
            let (id, length, after) = match (self.is_one_byte_form, rest) {
                (true, [first, after @ ..]) if first >> 4 != LAST_ID => {
                    (first >> 4, first & 0x0F, after)
                }
                (false, [id, length, after @ ..]) => (*id, *length, after),
                _ => return None,
            };
            let length = usize::from(length) + usize::from(self.is_one_byte_form);
            let (value, after) = after.split_at_checked(length)?;
            rest = after;
            Some((id, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(form: u16, extensions: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x91, 111, 0, 1, 0, 0, 3, 192, 0, 0, 0, 7];
        packet.extend([9; 4]);
        packet.extend(form.to_be_bytes());
        packet.extend(u16::try_from(extensions.len() / 4).unwrap().to_be_bytes());
        packet.extend(extensions);
        packet
    }

    fn numbered(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        packet(0xBEDE, &[0x10, 0x85, 0, 0x21, high, low, 0, 0])
    }

    fn passes(numbers: &FeedbackNumbers, datagram: &[u8]) -> bool {
        numbers.may_pass(datagram, |ssrc, payload_type| {
            assert_eq!((ssrc, payload_type), (7, 111));
            true
        })
    }

    fn after(seen: &[u16]) -> FeedbackNumbers {
        let mut numbers = FeedbackNumbers::new(vec![2]);
        seen.iter().for_each(|number| numbers.seen(*number));
        numbers
    }

    #[test]
    fn what_belongs_before_the_beginning_does_not_pass() {
        for (seen, number, is_passed) in [
            (&[][..], 65_531, true),
            (&[1, 2, 3], 4, true),
            (&[1, 2, 3], 32_771, true),
            (&[1, 2, 3], 32_772, false),
            (&[3, 1], 65_531, false),
            (&[40_000], 3, true),
            (&[30_000, 60_000, 5], 65_531, true),
        ] {
            let is = passes(&after(seen), &numbered(number));
            assert_eq!(is, is_passed, "{number} after {seen:?}");
        }
    }

    #[test]
    fn the_first_number_is_of_a_packet_that_is_told_of() {
        let numbers = after(&[]);
        assert!(!numbers.may_pass(&numbered(3), |_, _| false));
        let without = packet(0xBEDE, &[0x10, 0x85, 0, 0]);
        assert!(numbers.may_pass(&without, |_, _| false));
    }

    #[test]
    fn both_forms_are_read_and_every_number_counts() {
        let numbers = after(&[3]);
        for (form, extensions) in [
            (0x1000, &[2, 2, 0xFF, 0xFB][..]),
            (0x100F, &[0, 1, 0, 2, 2, 0xFF, 0xFB, 0]),
            (0xBEDE, &[0x21, 0xFF, 0xFB, 0x21, 0, 4, 0, 0]),
            (0xBEDE, &[0x21, 0, 4, 0x21, 0xFF, 0xFB, 0, 0]),
            (0xBEDE, &[0x22, 0xFF, 0xFB, 0]),
        ] {
            let packet = packet(form, extensions);
            assert!(!passes(&numbers, &packet), "{extensions:x?}");
        }
        for extensions in [
            &[0x31, 0xFF, 0xFB, 0][..],
            &[0xF0, 0x21, 0xFF, 0xFB],
            &[0x2F, 0xFF, 0xFB, 0],
        ] {
            assert!(passes(&numbers, &packet(0xBEDE, extensions)));
        }
        assert!(passes(&numbers, &[0x90; 9]), "cut off");
    }
}
