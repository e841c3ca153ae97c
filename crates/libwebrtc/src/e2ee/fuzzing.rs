//! Encrypted frames and data packets of a peer that may have the key, or may not.

use std::sync::{Arc, LazyLock};

use super::{Derivation, Keys, Opened, Opener, Policy, Sealed, Sealer, open_data, seal_data};
use crate::{
    fuzzing::Input,
    native::frame_cryptor::{EncryptedPacket, KeyDerivationAlgorithm},
};

const WHO: &str = "peer";

/// Derived once: it takes a while, and no input can change it but by a ratchet.
static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| {
    let derivation = Derivation {
        algorithm: KeyDerivationAlgorithm::HKDF,
        salt: b"salt".to_vec(),
    };
    let keys = Keys::new(Policy::new(true, 2, 10, 16), derivation);
    assert!(keys.set_shared(0, b"secret".to_vec()));
    keys.set_injected_trailer(b"LK".to_vec());
    Arc::new(keys)
});

/// Frames and packets: as they come, and damaged ones of a peer that has the key.
pub fn e2ee(data: &[u8]) {
    let mut input = Input::new(data);
    let mut opener = Opener::default();
    let mut sealer = Sealer::new(0);
    while !input.is_empty() {
        let what = input.byte();
        let piece = input.piece();
        match what % 4 {
            0 => open(&mut opener, piece),
            1 => {
                let mut sealed = Vec::new();
                let key = (&**KEYS, WHO, 0);
                let outcome = sealer.seal(key, (1, 2), piece, &mut sealed, |_| {});
                assert_eq!(outcome == Sealed::Done, !piece.is_empty());
                if outcome == Sealed::Done {
                    let opened = opener.open(&KEYS, WHO, &sealed, |_| {});
                    let is_read = matches!(opened, Opened::Frame(frame) if frame == piece);
                    // Its end may look like that of a frame of the server's.
                    assert!(is_read || sealed.ends_with(b"LK") || opener_gave_up(&opened));
                }
                open(&mut opener, &damaged(sealed, &mut input));
            }
            2 => read(piece, input.piece(), input.byte().into()),
            _ => {
                let iv = [what; 12];
                let sealed = seal_data(&KEYS, WHO, 0, iv, piece).expect("a key");
                let opened = open_data(&KEYS, WHO, &sealed).expect("our own packet");
                assert_eq!(opened, piece);
                read(&damaged(sealed.data, &mut input), &iv, 0);
            }
        }
    }
}

/// A key that has failed too often in a row is not tried again.
fn opener_gave_up(opened: &Opened<'_>) -> bool {
    matches!(opened, Opened::Dropped)
}

fn open(opener: &mut Opener, frame: &[u8]) {
    if let Opened::Frame(opened) = opener.open(&KEYS, WHO, frame, |_| {}) {
        assert!(opened.len() <= frame.len());
    }
}

fn read(data: &[u8], iv: &[u8], key_index: u32) {
    let packet = EncryptedPacket {
        data: data.to_vec(),
        iv: iv.to_vec(),
        key_index,
    };
    if let Ok(opened) = open_data(&KEYS, WHO, &packet) {
        assert!(opened.len() < data.len());
    }
}

fn damaged(mut bytes: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let (at, flip, length) = (input.byte(), input.byte(), input.byte());
    if let Some(byte) = bytes.get_mut(usize::from(at)) {
        *byte ^= flip;
    }
    bytes.truncate(bytes.len().saturating_sub(usize::from(length % 40)));
    bytes
}
