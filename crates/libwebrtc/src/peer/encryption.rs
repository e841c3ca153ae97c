//! Encryption of a transceiver's media: where frames meet the cryptors that the application
//! attached.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    handlers::{Event, Slot},
    runtime,
};
use crate::{
    e2ee::{KeySet, Keys, Opened, Opener, Sealed, Sealer},
    native::frame_cryptor::{EncryptionState, OnStateChange},
};

/// Most threads that derive ratcheted keys at a time, for all connections: a key that nobody has
/// is searched for with a second of computing, which must not take all cores from the audio.
const MAX_CLIMBERS: usize = 2;

static CLIMBERS: AtomicUsize = AtomicUsize::new(0);

/// What the application and the driver share of a frame cryptor.
pub(crate) struct Cryptor {
    pub(crate) participant: String,
    pub(crate) keys: Arc<Keys>,
    pub(crate) is_enabled: AtomicBool,
    pub(crate) key_index: AtomicI32,
    /// Whether this engine has its cipher.
    pub(crate) has_cipher: bool,
    handler: Slot<OnStateChange>,
    state: Mutex<EncryptionState>,
}

impl Cryptor {
    pub(crate) fn new(participant: String, keys: Arc<Keys>, has_cipher: bool) -> Arc<Self> {
        Arc::new(Self {
            participant,
            keys,
            is_enabled: AtomicBool::new(false),
            key_index: AtomicI32::new(0),
            has_cipher,
            handler: Slot::default(),
            state: Mutex::new(EncryptionState::New),
        })
    }

    /// Replaces the handler, and tells it at once what its predecessor or nobody has heard.
    pub(crate) fn set_handler(&self, handler: Option<OnStateChange>) {
        self.handler.set(handler);
        let state = *self.state.lock();
        if state != EncryptionState::New {
            self.call(state);
        }
    }

    /// Tells the handler. To be called without any lock held.
    pub(super) fn tell(&self, state: EncryptionState) {
        *self.state.lock() = state;
        self.call(state);
    }

    fn call(&self, state: EncryptionState) {
        self.handler.with(|f| f(self.participant.clone(), state));
    }

    fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
    }
}

/// The cryptors of a transceiver.
#[derive(Default)]
pub(crate) struct Encryption {
    sealing: Mutex<Option<Sealing>>,
    opening: Mutex<Option<Opening>>,
    /// Received frames that could not be read.
    unreadable: AtomicU64,
}

struct Sealing {
    cryptor: Arc<Cryptor>,
    sealer: Sealer,
}

struct Opening {
    cryptor: Arc<Cryptor>,
    opener: Opener,
}

/// What the driver is to send.
pub(super) enum Outgoing<'a> {
    Frame(&'a [u8]),
    /// Nothing: the frame could not be encrypted.
    Nothing,
}

impl Encryption {
    /// From now on what is sent passes through a cryptor.
    pub(crate) fn seal_with(&self, cryptor: Arc<Cryptor>) {
        let sealer = Sealer::new(rand::random());
        *self.sealing.lock() = Some(Sealing { cryptor, sealer });
    }

    /// Whether what is sent is encrypted.
    pub(super) fn is_sealing(&self) -> bool {
        let sealing = self.sealing.lock();
        sealing.as_ref().is_some_and(|s| s.cryptor.is_enabled())
    }

    /// From now on what is received passes through a cryptor.
    pub(crate) fn open_with(&self, cryptor: Arc<Cryptor>) {
        let opener = Opener::default();
        *self.opening.lock() = Some(Opening { cryptor, opener });
    }

    /// The received track has ended; the next one may be another participant's.
    pub(super) fn forget_received(&self) {
        *self.opening.lock() = None;
    }

    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Makes a frame ready to be sent, by way of `sealed` where it is to be encrypted. Not to be
    /// called with a lock held: the handler of states may be.
    pub(super) fn seal<'a>(
        &self,
        (ssrc, timestamp): (u32, u32),
        frame: &'a [u8],
        sealed: &'a mut Vec<u8>,
    ) -> Outgoing<'a> {
        let mut sealing = self.sealing.lock();
        let Some(Sealing { cryptor, sealer }) = sealing.as_mut().filter(|s| s.cryptor.is_enabled())
        else {
            return Outgoing::Frame(frame);
        };
        let mut told = None;
        let tell = |state| told = Some(state);
        let outcome = if cryptor.has_cipher {
            let index = cryptor.key_index.load(Ordering::Relaxed);
            let key = (&*cryptor.keys, cryptor.participant.as_str(), index);
            sealer.seal(key, (ssrc, timestamp), frame, sealed, tell)
        } else {
            sealer.refuse(tell)
        };
        let cryptor = told.map(|state| (Arc::clone(cryptor), state));
        drop(sealing);
        if let Some((cryptor, state)) = cryptor {
            cryptor.tell(state);
        }
        match outcome {
            Sealed::Done => Outgoing::Frame(sealed),
            Sealed::Withheld => Outgoing::Nothing,
        }
    }

    /// Hands a received frame to `deliver` in clear, if it can be read.
    pub(super) fn open(
        &self,
        frame: &[u8],
        events: &mut VecDeque<Event>,
        deliver: impl FnOnce(&[u8]),
    ) {
        let mut opening = self.opening.lock();
        let Some(Opening { cryptor, opener }) = opening.as_mut().filter(|o| o.cryptor.is_enabled())
        else {
            return deliver(frame);
        };
        let tell = |state| events.push_back(Event::Encryption(Arc::clone(cryptor), state));
        let opened = if cryptor.has_cipher {
            opener.open(&cryptor.keys, &cryptor.participant, frame, tell)
        } else {
            opener.refuse(tell)
        };
        match opened {
            Opened::Frame(frame) => return deliver(frame),
            Opened::Dropped => {}
            Opened::Unratcheted(set) => climb(&cryptor.keys, set),
        }
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }
}

/// Derives the keys above one on a thread of its own. Where there is none to be had, the next
/// frame asks again.
fn climb(keys: &Arc<Keys>, set: Arc<KeySet>) {
    let is_free = |climbers: usize| (climbers < MAX_CLIMBERS).then_some(climbers + 1);
    let Ok(runtime) = runtime::runtime() else {
        return;
    };
    if CLIMBERS
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free)
        .is_ok()
    {
        let climber = Climber;
        let keys = Arc::clone(keys);
        // It ends by itself after a bounded number of steps, and nobody waits for it.
        runtime.spawn_blocking(move || {
            keys.climb(&set);
            drop(climber);
        });
    }
}

/// One of [`MAX_CLIMBERS`].
struct Climber;

impl Drop for Climber {
    fn drop(&mut self) {
        CLIMBERS.fetch_sub(1, Ordering::Relaxed);
    }
}
