//! The check bytes of a frame: a Reed–Solomon code over GF(256) with four of them.
//!
//! They would repair two bytes anywhere, but a word must rather be missed than mistaken. So one
//! byte is repaired wherever it is, two only where the ear named the places; what is left of the
//! four vouches for the result.

use std::sync::LazyLock;

pub(super) const CHECK_BYTES: usize = 4;
/// x⁸ + x⁴ + x³ + x² + 1, of which 2 is a generator.
const FIELD_POLYNOMIAL: u16 = 0x11d;

struct Field {
    exp: [u8; 510],
    log: [u8; 256],
}

static FIELD: LazyLock<Field> = LazyLock::new(|| {
    let (mut exp, mut log) = ([0; 510], [0; 256]);
    let mut power: u16 = 1;
    for n in 0..255u8 {
        exp[usize::from(n)] = power as u8;
        exp[usize::from(n) + 255] = power as u8;
        log[usize::from(power)] = n;
        power <<= 1;
        if power > 255 {
            power ^= FIELD_POLYNOMIAL;
        }
    }
    Field { exp, log }
});

/// (x + 1)(x + 2)(x + 4)(x + 8), without its leading one.
static GENERATOR: LazyLock<[u8; CHECK_BYTES]> = LazyLock::new(|| {
    let mut product = vec![1];
    for root in 0..CHECK_BYTES {
        let scaled: Vec<u8> = product
            .iter()
            .map(|&factor| times(factor, FIELD.exp[root]))
            .collect();
        product.push(0);
        for (factor, scaled) in product[1..].iter_mut().zip(scaled) {
            *factor ^= scaled;
        }
    }
    std::array::from_fn(|n| product[n + 1])
});

fn times(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    FIELD.exp[usize::from(FIELD.log[usize::from(a)]) + usize::from(FIELD.log[usize::from(b)])]
}

/// `a / b`, where `b` is not zero.
fn over(a: u8, b: u8) -> u8 {
    if a == 0 {
        return 0;
    }
    FIELD.exp[usize::from(FIELD.log[usize::from(a)]) + 255 - usize::from(FIELD.log[usize::from(b)])]
}

/// The check bytes to send after `message`.
pub(super) fn check_bytes(message: &[u8]) -> [u8; CHECK_BYTES] {
    let mut rest = [0u8; CHECK_BYTES];
    for &byte in message {
        let lead = byte ^ rest[0];
        rest.rotate_left(1);
        rest[CHECK_BYTES - 1] = 0;
        for (rest, &factor) in rest.iter_mut().zip(&*GENERATOR) {
            *rest ^= times(lead, factor);
        }
    }
    rest
}

/// Message and check bytes as they were heard, with what is wrong about them.
struct Damage<'a> {
    heard: &'a mut [u8],
    syndromes: [u8; CHECK_BYTES],
}

impl Damage<'_> {
    fn locator(&self, place: usize) -> u8 {
        FIELD.exp[self.heard.len() - 1 - place]
    }

    fn explained_by(&self, errors: &[(usize, u8)]) -> bool {
        (0..CHECK_BYTES).all(|n| {
            let sum = errors.iter().fold(0, |sum, &(place, value)| {
                let power = (0..n).fold(1, |power, _| times(power, self.locator(place)));
                sum ^ times(value, power)
            });
            sum == self.syndromes[n]
        })
    }

    fn apply(&mut self, errors: &[(usize, u8)]) -> bool {
        let explained = self.explained_by(errors);
        if explained {
            for &(place, value) in errors {
                self.heard[place] ^= value;
            }
        }
        explained
    }
}

fn damage(heard: &mut [u8]) -> Damage<'_> {
    let syndromes = std::array::from_fn(|n| {
        heard
            .iter()
            .fold(0, |sum, &byte| times(sum, FIELD.exp[n]) ^ byte)
    });
    Damage { heard, syndromes }
}

/// Whether `heard` was sent so, or could be repaired by changing one byte.
pub(super) fn repair_one(heard: &mut [u8]) -> bool {
    let mut damage = damage(heard);
    let [s0, s1, ..] = damage.syndromes;
    if damage.syndromes == [0; CHECK_BYTES] {
        return true;
    }
    if s0 == 0 || s1 == 0 {
        return false;
    }
    let distance = usize::from(FIELD.log[usize::from(over(s1, s0))]);
    let Some(place) = (damage.heard.len() - 1).checked_sub(distance) else {
        return false;
    };
    damage.apply(&[(place, s0)])
}

/// Whether `heard` could be repaired by changing these two different bytes.
pub(super) fn repair_two(heard: &mut [u8], places: [usize; 2]) -> bool {
    let mut damage = damage(heard);
    let [s0, s1, ..] = damage.syndromes;
    let [a, b] = places.map(|place| damage.locator(place));
    let second = over(s1 ^ times(a, s0), a ^ b);
    damage.apply(&[(places[0], s0 ^ second), (places[1], second)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(message: &[u8]) -> Vec<u8> {
        [message, &check_bytes(message)].concat()
    }

    proptest! {
        #[test]
        fn one_wrong_byte_anywhere_is_repaired(
            message in prop::collection::vec(any::<u8>(), 1..17), place: prop::sample::Index, value: u8,
        ) {
            let sent = sent(&message);
            let mut heard = sent.clone();
            heard[place.index(sent.len())] ^= value;
            prop_assert!(repair_one(&mut heard));
            prop_assert_eq!(heard, sent);
        }

        #[test]
        fn two_wrong_bytes_are_repaired_where_they_are_known_and_refused_where_not(
            message in prop::collection::vec(any::<u8>(), 1..17),
            places: [prop::sample::Index; 2], values in [1u8.., 1u8..],
        ) {
            let sent = sent(&message);
            let places = places.map(|place| place.index(sent.len()));
            prop_assume!(places[0] != places[1]);
            let mut heard = sent.clone();
            heard[places[0]] ^= values[0];
            heard[places[1]] ^= values[1];
            prop_assert!(!repair_one(&mut heard.clone()));
            prop_assert!(repair_two(&mut heard, places));
            prop_assert_eq!(heard, sent);
        }
    }
}
