//! Sound that only those with the key hear.

use libwebrtc::{
    audio_stream::native::NativeAudioStream,
    media_stream_track::MediaStreamTrack,
    native::frame_cryptor::{
        EncryptionAlgorithm, EncryptionState, FrameCryptor, KeyDerivationAlgorithm, KeyProvider,
        KeyProviderOptions,
    },
    peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
    stats::RtcStats,
};
use tokio_stream::StreamExt;

use crate::{
    audio::{LISTEN_MS, SEND_ONLY, hears, publish},
    pair::{Peer, Reports, connected, in_time, negotiate},
    tone::{Tone, share},
};

const RATE: u32 = 16_000;
const PITCH: f64 = 440.0;

/// The SDK's own choice.
fn keys() -> KeyProvider {
    KeyProvider::new(KeyProviderOptions {
        shared_key: true,
        ratchet_window_size: 16,
        ratchet_salt: b"LKFrameEncryptionKey".into(),
        failure_tolerance: -1,
        key_ring_size: 16,
        key_derivation_algorithm: KeyDerivationAlgorithm::PBKDF2,
    })
}

/// A cryptor and what it reports.
struct Cryptor {
    cryptor: FrameCryptor,
    states: Reports<EncryptionState>,
}

impl Cryptor {
    fn of_sender(sender: RtpSender, algorithm: EncryptionAlgorithm, keys: &KeyProvider) -> Self {
        let factory = PeerConnectionFactory::default();
        let keys = keys.clone();
        let new =
            FrameCryptor::new_for_rtp_sender(&factory, "alice".into(), algorithm, keys, sender);
        Self::enabled(new)
    }

    fn of_receiver(receiver: RtpReceiver, keys: &KeyProvider) -> Self {
        let factory = PeerConnectionFactory::default();
        let algorithm = EncryptionAlgorithm::AesGcm;
        let keys = keys.clone();
        let new =
            FrameCryptor::new_for_rtp_receiver(&factory, "alice".into(), algorithm, keys, receiver);
        Self::enabled(new)
    }

    fn enabled(cryptor: FrameCryptor) -> Self {
        cryptor.set_enabled(true);
        let (told, states) = Reports::new("state of encryption");
        cryptor.on_state_change(Some(Box::new(move |participant, state| {
            assert_eq!(participant, "alice");
            let _ = told.send(state);
        })));
        Self { cryptor, states }
    }
}

/// Alice, who plays a tone to Bob.
struct Call {
    alice: Peer,
    bob: Peer,
    sender: Cryptor,
    receiver: RtpReceiver,
    track: MediaStreamTrack,
    _tone: Tone,
}

async fn call(keys: &KeyProvider) -> Call {
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (transceiver, tone) = publish(&alice, SEND_ONLY, "track", RATE, PITCH);
    let algorithm = EncryptionAlgorithm::AesGcm;
    let sender = Cryptor::of_sender(transceiver.sender(), algorithm, keys);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let event = bob.tracks.next().await;
    Call {
        alice,
        bob,
        sender,
        receiver: event.receiver,
        track: event.track,
        _tone: tone,
    }
}

impl Call {
    async fn is_heard(&self) {
        hears(self.track.clone(), RATE, PITCH).await;
    }

    /// Listens for a second and a half, in which a tone would be heard.
    async fn is_not_heard(&self) {
        let MediaStreamTrack::Audio(track) = self.track.clone() else {
            panic!("not an audio track")
        };
        let mut stream = NativeAudioStream::new(track, RATE as i32, 1);
        for _ in 0..3 {
            let mut heard = Vec::new();
            in_time("half a second of anything", async {
                while heard.len() < (RATE / 1000 * LISTEN_MS) as usize {
                    heard.extend_from_slice(&stream.next().await.expect("a frame").data);
                }
            })
            .await;
            assert!(share(&heard, RATE, PITCH) < 0.1, "the tone is heard");
        }
    }

    async fn discarded(&self) -> u64 {
        let stats = self.receiver.get_stats().await.unwrap();
        let inbound = stats.into_iter().find_map(|record| match record {
            RtcStats::InboundRtp(record) => Some(record.inbound.packets_discarded),
            _ => None,
        });
        inbound.unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tone_is_heard_with_the_key_and_not_without() {
    let keys = keys();
    keys.set_shared_key(0, b"password".into());
    let mut call = call(&keys).await;
    assert_eq!(call.sender.states.next().await, EncryptionState::Ok);
    call.is_not_heard().await;

    let mut receiver = Cryptor::of_receiver(call.receiver.clone(), &keys);
    call.is_heard().await;
    assert_eq!(receiver.states.next().await, EncryptionState::Ok);
    assert_eq!(call.discarded().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_sent_until_there_is_one() {
    let keys = keys();
    let mut call = call(&keys).await;
    let _receiver = Cryptor::of_receiver(call.receiver.clone(), &keys);
    assert_eq!(call.sender.states.next().await, EncryptionState::MissingKey);
    call.is_not_heard().await;
    let sent = call.alice.connection.senders()[0]
        .get_stats()
        .await
        .unwrap();
    assert!(sent.is_empty(), "{sent:?}");

    keys.set_shared_key(0, b"password".into());
    call.is_heard().await;
    assert_eq!(call.sender.states.next().await, EncryptionState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_silence_and_is_told() {
    let (alices, bobs) = (keys(), keys());
    alices.set_shared_key(0, b"password".into());
    bobs.set_shared_key(0, b"another".into());
    let call = call(&alices).await;
    let mut receiver = Cryptor::of_receiver(call.receiver.clone(), &bobs);
    call.is_not_heard().await;
    let state = receiver.states.next().await;
    assert_eq!(state, EncryptionState::DecryptionFailed);
    assert!(call.discarded().await > 0);

    bobs.set_shared_key(0, b"password".into());
    call.is_heard().await;
    assert_eq!(receiver.states.next().await, EncryptionState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_changes_by_index_in_the_middle_of_a_call() {
    let (alices, bobs) = (keys(), keys());
    for keys in [&alices, &bobs] {
        keys.set_shared_key(0, b"the first".into());
    }
    let call = call(&alices).await;
    let mut receiver = Cryptor::of_receiver(call.receiver.clone(), &bobs);
    call.is_heard().await;
    assert_eq!(receiver.states.next().await, EncryptionState::Ok);

    alices.set_shared_key(1, b"the second".into());
    call.sender.cryptor.set_key_index(1);
    let state = receiver.states.next().await;
    assert_eq!(state, EncryptionState::MissingKey);
    bobs.set_shared_key(1, b"the second".into());
    call.is_heard().await;
    assert_eq!(receiver.states.next().await, EncryptionState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ratcheted_key_is_followed_in_the_middle_of_a_call() {
    let (alices, bobs) = (keys(), keys());
    for keys in [&alices, &bobs] {
        keys.set_shared_key(0, b"password".into());
    }
    let call = call(&alices).await;
    let mut receiver = Cryptor::of_receiver(call.receiver.clone(), &bobs);
    call.is_heard().await;
    assert_eq!(receiver.states.next().await, EncryptionState::Ok);

    let next = alices.ratchet_shared_key(0);
    let state = receiver.states.next().await;
    assert_eq!(state, EncryptionState::KeyRatcheted);
    assert_eq!(receiver.states.next().await, EncryptionState::Ok);
    call.is_heard().await;
    assert!(next.is_some());
    assert_eq!(bobs.get_key("alice".into(), 0), next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_cryptor_lets_the_sound_pass() {
    let keys = keys();
    let call = call(&keys).await;
    let receiver = Cryptor::of_receiver(call.receiver.clone(), &keys);
    call.sender.cryptor.set_enabled(false);
    receiver.cryptor.set_enabled(false);
    call.is_heard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_is_used_again_has_no_cryptor_from_before() {
    let keys = keys();
    keys.set_shared_key(0, b"password".into());
    let mut call = call(&keys).await;
    let _receiver = Cryptor::of_receiver(call.receiver.clone(), &keys);
    call.is_heard().await;

    let sender = call.alice.connection.senders().remove(0);
    call.alice.connection.remove_track(sender).unwrap();
    negotiate(&mut call.alice, &mut call.bob, false).await;
    let (transceiver, _tone) = publish(&call.alice, SEND_ONLY, "open", RATE, 700.0);
    // The sender's cryptor stays: what was to be encrypted never becomes clear by itself.
    let factory = PeerConnectionFactory::default();
    let algorithm = EncryptionAlgorithm::AesGcm;
    FrameCryptor::new_for_rtp_sender(
        &factory,
        "alice".into(),
        algorithm,
        keys,
        transceiver.sender(),
    );
    negotiate(&mut call.alice, &mut call.bob, false).await;
    let event = call.bob.tracks.next().await;
    hears(event.track, RATE, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_with_a_cipher_that_is_not_there() {
    let keys = keys();
    keys.set_shared_key(0, b"password".into());
    let (mut alice, mut bob) = (Peer::new(), Peer::new());
    let (secret, _whisper) = publish(&alice, SEND_ONLY, "secret", RATE, PITCH);
    let algorithm = EncryptionAlgorithm::AesCbc;
    let mut cryptor = Cryptor::of_sender(secret.sender(), algorithm, &keys);
    negotiate(&mut alice, &mut bob, false).await;
    connected(&mut alice, &mut bob).await;
    let state = cryptor.states.next().await;
    assert_eq!(state, EncryptionState::EncryptionFailed);
    assert!(secret.sender().get_stats().await.unwrap().is_empty());
}
