//! End-to-end encryption: not in this engine, and it fails closed.
//!
//! A sender with an enabled cryptor sends nothing and a receiver with one plays nothing, since
//! the only alternatives would be clear text on the wire and noise in the ear. Data packets are
//! refused with an error. Keys are kept so that key handling above works.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    native::packet_trailer::PacketTrailerHandler,
    peer::{Direction, TransceiverCore},
    peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver,
    rtp_sender::RtpSender,
};

/// Called with a participant and its state.
pub type OnStateChange = Box<dyn FnMut(String, EncryptionState) + Send + Sync>;

/// How keys are derived.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub enum KeyDerivationAlgorithm {
    /// RFC 8018.
    PBKDF2,
    /// RFC 5869.
    HKDF,
}

/// How keys are kept.
#[derive(Debug, Clone)]
pub struct KeyProviderOptions {
    /// One key for all.
    pub shared_key: bool,
    /// How many ratchet steps are tried.
    pub ratchet_window_size: i32,
    /// Salt of the ratchet.
    pub ratchet_salt: Vec<u8>,
    /// How many failures are borne.
    pub failure_tolerance: i32,
    /// How many keys are kept.
    pub key_ring_size: i32,
    /// How keys are derived.
    pub key_derivation_algorithm: KeyDerivationAlgorithm,
}

/// Which cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionAlgorithm {
    /// AES-GCM.
    AesGcm,
    /// AES-CBC.
    AesCbc,
}

/// How encryption fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionState {
    /// Not tried.
    New,
    /// Works.
    Ok,
    /// Could not encrypt.
    EncryptionFailed,
    /// Could not decrypt.
    DecryptionFailed,
    /// No key.
    MissingKey,
    /// A later key was derived.
    KeyRatcheted,
    /// Anything else; always, in this engine.
    InternalError,
}

/// An encrypted data packet.
#[derive(Debug, Clone)]
pub struct EncryptedPacket {
    /// Cipher text.
    pub data: Vec<u8>,
    /// Initialisation vector.
    pub iv: Vec<u8>,
    /// Which key.
    pub key_index: u32,
}

/// Keys by participant (none for the key of all) and index.
type Keys = HashMap<(Option<String>, i32), Vec<u8>>;

/// Keys by participant and index.
#[derive(Clone)]
pub struct KeyProvider {
    keys: Arc<Mutex<Keys>>,
}

impl KeyProvider {
    /// No keys yet.
    pub fn new(_options: KeyProviderOptions) -> Self {
        Self {
            keys: Arc::default(),
        }
    }

    /// Keeps the key of all.
    pub fn set_shared_key(&self, key_index: i32, key: Vec<u8>) -> bool {
        self.keys.lock().insert((None, key_index), key);
        true
    }

    /// Would derive the next key of all: `None`.
    pub fn ratchet_shared_key(&self, _key_index: i32) -> Option<Vec<u8>> {
        None
    }

    /// The key of all.
    pub fn get_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.lock().get(&(None, key_index)).cloned()
    }

    /// Keeps the key of a participant.
    pub fn set_key(&self, participant_id: String, key_index: i32, key: Vec<u8>) -> bool {
        self.keys
            .lock()
            .insert((Some(participant_id), key_index), key);
        true
    }

    /// Would derive the next key of a participant: `None`.
    pub fn ratchet_key(&self, _participant_id: String, _key_index: i32) -> Option<Vec<u8>> {
        None
    }

    /// The key of a participant.
    pub fn get_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys
            .lock()
            .get(&(Some(participant_id), key_index))
            .cloned()
    }

    /// Accepted and without effect.
    pub fn set_sif_trailer(&self, _trailer: Vec<u8>) {}
}

impl fmt::Debug for KeyProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyProvider")
            .field("keys", &self.keys.lock().len())
            .finish()
    }
}

/// Stands where a sender's or receiver's frames would be encrypted, and stops them.
#[derive(Clone)]
pub struct FrameCryptor {
    shared: Arc<Shared>,
}

struct Shared {
    participant_id: String,
    transceiver: Arc<TransceiverCore>,
    direction: Direction,
    enabled: AtomicBool,
    key_index: AtomicI32,
    state_change: Mutex<Option<OnStateChange>>,
}

impl FrameCryptor {
    /// For a sender.
    pub fn new_for_rtp_sender(
        _peer_factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        sender: RtpSender,
    ) -> Self {
        Self::new(participant_id, sender.core, Direction::Send)
    }

    /// For a receiver.
    pub fn new_for_rtp_receiver(
        _peer_factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        receiver: RtpReceiver,
    ) -> Self {
        Self::new(participant_id, receiver.core, Direction::Receive)
    }

    fn new(
        participant_id: String,
        transceiver: Arc<TransceiverCore>,
        direction: Direction,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                participant_id,
                transceiver,
                direction,
                enabled: AtomicBool::new(false),
                key_index: AtomicI32::new(0),
                state_change: Mutex::new(None),
            }),
        }
    }

    /// Stops the media while enabled, and says so to the handler.
    pub fn set_enabled(self: &FrameCryptor, enabled: bool) {
        self.shared.enabled.store(enabled, Ordering::Relaxed);
        self.shared
            .transceiver
            .require_encryption(self.shared.direction, enabled);
        self.tell();
    }

    /// Whether it is enabled.
    pub fn enabled(self: &FrameCryptor) -> bool {
        self.shared.enabled.load(Ordering::Relaxed)
    }

    /// Remembers which key to use.
    pub fn set_key_index(self: &FrameCryptor, index: i32) {
        self.shared.key_index.store(index, Ordering::Relaxed);
    }

    /// Which key to use.
    pub fn key_index(self: &FrameCryptor) -> i32 {
        self.shared.key_index.load(Ordering::Relaxed)
    }

    /// Whose frames.
    pub fn participant_id(self: &FrameCryptor) -> String {
        self.shared.participant_id.clone()
    }

    /// Replaces the handler of states.
    pub fn on_state_change(&self, handler: Option<OnStateChange>) {
        *self.shared.state_change.lock() = handler;
        self.tell();
    }

    /// Accepted and without effect.
    pub fn set_packet_trailer_handler(&self, _handler: &PacketTrailerHandler) {}

    /// There is one thing to tell: it does not work.
    fn tell(&self) {
        if !self.enabled() {
            return;
        }
        log::error!("end-to-end encryption is not in this engine; the media is stopped");
        if let Some(handler) = self.shared.state_change.lock().as_mut() {
            handler(
                self.shared.participant_id.clone(),
                EncryptionState::InternalError,
            );
        }
    }
}

impl fmt::Debug for FrameCryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCryptor")
            .field("participant_id", &self.shared.participant_id)
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}

/// Would encrypt data packets; answers errors.
#[derive(Debug, Clone)]
pub struct DataPacketCryptor {
    algorithm: EncryptionAlgorithm,
}

impl DataPacketCryptor {
    /// For packets of all participants.
    pub fn new(algorithm: EncryptionAlgorithm, _key_provider: KeyProvider) -> Self {
        Self { algorithm }
    }

    /// Would encrypt.
    ///
    /// # Errors
    /// Always: not in this engine.
    pub fn encrypt(
        &self,
        _participant_id: &str,
        _key_index: u32,
        _data: &[u8],
    ) -> Result<EncryptedPacket, Box<dyn Error>> {
        Err(self.unsupported())
    }

    /// Would decrypt.
    ///
    /// # Errors
    /// Always: not in this engine.
    pub fn decrypt(
        &self,
        _participant_id: &str,
        _encrypted_packet: &EncryptedPacket,
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        Err(self.unsupported())
    }

    fn unsupported(&self) -> Box<dyn Error> {
        format!(
            "end-to-end encryption ({:?}) is not in this engine",
            self.algorithm
        )
        .into()
    }
}
