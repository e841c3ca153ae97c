//! From secrets to keys.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};

use crate::native::frame_cryptor::KeyDerivationAlgorithm;

/// Rounds of PBKDF2; some tens of milliseconds. Source: the SDKs' constant.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("100,000 is not 0");

/// The info of HKDF: the SDKs take 128 zeros.
const INFO: [u8; 128] = [0; 128];

/// How keys follow from secrets, and from the keys before them.
pub(crate) struct Derivation {
    pub(crate) algorithm: KeyDerivationAlgorithm,
    pub(crate) salt: Vec<u8>,
}

impl Derivation {
    /// Derives `N` bytes, at most 32. With PBKDF2 it takes its time.
    pub(super) fn derive<const N: usize>(&self, secret: &[u8]) -> [u8; N] {
        const { assert!(N <= 32, "one block of SHA-256") };
        let mut derived = [0; N];
        match self.algorithm {
            KeyDerivationAlgorithm::PBKDF2 => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
                pbkdf2::derive(algorithm, ROUNDS, &self.salt, secret, &mut derived);
            }
            KeyDerivationAlgorithm::HKDF => {
                // The first block is all that is needed. Source: RFC 5869, section 2.
                let extracted = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.salt), secret);
                let key = hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref());
                let mut block = hmac::Context::with_key(&key);
                block.update(&INFO);
                block.update(&[1]);
                derived.copy_from_slice(&block.sign().as_ref()[..N]);
            }
        }
        derived
    }
}
