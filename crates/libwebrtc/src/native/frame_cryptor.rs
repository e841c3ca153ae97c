//! End-to-end encryption of audio and data, as the other LiveKit SDKs have it.
//!
//! What is on the wire, and what is decided there, is in `crate::e2ee`; where frames pass through
//! a cryptor, in `crate::peer`. An enabled cryptor without a key stops the media.

use std::{
    error::Error,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::{
    e2ee::{DataSealer, Derivation, Keys, Policy, open_data, seal_data},
    native::packet_trailer::PacketTrailerHandler,
    peer::Cryptor,
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
    /// From a password. Source: RFC 8018; 100,000 rounds of SHA-256.
    PBKDF2,
    /// From a secret with all its entropy. Source: RFC 5869; SHA-256.
    HKDF,
}

/// How keys are kept.
#[derive(Debug, Clone)]
pub struct KeyProviderOptions {
    /// One key for all.
    pub shared_key: bool,
    /// How many ratchet steps a receiver tries; 64 at most.
    pub ratchet_window_size: i32,
    /// Salt of every derivation; all participants need the same.
    pub ratchet_salt: Vec<u8>,
    /// How many frames in a row may fail before a key is given up; below 0 it never is.
    pub failure_tolerance: i32,
    /// How many keys are kept by index: 1 to 256, 16 where it is none of these.
    pub key_ring_size: i32,
    /// How keys are derived.
    pub key_derivation_algorithm: KeyDerivationAlgorithm,
}

/// Which cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionAlgorithm {
    /// AES-GCM with 128 bits.
    AesGcm,
    /// AES-CBC: named by the SDK and done by none of its engines; everything fails with it.
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
    /// Anything else; never, in this engine.
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

/// The keys of a room: one for all, or one for each participant, under indices. Clones are the
/// same.
#[derive(Clone)]
pub struct KeyProvider {
    keys: Arc<Keys>,
}

impl KeyProvider {
    /// No keys yet.
    pub fn new(options: KeyProviderOptions) -> Self {
        let policy = Policy::new(
            options.shared_key,
            options.ratchet_window_size,
            options.failure_tolerance,
            options.key_ring_size,
        );
        let derivation = Derivation {
            algorithm: options.key_derivation_algorithm,
            salt: options.ratchet_salt,
        };
        Self {
            keys: Arc::new(Keys::new(policy, derivation)),
        }
    }

    /// Sets the key of all; `false` where participants have their own. Derives, as everything
    /// below that sets or ratchets: with PBKDF2 that takes tens of milliseconds.
    pub fn set_shared_key(&self, key_index: i32, key: Vec<u8>) -> bool {
        self.keys.set_shared(key_index, key)
    }

    /// Takes the key of all one step on, and answers the new one.
    pub fn ratchet_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.ratchet_shared(key_index)
    }

    /// The key of all, as it was set or ratcheted.
    pub fn get_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.keys.export_shared(key_index)
    }

    /// Sets the key of a participant.
    pub fn set_key(&self, participant_id: String, key_index: i32, key: Vec<u8>) -> bool {
        self.keys.set(&participant_id, key_index, key)
    }

    /// Takes the key of a participant one step on, and answers the new one.
    pub fn ratchet_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys.ratchet(&participant_id, key_index)
    }

    /// The key of a participant, as it was set or ratcheted.
    pub fn get_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.keys.export(&participant_id, key_index)
    }

    /// What ends the frames that the server makes itself, which are not encrypted. Of these only
    /// silence is played.
    pub fn set_sif_trailer(&self, trailer: Vec<u8>) {
        self.keys.set_injected_trailer(trailer);
    }
}

impl fmt::Debug for KeyProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyProvider").finish_non_exhaustive()
    }
}

/// Encrypts what a sender sends, or decrypts what a receiver receives, while enabled. It stays in
/// its place when dropped, until another takes it or the received track ends.
#[derive(Clone)]
pub struct FrameCryptor {
    cryptor: Arc<Cryptor>,
}

impl FrameCryptor {
    /// For a sender.
    pub fn new_for_rtp_sender(
        _peer_factory: &PeerConnectionFactory,
        participant_id: String,
        algorithm: EncryptionAlgorithm,
        key_provider: KeyProvider,
        sender: RtpSender,
    ) -> Self {
        let new = Self::new(participant_id, algorithm, key_provider);
        sender.core.encryption.seal_with(Arc::clone(&new.cryptor));
        new
    }

    /// For a receiver.
    pub fn new_for_rtp_receiver(
        _peer_factory: &PeerConnectionFactory,
        participant_id: String,
        algorithm: EncryptionAlgorithm,
        key_provider: KeyProvider,
        receiver: RtpReceiver,
    ) -> Self {
        let new = Self::new(participant_id, algorithm, key_provider);
        receiver.core.encryption.open_with(Arc::clone(&new.cryptor));
        new
    }

    fn new(
        participant_id: String,
        algorithm: EncryptionAlgorithm,
        key_provider: KeyProvider,
    ) -> Self {
        let has_cipher = algorithm == EncryptionAlgorithm::AesGcm;
        Self {
            cryptor: Cryptor::new(participant_id, key_provider.keys, has_cipher),
        }
    }

    /// While not enabled, as in the beginning, frames pass as they are.
    pub fn set_enabled(self: &FrameCryptor, enabled: bool) {
        self.cryptor.is_enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether it is enabled.
    pub fn enabled(self: &FrameCryptor) -> bool {
        self.cryptor.is_enabled.load(Ordering::Relaxed)
    }

    /// Encrypts with another key from now on; below 0, with the one set last. Received frames name
    /// theirs.
    pub fn set_key_index(self: &FrameCryptor, index: i32) {
        self.cryptor.key_index.store(index, Ordering::Relaxed);
    }

    /// Which key encrypts.
    pub fn key_index(self: &FrameCryptor) -> i32 {
        self.cryptor.key_index.load(Ordering::Relaxed)
    }

    /// Whose frames.
    pub fn participant_id(self: &FrameCryptor) -> String {
        self.cryptor.participant.clone()
    }

    /// Replaces the handler of states. It is told at once of a state that has been reached.
    pub fn on_state_change(&self, handler: Option<OnStateChange>) {
        self.cryptor.set_handler(handler);
    }

    /// Accepted and without effect: audio has no trailers.
    pub fn set_packet_trailer_handler(&self, _handler: &PacketTrailerHandler) {}
}

impl fmt::Debug for FrameCryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCryptor")
            .field("participant_id", &self.cryptor.participant)
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}

/// Encrypts and decrypts data packets. Clones are the same.
#[derive(Clone)]
pub struct DataPacketCryptor {
    algorithm: EncryptionAlgorithm,
    keys: Arc<Keys>,
    sealer: Arc<Mutex<DataSealer>>,
}

impl DataPacketCryptor {
    /// For packets of all participants.
    pub fn new(algorithm: EncryptionAlgorithm, key_provider: KeyProvider) -> Self {
        Self {
            algorithm,
            keys: key_provider.keys,
            sealer: Arc::new(Mutex::new(DataSealer::new(rand::random()))),
        }
    }

    /// Encrypts a packet of ours.
    ///
    /// # Errors
    /// Where there is no such key; with AES-CBC always.
    pub fn encrypt(
        &self,
        participant_id: &str,
        key_index: u32,
        data: &[u8],
    ) -> Result<EncryptedPacket, Box<dyn Error>> {
        self.check_cipher()?;
        let iv = self.sealer.lock().iv(rand::random(), clock_ms());
        Ok(seal_data(&self.keys, participant_id, key_index, iv, data)?)
    }

    /// Decrypts a packet of another. Where its sender has ratcheted a PBKDF2 key, the first such
    /// packet takes some hundred milliseconds.
    ///
    /// # Errors
    /// Where there is no such key, or none that reads it; with AES-CBC always.
    pub fn decrypt(
        &self,
        participant_id: &str,
        encrypted_packet: &EncryptedPacket,
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        self.check_cipher()?;
        Ok(open_data(&self.keys, participant_id, encrypted_packet)?)
    }

    fn check_cipher(&self) -> Result<(), Box<dyn Error>> {
        match self.algorithm {
            EncryptionAlgorithm::AesGcm => Ok(()),
            EncryptionAlgorithm::AesCbc => Err("AES-CBC is not in this engine".into()),
        }
    }
}

impl fmt::Debug for DataPacketCryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPacketCryptor")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The low bits of the time: only that they move on matters.
fn clock_ms() -> u32 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_millis() as u32
}
