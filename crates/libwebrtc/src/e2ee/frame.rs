//! The bytes of an encrypted frame.

use aws_lc_rs::{
    aead::{Aad, Nonce},
    error::Unspecified,
};

use super::{IV_BYTES, KeySet, TAG_BYTES};

/// How much of an Opus packet stays readable.
const HEADER_BYTES: usize = 1;

/// Length of the IV, then index of the key.
const TRAILER_BYTES: usize = 2;

/// The IV of a frame. The SDKs' layout; receivers only take it as it comes. No two are alike under
/// one key as long as `count` goes on: 2³² frames of one source.
pub(super) fn iv(ssrc: u32, timestamp: u32, count: u32) -> [u8; IV_BYTES] {
    let mut iv = [0; IV_BYTES];
    let words = [ssrc, timestamp, timestamp.wrapping_sub(count)];
    for (bytes, word) in iv.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    iv
}

/// Writes the encrypted frame to `sealed`.
///
/// # Errors
/// Where there is no frame, or the cipher refuses.
pub(super) fn seal(
    set: &KeySet,
    key_index: u8,
    iv: [u8; IV_BYTES],
    frame: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), Unspecified> {
    let header = frame.get(..HEADER_BYTES).ok_or(Unspecified)?;
    sealed.clear();
    sealed.extend_from_slice(frame);
    let nonce = Nonce::assume_unique_for_key(iv);
    let body = &mut sealed[HEADER_BYTES..];
    let tag = set
        .key
        .seal_in_place_separate_tag(nonce, Aad::from(header), body)?;
    sealed.extend_from_slice(tag.as_ref());
    sealed.extend_from_slice(&iv);
    sealed.extend_from_slice(&[IV_BYTES as u8, key_index]);
    Ok(())
}

/// An encrypted frame, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    header: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a [u8],
    iv: [u8; IV_BYTES],
    pub(super) key_index: u8,
}

impl<'a> Parts<'a> {
    /// `None` for what cannot be an encrypted frame.
    pub(super) fn of(frame: &'a [u8]) -> Option<Self> {
        let (rest, [iv_bytes, key_index]) = frame.split_last_chunk::<TRAILER_BYTES>()?;
        if usize::from(*iv_bytes) != IV_BYTES {
            return None;
        }
        let (rest, iv) = rest.split_last_chunk::<IV_BYTES>()?;
        let (rest, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let (header, ciphertext) = rest.split_at_checked(HEADER_BYTES)?;
        Some(Self {
            header,
            ciphertext,
            tag,
            iv: *iv,
            key_index: *key_index,
        })
    }

    /// Writes the frame to `opened`.
    ///
    /// # Errors
    /// Where it was not encrypted with this key, or was changed on its way.
    pub(super) fn open(&self, set: &KeySet, opened: &mut Vec<u8>) -> Result<(), Unspecified> {
        opened.clear();
        opened.extend_from_slice(self.header);
        opened.resize(HEADER_BYTES + self.ciphertext.len(), 0);
        set.key.open_separate_gather(
            Nonce::assume_unique_for_key(self.iv),
            Aad::from(self.header),
            self.ciphertext,
            self.tag,
            &mut opened[HEADER_BYTES..],
        )
    }
}

/// Whether it is the silence that the server sends of its own accord: Opus, CELT, 20 ms, full
/// band, mono, and then nothing. Source: livekit-server's blank frame, and the JavaScript SDK,
/// which lets pass nothing else.
pub(super) fn is_blank(frame: &[u8]) -> bool {
    frame
        .strip_prefix(&[0xF8, 0xFF, 0xFE])
        .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}
