//! Against what the JavaScript SDK's encryption worker wrote, and against ourselves.

use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::{
    DataSealer, Derivation, Keys, Opened, Opener, Policy, Sealed, Sealer, frame, open_data,
    seal_data,
};
use crate::native::frame_cryptor::{EncryptedPacket, EncryptionState, KeyDerivationAlgorithm};

const SALT: &[u8] = b"LKFrameEncryptionKey";

/// Written by `crates/testbed/interop/worker.mjs` with livekit-client 2.23.0.
const VECTORS: &str = include_str!("vectors.json");

#[derive(Deserialize)]
struct Vector {
    salt: String,
    algorithm: String,
    secret: String,
    key_index: u8,
    ratchets: usize,
    frames: Vec<VectorFrame>,
    packets: Vec<VectorPacket>,
}

#[derive(Deserialize)]
struct VectorFrame {
    data: String,
    ssrc: u32,
    timestamp: u32,
    sealed: String,
}

#[derive(Deserialize)]
struct VectorPacket {
    clear: String,
    sealed: VectorSealedPacket,
}

#[derive(Deserialize)]
struct VectorSealedPacket {
    data: String,
    iv: String,
    key_index: u32,
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect()
}

fn keys_with(algorithm: KeyDerivationAlgorithm, salt: &[u8], policy: Policy) -> Keys {
    let derivation = Derivation {
        algorithm,
        salt: salt.to_vec(),
    };
    Keys::new(policy, derivation)
}

/// HKDF, for it is quick.
fn keys(policy: Policy) -> Keys {
    keys_with(KeyDerivationAlgorithm::HKDF, SALT, policy)
}

fn shared(window: i32, tolerance: i32) -> Keys {
    keys(Policy::new(true, window, tolerance, 16))
}

/// An opener with everything it says.
#[derive(Default)]
struct Ear {
    opener: Opener,
    states: Vec<EncryptionState>,
}

/// What an opener made of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Frame(Vec<u8>),
    Nothing,
    NothingYet,
}

impl Ear {
    fn hear(&mut self, keys: &Keys, frame: &[u8]) -> Heard {
        let states = &mut self.states;
        match self
            .opener
            .open(keys, "alice", frame, |state| states.push(state))
        {
            Opened::Frame(frame) => Heard::Frame(frame.to_vec()),
            Opened::Dropped => Heard::Nothing,
            Opened::Unratcheted(set) => {
                keys.climb(&set);
                Heard::NothingYet
            }
        }
    }

    /// The same where ratcheting may take a second frame.
    fn hear_again(&mut self, keys: &Keys, frame: &[u8]) -> Heard {
        match self.hear(keys, frame) {
            Heard::NothingYet => self.hear(keys, frame),
            heard => heard,
        }
    }
}

/// Seals with the key of an index.
fn seal(keys: &Keys, index: i32, frame: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = Vec::new();
    let mut sealer = Sealer::new(0);
    let outcome = sealer.seal((keys, "alice", index), (7, 960), frame, &mut sealed, |_| ());
    (outcome == Sealed::Done).then_some(sealed)
}

const FRAME: &[u8] = b"\x78 a frame";

#[test]
fn what_the_javascript_sdk_encrypts_is_read_and_would_be_written_the_same() {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.iter().any(|vector| vector.ratchets > 0));
    for vector in vectors {
        let algorithm = match vector.algorithm.as_str() {
            "PBKDF2" => KeyDerivationAlgorithm::PBKDF2,
            "HKDF" => KeyDerivationAlgorithm::HKDF,
            other => panic!("{other}"),
        };
        let policy = Policy::new(false, 0, -1, 16);
        let keys = keys_with(algorithm, vector.salt.as_bytes(), policy);
        let index = i32::from(vector.key_index);
        assert!(keys.set("alice", index, bytes(&vector.secret)));
        for _ in 0..vector.ratchets {
            keys.ratchet("alice", index).unwrap();
        }
        let (_, set) = keys.find("alice", index).unwrap();
        for example in &vector.frames {
            let (clear, theirs) = (bytes(&example.data), bytes(&example.sealed));
            let heard = Ear::default().hear(&keys, &theirs);
            assert_eq!(heard, Heard::Frame(clear.clone()));

            let iv: [u8; 12] = theirs[theirs.len() - 14..][..12].try_into().unwrap();
            let mut ours = Vec::new();
            frame::seal(&set, vector.key_index, iv, &clear, &mut ours).unwrap();
            assert_eq!(ours, theirs);
            let ours = frame::iv(example.ssrc, example.timestamp, 0);
            assert_eq!(ours[..8], iv[..8]);
        }
        for example in &vector.packets {
            let theirs = EncryptedPacket {
                data: bytes(&example.sealed.data),
                iv: bytes(&example.sealed.iv),
                key_index: example.sealed.key_index,
            };
            let clear = bytes(&example.clear);
            assert_eq!(open_data(&keys, "alice", &theirs).unwrap(), clear);

            let iv = theirs.iv.clone().try_into().unwrap();
            let ours = seal_data(&keys, "alice", theirs.key_index, iv, &clear).unwrap();
            assert_eq!((ours.data, ours.iv), (theirs.data, theirs.iv));
        }
    }
}

#[test]
fn without_a_key_nothing_is_written_or_read() {
    let (empty, full) = (shared(0, -1), shared(0, -1));
    full.set_shared(3, b"secret".into());
    assert_eq!(seal(&empty, 0, FRAME), None);
    assert_eq!(seal(&full, 0, FRAME), None);
    let sealed = seal(&full, 3, FRAME).unwrap();
    let mut ear = Ear::default();
    assert_eq!(ear.hear(&empty, &sealed), Heard::Nothing);
    assert_eq!(ear.hear(&empty, &sealed), Heard::Nothing);
    assert_eq!(ear.states, [EncryptionState::MissingKey]);
    empty.set_shared(3, b"secret".into());
    assert_eq!(ear.hear(&empty, &sealed), Heard::Frame(FRAME.into()));
    assert_eq!(ear.states[1..], [EncryptionState::Ok]);
    assert!(seal_data(&full, "alice", 0, [0; 12], b"x").is_err());
    assert!(seal_data(&full, "alice", u32::MAX, [0; 12], b"x").is_err());
}

#[test]
fn a_sealer_tells_when_it_can_and_when_it_cannot() {
    let keys = shared(0, -1);
    let mut sealer = Sealer::new(u32::MAX);
    let (mut sealed, mut states) = (Vec::new(), Vec::new());
    let mut ivs = std::collections::HashSet::new();
    for turn in 0..6 {
        if turn == 2 {
            keys.set_shared(0, b"secret".into());
        }
        let tell = |state| states.push(state);
        let outcome = sealer.seal((&keys, "alice", 0), (7, 960), FRAME, &mut sealed, tell);
        assert_eq!(outcome == Sealed::Done, turn >= 2);
        if turn >= 2 {
            let iv = sealed[sealed.len() - 14..][..12].to_vec();
            assert!(ivs.insert(iv), "an IV was used twice");
        }
    }
    let expected = [EncryptionState::MissingKey, EncryptionState::Ok];
    assert_eq!(states, expected);
    assert_eq!(sealer.refuse(|_| ()), Sealed::Withheld);
}

#[test]
fn a_wrong_key_is_told_at_once_where_it_is_never_given_up() {
    let (ours, theirs) = (shared(0, -1), shared(0, -1));
    ours.set_shared(0, b"right".into());
    theirs.set_shared(0, b"wrong".into());
    let sealed = seal(&theirs, 0, FRAME).unwrap();
    let mut ear = Ear::default();
    for _ in 0..100 {
        assert_eq!(ear.hear(&ours, &sealed), Heard::Nothing);
    }
    let right = seal(&ours, 0, FRAME).unwrap();
    assert_eq!(ear.hear(&ours, &right), Heard::Frame(FRAME.into()));
    let expected = [EncryptionState::DecryptionFailed, EncryptionState::Ok];
    assert_eq!(ear.states, expected);
}

#[test]
fn a_key_is_given_up_after_so_many_failures_in_a_row_until_another_is_set() {
    let (ours, theirs) = (shared(0, 2), shared(0, 2));
    ours.set_shared(0, b"right".into());
    theirs.set_shared(0, b"wrong".into());
    let wrong = seal(&theirs, 0, FRAME).unwrap();
    let right = seal(&ours, 0, FRAME).unwrap();
    let mut ear = Ear::default();
    for _ in 0..2 {
        assert_eq!(ear.hear(&ours, &wrong), Heard::Nothing);
        assert_eq!(ear.hear(&ours, &wrong), Heard::Nothing);
        assert_eq!(ear.hear(&ours, &right), Heard::Frame(FRAME.into()));
    }
    assert_eq!(ear.states, [EncryptionState::Ok]);
    for _ in 0..3 {
        assert_eq!(ear.hear(&ours, &wrong), Heard::Nothing);
    }
    assert_eq!(ear.states[1..], [EncryptionState::DecryptionFailed]);
    assert_eq!(ear.hear(&ours, &right), Heard::Nothing, "it was given up");
    ours.set_shared(0, b"right".into());
    assert_eq!(ear.hear(&ours, &right), Heard::Frame(FRAME.into()));
}

#[test]
fn a_ratcheted_key_is_followed_and_not_beyond_the_window() {
    let (ours, theirs) = (shared(4, -1), shared(4, -1));
    for keys in [&ours, &theirs] {
        keys.set_shared(0, b"secret".into());
    }
    let mut ear = Ear::default();
    for steps in [1, 4] {
        for _ in 0..steps {
            theirs.ratchet_shared(0).unwrap();
        }
        let sealed = seal(&theirs, 0, FRAME).unwrap();
        assert_eq!(ear.hear(&ours, &sealed), Heard::NothingYet);
        assert_eq!(ear.hear(&ours, &sealed), Heard::Frame(FRAME.into()));
        // Only this participant's keys have moved on.
        assert_eq!(ours.export("alice", 0), theirs.export_shared(0));
        assert_ne!(ours.export("bob", 0), theirs.export_shared(0));
    }
    let once = [EncryptionState::KeyRatcheted, EncryptionState::Ok];
    assert_eq!(ear.states, [once, once].concat());
    for _ in 0..5 {
        theirs.ratchet_shared(0).unwrap();
    }
    let sealed = seal(&theirs, 0, FRAME).unwrap();
    assert_eq!(ear.hear_again(&ours, &sealed), Heard::Nothing);
    assert_eq!(ear.states[4..], [EncryptionState::DecryptionFailed]);
    assert_eq!(ours.known_participants(), 1);
}

#[test]
fn data_packets_follow_a_ratcheted_key() {
    let (ours, theirs) = (shared(2, -1), shared(2, -1));
    for keys in [&ours, &theirs] {
        keys.set_shared(0, b"secret".into());
    }
    for steps in [2, 3] {
        for _ in 0..steps {
            theirs.ratchet_shared(0).unwrap();
        }
        let sealed = seal_data(&theirs, "alice", 0, [1; 12], b"hello").unwrap();
        let opened = open_data(&ours, "alice", &sealed);
        assert_eq!(
            opened.ok().as_deref(),
            (steps == 2).then_some(&b"hello"[..])
        );
    }
}

#[test]
fn both_sides_agree_on_what_a_ratcheted_key_is() {
    let keys = shared(0, -1);
    keys.set_shared(2, b"secret".into());
    let next = keys.ratchet_shared(2).unwrap();
    assert_eq!(keys.export_shared(2), Some(next.clone()));
    let sealed = seal(&keys, 2, FRAME).unwrap();
    // Another who was given the new key, and not the old one.
    let other = shared(0, -1);
    other.set_shared(2, next);
    assert_eq!(
        Ear::default().hear(&other, &sealed),
        Heard::Frame(FRAME.into())
    );
}

#[test]
fn indices_select_keys_and_wrap_and_the_one_below_zero_is_the_last_set() {
    let keys = keys(Policy::new(false, 0, -1, 4));
    assert!(!keys.set_shared(0, b"for all".into()));
    assert_eq!(keys.export_shared(0), None);
    keys.set("alice", 1, b"one".into());
    keys.set("alice", 6, b"two".into());
    keys.set("alice", -1, b"two again".into());
    let export = |index| keys.export("alice", index);
    assert_eq!(export(1), Some(b"one".into()));
    assert_eq!(export(2), Some(b"two again".into()));
    assert_eq!(export(-1), Some(b"two again".into()));
    assert_eq!((export(0), export(6)), (None, None));
    assert_eq!(keys.export("bob", 1), None);
    assert_eq!(keys.ratchet("alice", 3), None);
    let sealed = seal(&keys, -1, FRAME).unwrap();
    assert_eq!(sealed.last(), Some(&2), "the index on the wire");
}

#[test]
fn a_shared_key_replaces_what_participants_went_to_by_themselves() {
    let keys = shared(4, -1);
    keys.set_shared(0, b"first".into());
    keys.set("alice", 1, b"her own".into());
    assert_eq!(keys.export("alice", 0), Some(b"first".into()));
    assert_eq!(keys.export("bob", 1), None);
    keys.ratchet("alice", 0).unwrap();
    keys.set_shared(0, b"second".into());
    assert_eq!(keys.export("alice", 0), Some(b"second".into()));
    assert_eq!(keys.export("alice", 1), Some(b"her own".into()));
    let ratcheted = keys.ratchet_shared(0);
    assert_eq!(keys.export("alice", 0), ratcheted);
}

#[test]
fn only_silence_is_taken_from_the_server() {
    let keys = shared(0, -1);
    keys.set_shared(0, b"secret".into());
    let mut silence = vec![0xF8, 0xFF, 0xFE];
    silence.resize(80, 0);
    let injected = [silence.as_slice(), b"trailer"].concat();
    let mut ear = Ear::default();
    assert_eq!(
        ear.hear(&keys, &injected),
        Heard::Nothing,
        "no trailer is known"
    );
    keys.set_injected_trailer(b"trailer".into());
    assert_eq!(ear.hear(&keys, &injected), Heard::Frame(silence));
    assert_eq!(ear.hear(&keys, b"\x78 speech trailer"), Heard::Nothing);
    assert_eq!(ear.hear(&keys, b"trailer"), Heard::Nothing);
    assert_eq!(ear.states, [EncryptionState::DecryptionFailed]);
}

#[test]
fn secrets_of_any_length_make_keys() {
    for algorithm in [KeyDerivationAlgorithm::PBKDF2, KeyDerivationAlgorithm::HKDF] {
        for (secret, salt) in [(&b""[..], &b""[..]), (&[7; 300], &[9; 300])] {
            let keys = keys_with(algorithm, salt, Policy::new(true, -3, -1, 1_000_000));
            assert!(keys.set_shared(255, secret.into()));
            let sealed = seal(&keys, 255, FRAME).unwrap();
            assert_eq!(
                Ear::default().hear(&keys, &sealed),
                Heard::Frame(FRAME.into())
            );
            assert_eq!(keys.export_shared(255), Some(secret.into()));
        }
    }
}

#[test]
fn keys_that_were_derived_are_not_derived_again() {
    let keys = shared(3, -1);
    keys.set_shared(0, b"secret".into());
    let (_, set) = keys.find("alice", 0).unwrap();
    keys.climb(&set);
    let climbed = Arc::clone(set.derived_successor().unwrap());
    assert!(Arc::ptr_eq(keys.successor(&set).unwrap(), &climbed));
    keys.ratchet_shared(0).unwrap();
    let (_, next) = keys.find("alice", 0).unwrap();
    assert!(Arc::ptr_eq(&next, &climbed));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..1275)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_sealed_is_opened(frame in any_frame(), index in 0..16_i32) {
        let keys = shared(0, -1);
        keys.set_shared(index, b"secret".into());
        let sealed = seal(&keys, index, &frame).unwrap();
        prop_assert_eq!(sealed.len(), frame.len() + 30);
        prop_assert_eq!(sealed[0], frame[0]);
        prop_assert_eq!(Ear::default().hear(&keys, &sealed), Heard::Frame(frame.clone()));
        let iv = DataSealer::new(7).iv(1, 2);
        let packet = seal_data(&keys, "alice", index as u32, iv, &frame).unwrap();
        prop_assert_eq!(open_data(&keys, "alice", &packet).unwrap(), frame);
    }

    #[test]
    fn what_was_changed_is_not_opened(
        frame in any_frame(),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let keys = shared(2, -1);
        keys.set_shared(0, b"secret".into());
        let mut sealed = seal(&keys, 0, &frame).unwrap();
        let place = place.index(sealed.len());
        sealed[place] ^= 1_u8 << bit;
        prop_assert_eq!(Ear::default().hear_again(&keys, &sealed), Heard::Nothing);
        sealed[place] ^= 1_u8 << bit;
        sealed.truncate(place);
        prop_assert_eq!(Ear::default().hear_again(&keys, &sealed), Heard::Nothing);
    }

    #[test]
    fn no_bytes_are_taken_for_sound_or_packets(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        iv in proptest::collection::vec(any::<u8>(), 0..20),
        index in any::<u32>(),
        has_trailer: bool,
    ) {
        let keys = shared(2, 1);
        keys.set_shared(0, b"secret".into());
        let mut bytes = bytes;
        if has_trailer {
            bytes.extend_from_slice(&[12, 0]);
        }
        prop_assert_eq!(Ear::default().hear_again(&keys, &bytes), Heard::Nothing);
        let packet = EncryptedPacket { data: bytes, iv, key_index: index };
        prop_assert!(open_data(&keys, "alice", &packet).is_err());
    }
}
