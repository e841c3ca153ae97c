//! Data packets.

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, Nonce};
use thiserror::Error;

use super::{IV_BYTES, KeySet, Keys, TAG_BYTES};
use crate::native::frame_cryptor::EncryptedPacket;

/// Why a data packet was not encrypted or decrypted.
#[derive(Debug, Error)]
pub(crate) enum DataError {
    /// The application must set one.
    #[error("there is no key {index} of participant {participant}")]
    MissingKey { participant: String, index: u32 },
    /// The sender is at fault, or somebody on the way.
    #[error("it is no encrypted packet: {iv} bytes of IV, {data} of data")]
    Malformed { iv: usize, data: usize },
    /// The sender has another key, or the packet was changed on its way.
    #[error("no key reads the packet")]
    Unreadable,
    /// The packet is far too long.
    #[error("the cipher refuses the packet")]
    Refused,
}

/// Makes the IVs of data packets, and with them encrypts.
pub(crate) struct DataSealer {
    count: u32,
}

impl DataSealer {
    /// `first` is random.
    pub(crate) fn new(first: u32) -> Self {
        Self { count: first }
    }

    /// The IV of a packet. The SDKs' layout: a random word, and two of time and count, which
    /// differ even where the random ones do not.
    pub(crate) fn iv(&mut self, random: u32, now_ms: u32) -> [u8; IV_BYTES] {
        self.count = self.count.wrapping_add(1);
        super::frame::iv(random, now_ms, self.count)
    }
}

/// Encrypts a packet. No two packets may have the same IV.
///
/// # Errors
/// Where there is no such key, or the cipher refuses.
pub(crate) fn seal_data(
    keys: &Keys,
    participant: &str,
    key_index: u32,
    iv: [u8; IV_BYTES],
    data: &[u8],
) -> Result<EncryptedPacket, DataError> {
    let (index, set) = find(keys, participant, key_index)?;
    let mut sealed = Vec::with_capacity(data.len() + TAG_BYTES);
    sealed.extend_from_slice(data);
    set.key
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut sealed)
        .map_err(|_| DataError::Refused)?;
    Ok(EncryptedPacket {
        data: sealed,
        iv: iv.to_vec(),
        key_index: index.into(),
    })
}

/// Decrypts a packet. Where a ratchet step must be tried that nobody has tried yet, it takes its
/// time.
///
/// # Errors
/// Where there is no such key, or none that reads the packet.
pub(crate) fn open_data(
    keys: &Keys,
    participant: &str,
    packet: &EncryptedPacket,
) -> Result<Vec<u8>, DataError> {
    let malformed = || DataError::Malformed {
        iv: packet.iv.len(),
        data: packet.data.len(),
    };
    let iv = <[u8; IV_BYTES]>::try_from(packet.iv.as_slice()).map_err(|_| malformed())?;
    let (ciphertext, tag) = packet
        .data
        .split_last_chunk::<TAG_BYTES>()
        .ok_or_else(malformed)?;
    let (index, set) = find(keys, participant, packet.key_index)?;
    let mut opened = vec![0; ciphertext.len()];
    let mut opens = |set: &KeySet| {
        let nonce = Nonce::assume_unique_for_key(iv);
        let key = &set.key;
        key.open_separate_gather(nonce, Aad::empty(), ciphertext, tag, &mut opened)
            .is_ok()
    };
    if opens(&set) {
        return Ok(opened);
    }
    let mut tried = &set;
    for _ in 0..keys.policy.window {
        tried = keys.successor(tried).ok_or(DataError::Unreadable)?;
        if opens(tried) {
            keys.advance(participant, index, &set, tried);
            return Ok(opened);
        }
    }
    Err(DataError::Unreadable)
}

fn find(keys: &Keys, participant: &str, index: u32) -> Result<(u8, Arc<KeySet>), DataError> {
    let found = i32::try_from(index)
        .ok()
        .and_then(|index| keys.find(participant, index));
    found.ok_or_else(|| DataError::MissingKey {
        participant: participant.to_owned(),
        index,
    })
}
